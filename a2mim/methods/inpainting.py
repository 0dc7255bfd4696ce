"""Inpainting (reference 36, context encoders), the rival of section 3.3: one square is removed and painted again."""

from __future__ import annotations

from typing import Any

import torch

from a2mim.masking import square_mask
from a2mim.model import MaskedImageModel
from a2mim.settings import PretrainSettings

from .masked import MaskedMethod
from .method import Encoder


class Inpainting(MaskedMethod):
    """‖M ⊙ (x_pred − x)‖², M one square at a random place in each image; no token tells the encoder where.

    Notes:
        Context encoders remove a quarter of the area, the default of ``mask_ratio`` here, and put the mean of the data
        set there. Their decoder and their adversarial loss have no part in this comparison: the head is the linear one
        of all methods here.
    """

    @classmethod
    def site_and_token(cls, settings: PretrainSettings, encoder: Encoder) -> tuple[str, str]:
        return "input", "none"

    @classmethod
    def cell(cls, settings: PretrainSettings, model: MaskedImageModel) -> int | None:
        return None

    @classmethod
    def masks(
        cls, images: int, img_size: tuple[int, int], generator: torch.Generator | None, *, ratio: float, **_: Any
    ) -> torch.Tensor:
        """One square in each image, bool (images, H, W), True = masked; of cells it knows nothing."""
        return square_mask(images, img_size, ratio, generator)

    def hides(self) -> str:
        height, width = self.model.img_size
        side = int(square_mask(1, (height, width), self.settings.mask_ratio).any(dim=1).sum())
        return f"a square of {side}x{side} of {height}x{width} pixels hidden"
