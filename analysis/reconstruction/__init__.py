"""Reconstructions of masked images (Figures 5, A2 and A3 of the paper), as pictures and as numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2mim.lazy import attach

if TYPE_CHECKING:
    from .errors import Energies as Energies
    from .errors import band_edges as band_edges
    from .errors import band_energies as band_energies
    from .errors import scores as scores
    from .errors import ssim as ssim
    from .pictures import Panels as Panels
    from .pictures import masks as masks
    from .pictures import panels as panels
    from .pictures import without_token as without_token
    from .settings import ReconstructionSettings as ReconstructionSettings

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        ".errors": ["Energies", "band_edges", "band_energies", "scores", "ssim"],
        ".pictures": ["Panels", "masks", "panels", "without_token"],
        ".settings": ["ReconstructionSettings"],
    },
)
