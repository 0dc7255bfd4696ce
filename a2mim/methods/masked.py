"""What the methods that hide pixels share: a model that reconstructs them, and a loss over hidden pixels."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import Any

import torch

from a2mim.data import Batch
from a2mim.distributed import share, world
from a2mim.encoders.fitting import patch_embedding
from a2mim.losses import MIMLoss
from a2mim.masking import auto_cell, mask_grid, misfit, random_mask, unusual
from a2mim.model import MaskedImageModel
from a2mim.settings import PretrainSettings

from .method import Encoder, Method, create_encoder


class MaskedMethod(Method):
    """One step: draw masks, reconstruct, compare. The methods differ in masks, fill, token, site and loss."""

    model: MaskedImageModel

    def __init__(self, model: MaskedImageModel, settings: PretrainSettings, lr: float, updates: int):
        super().__init__(model, settings, lr, updates)
        self.criterion = MIMLoss.from_preset(settings.loss, **settings.loss_changes())

    @classmethod
    def create_model(cls, settings: PretrainSettings, native_size: int | None) -> MaskedImageModel:
        encoder = create_encoder(settings, native_size)
        site, token = cls.site_and_token(settings, encoder)
        model = MaskedImageModel(
            encoder.module,
            encoder.img_size,
            mask_layer=site,
            fill=settings.fill,
            token=token,
            gamma=settings.gamma,
            mean=settings.mean,
            std=settings.std,
        )
        model.arch, model.model_args = encoder.arch, encoder.model_args
        return model

    @classmethod
    @abstractmethod
    def site_and_token(cls, settings: PretrainSettings, encoder: Encoder) -> tuple[str, str]:
        """Site of the mask token, and what it does there."""

    @classmethod
    def masks(
        cls,
        images: int,
        img_size: tuple[int, int],
        generator: torch.Generator | None,
        *,
        ratio: float,
        cell: int | None = None,
        rounding: str = "ceil",
    ) -> torch.Tensor:
        """Masks as this method draws them, bool (images, h, w), True = masked; ``cell`` in pixels."""
        return random_mask(
            images, mask_grid(img_size, cell or auto_cell(img_size)), ratio, generator, rounding=rounding
        )

    @classmethod
    def cell(cls, settings: PretrainSettings, model: MaskedImageModel) -> int | None:
        """Side of the mask cells in pixels; None if the method has none."""
        return settings.mask_patch_size or auto_cell(model.img_size, model.mask_stride)

    @classmethod
    def masks_by(cls, settings: PretrainSettings) -> dict[str, Any]:
        """The keywords of ``masks`` from settings."""
        return dict(ratio=settings.mask_ratio, cell=settings.mask_patch_size, rounding=settings.mask_round)

    @classmethod
    def resolved(cls, settings: PretrainSettings, model: MaskedImageModel) -> PretrainSettings:
        return dataclasses.replace(
            super().resolved(settings, model),
            mask_layer=model.site.name,
            token=model.token,
            mask_patch_size=cls.cell(settings, model),
        )

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        everywhere = self.masks(
            len(batch.images) * world(), self.model.img_size, generator, **self.masks_by(self.settings)
        )
        mask = share(everywhere)
        prediction = self.model(batch.images, mask)
        parts = self.criterion(prediction, batch.images, mask)
        return parts["loss"], {name: parts[name].detach() for name in ("spatial", "frequency")}

    def lr_scales(self) -> dict[str, float]:
        """As in the published recipes: a tenth of the learning rate for the token in CNNs, and for gamma."""
        token, gamma = self.settings.mask_token_lr_scale, self.settings.gamma_lr_scale
        if token is None:
            token = 0.1 if patch_embedding(self.model.encoder) is None else 1.0
        return {"mask_token": token, "gamma": 0.1 if gamma is None else gamma}

    def decays(self) -> dict[str, bool]:
        decay = self.settings.gamma_weight_decay
        return {} if decay is None else {"gamma": decay}

    def summary(self) -> str:
        site = self.model.site
        rows, cols = site.grid
        token = f"mask token at {site.name} ({site.channels} channels, {rows}x{cols})"
        return f"{self.model.arch}, {'no mask token' if self.model.token == 'none' else token}, {self.hides()}"

    def remarks(self, given: PretrainSettings) -> list[str]:
        cell, size, stride = self.settings.mask_patch_size, self.model.img_size, self.model.mask_stride
        if cell is None:
            return []
        self.model.known_cells.add(mask_grid(size, cell))  # said here, not in the first pass
        remark = misfit(size, cell, stride) if given.mask_patch_size else unusual(size, cell, stride)
        return [f"note: {remark}"] if remark else []

    def hides(self) -> str:
        """What is hidden in an image, in words."""
        rows, cols = mask_grid(self.model.img_size, self.settings.mask_patch_size or 0)
        return f"{self.settings.mask_ratio:.0%} of {rows}x{cols} cells hidden"

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "mim_args": self.model.mim_args}
