"""Variance of feature maps by its public name; see ``a2mim.analysis.probes.variance``."""

from .probes.variance import KINDS, check_kind, feature_variance, image_variance

__all__ = ["KINDS", "check_kind", "feature_variance", "image_variance"]
