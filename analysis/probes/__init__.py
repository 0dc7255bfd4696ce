"""Fourier spectra and variances of feature maps by depth (section 3.3 of the paper)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2mim.lazy import attach

if TYPE_CHECKING:
    from .features import Captured as Captured
    from .features import capture as capture
    from .features import default_layers as default_layers
    from .settings import SpectrumSettings as SpectrumSettings
    from .settings import VarianceSettings as VarianceSettings
    from .spectrum import frequencies as frequencies
    from .spectrum import log_amplitude as log_amplitude
    from .spectrum import relative_log_amplitude as relative_log_amplitude
    from .variance import feature_variance as feature_variance
    from .variance import image_variance as image_variance

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        ".features": ["Captured", "capture", "default_layers"],
        ".settings": ["SpectrumSettings", "VarianceSettings"],
        ".spectrum": ["frequencies", "log_amplitude", "relative_log_amplitude"],
        ".variance": ["feature_variance", "image_variance"],
    },
)
