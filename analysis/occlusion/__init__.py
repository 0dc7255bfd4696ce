"""Robustness against occlusion (section 3.1 of the paper): accuracy when a share of the patches is hidden."""

from .curves import PATCHES, RATIOS, OcclusionResult, n_masked, occlusion_masks, shuffle, sweep
from .robustness import area
from .saliency import saliency_of

__all__ = [
    "PATCHES",
    "RATIOS",
    "OcclusionResult",
    "area",
    "n_masked",
    "occlusion_masks",
    "saliency_of",
    "shuffle",
    "sweep",
]
