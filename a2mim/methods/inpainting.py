"""Inpainting ("Context Encoders: Feature Learning by Inpainting", arXiv:1604.07379), compared in section 3.3."""

from __future__ import annotations

from typing import Any

import torch

from a2mim.masking import square_mask
from a2mim.model import MaskedImageModel
from a2mim.settings import PretrainSettings

from .masked import MaskedMethod
from .method import Encoder


class Inpainting(MaskedMethod):
    """‖M ⊙ (x_pred − x)‖², M one square at a random place in each image; there is no mask token.

    Notes:
        Context encoders remove a quarter of the area, the default of ``mask_ratio`` here, and fill it with the mean of
        the data set. Their decoder and adversarial loss are not used: the head is linear, as for all methods here.
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
        """One square in each image, bool (images, H, W), True = masked; it has no cells."""
        return square_mask(images, img_size, ratio, generator)

    def hides(self) -> str:
        height, width = self.model.img_size
        side = int(square_mask(1, (height, width), self.settings.mask_ratio).any(dim=1).sum())
        return f"a square of {side}x{side} of {height}x{width} pixels hidden"
