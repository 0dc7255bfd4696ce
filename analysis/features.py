"""Feature maps by their public name; see ``a2mim.analysis.probes.features``."""

from .probes.features import ATTENTION, Captured, capture, default_layers

__all__ = ["ATTENTION", "Captured", "capture", "default_layers"]
