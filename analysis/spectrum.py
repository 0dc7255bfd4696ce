"""Fourier spectra by their public name; see ``a2mim.analysis.probes.spectrum``."""

from .probes.spectrum import (
    EPSILON,
    REDUCTIONS,
    check_reduction,
    frequencies,
    interpolation,
    log_amplitude,
    relative_log_amplitude,
)

__all__ = [
    "EPSILON",
    "REDUCTIONS",
    "check_reduction",
    "frequencies",
    "interpolation",
    "log_amplitude",
    "relative_log_amplitude",
]
