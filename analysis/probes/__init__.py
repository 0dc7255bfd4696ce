"""Fourier spectra and variances of feature maps by depth (section 3.3 of the paper)."""

from .features import Captured, capture, default_layers
from .spectrum import frequencies, log_amplitude, relative_log_amplitude
from .variance import feature_variance, image_variance

__all__ = [
    "Captured",
    "capture",
    "default_layers",
    "feature_variance",
    "frequencies",
    "image_variance",
    "log_amplitude",
    "relative_log_amplitude",
]
