"""Settings of the analysis ``reconstruct``; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from a2mim.errors import InputError

from ..core.options import Asks, option

TOKENS = {"with": ("with",), "without": ("without",), "both": ("with", "without")}
BANDS = 8  # of equal width up to the Nyquist frequency
Grid = tuple[int, int] | None  # cells (h, w) of the masks; None: one square


@dataclass(frozen=True)
class ReconstructionSettings:
    """Original, masked input, prediction, and prediction pasted into the input (Figures 5, A2 and A3); their errors."""

    asks: ClassVar = Asks("masked models", most=100, batch_size=64, files=True)

    shown: int | None = option(
        None, "Number of images that are drawn.", between=(1, float("inf")), shown="6, or all that are given"
    )
    mask_ratio: float | None = option(None, "Share of hidden cells.", between=(0, 1), shown="as in training")
    mask_patch_size: int | None = option(
        None, "Side of a mask cell in pixels.", between=(1, float("inf")), shown="as in training"
    )
    token: str = option(
        "with", "With the mask token, as trained, or with its addition switched off (Figure A3).", tuple(TOKENS)
    )
    seed: int = option(0, "Seed for choosing images and for every random draw.", flag="none")
    mask_grid: Grid = option(None, "Cells of the masks, found from the networks.", flag="none")
    drawn: tuple[int, ...] = option((), "Numbers of the images that are drawn.", flag="none")
    ssim: bool = option(False, "Whether SSIM is measured.", flag="none")

    def __post_init__(self) -> None:
        if self.token not in TOKENS:
            raise InputError(f"unknown choice of token '{self.token}'; known: {', '.join(TOKENS)}")
        if self.mask_ratio is not None and not 0 < self.mask_ratio <= 1:
            raise InputError(
                f"a mask ratio of {self.mask_ratio:g} hides nothing that could be reconstructed; it must be above 0 "
                "and at most 1"
            )

    def to_json(self) -> dict[str, Any]:
        """As parts and the file of settings hold them."""
        own = {"mask_ratio": self.mask_ratio, "mask_grid": self.mask_grid, "token": self.token, "seed": self.seed}
        return {**own, "drawn": list(self.drawn), "ssim": self.ssim, "bands": BANDS}
