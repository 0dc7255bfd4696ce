"""Robustness against occlusion (section 3.1 of the paper): accuracy when a share of the patches is hidden."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2mim.lazy import attach

if TYPE_CHECKING:
    from .curves import OcclusionResult as OcclusionResult
    from .curves import sweep as sweep
    from .masks import n_masked as n_masked
    from .masks import occlusion_masks as occlusion_masks
    from .robustness import area as area
    from .saliency import saliency_of as saliency_of
    from .settings import PATCHES as PATCHES
    from .settings import RATIOS as RATIOS
    from .settings import OcclusionSettings as OcclusionSettings
    from .settings import ShuffleSettings as ShuffleSettings
    from .shuffling import shuffle as shuffle

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        ".curves": ["OcclusionResult", "sweep"],
        ".masks": ["n_masked", "occlusion_masks"],
        ".robustness": ["area"],
        ".saliency": ["saliency_of"],
        ".settings": ["PATCHES", "RATIOS", "OcclusionSettings", "ShuffleSettings"],
        ".shuffling": ["shuffle"],
    },
)
