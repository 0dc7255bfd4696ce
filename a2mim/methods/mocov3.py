"""MoCo v3 ("An Empirical Study of Training Self-Supervised Vision Transformers", arXiv:2104.02057)."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from a2mim.data import Batch, two_views
from a2mim.distributed import gather
from a2mim.encoders.fitting import patch_embedding
from a2mim.errors import InputError
from a2mim.settings import PretrainSettings

from .method import Encoder, Method, create_encoder


class MoCoV3(Method):
    """L = ctr(q₁, k₂) + ctr(q₂, k₁): q the queries of two crops, k the keys of the momentum encoder (see ``info_nce``).

    Notes:
        MoCo v3 treats ViT and ResNet differently. Here a network with a patch embedding is treated as its ViT
        (temperature 0.2, projector of three layers, predictor that ends in a norm, patch embedding frozen), any other
        as its ResNet (1.0, two layers, no norm at the end). Position embeddings are timm's: learned, not fixed.
    """

    model: MomentumContrast

    def __init__(self, model: MomentumContrast, settings: PretrainSettings, lr: float, updates: int):
        super().__init__(model, settings, lr, updates)
        self.updated = 0  # number of updates of the keys
        self.format = torch.channels_last if settings.channels_last else torch.contiguous_format

    @classmethod
    def create_model(cls, settings: PretrainSettings, native_size: int | None) -> MomentumContrast:
        encoder = create_encoder(settings, native_size)
        patches, frozen = patch_embedding(encoder.module), settings.freeze_patch_embed
        if frozen and patches is None:
            raise InputError(f"{encoder.arch} has no patch embedding to freeze; remove freeze_patch_embed")
        model = MomentumContrast(
            encoder, dim=settings.moco_dim, hidden=settings.moco_mlp_dim, like_vit=patches is not None
        )
        config: Any = encoder.module.default_cfg
        model.mean, model.std = settings.mean or config["mean"], settings.std or config["std"]
        if patches is not None and frozen is not False:
            freeze(patches)
            model.momentum_encoder.load_state_dict(model.encoder.state_dict())
        return model

    @classmethod
    def resolved(cls, settings: PretrainSettings, model: MomentumContrast) -> PretrainSettings:
        patches = patch_embedding(model.encoder) is not None
        return dataclasses.replace(
            super().resolved(settings, model),
            moco_temperature=settings.moco_temperature or (0.2 if patches else 1.0),
            freeze_patch_embed=patches and settings.freeze_patch_embed is not False,
        )

    @classmethod
    def transform(cls, settings: PretrainSettings, model: MomentumContrast) -> Callable[[Image.Image], torch.Tensor]:
        return two_views(model.img_size, model.mean, model.std, **settings.augmentation())

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        first, second = (view.contiguous(memory_format=self.format) for view in batch.images.unbind(1))
        q1, q2, k1, k2 = self.model(first, second)
        temperature = self.settings.moco_temperature or 1.0
        (loss1, hits1), (loss2, hits2) = info_nce(q1, k2, temperature), info_nce(q2, k1, temperature)
        # 0 if all images have the same query, 1 if queries point in all directions
        spread = F.normalize(q1.detach().float(), dim=1).std(dim=0).mean() * math.sqrt(q1.shape[1])
        return loss1 + loss2, {"matched": (hits1 + hits2) * 50, "spread": spread}

    def after_update(self) -> None:
        self.updated += 1
        self.model.follow(momentum_at(self.settings.moco_momentum, self.updated / self.updates))

    def extra_state(self) -> dict[str, int]:
        return {"updated": self.updated}

    def load_extra_state(self, state: dict[str, int]) -> None:
        self.updated = state["updated"]

    def summary(self) -> str:
        model, settings = self.model, self.settings
        frozen = ", patch embedding frozen" if settings.freeze_patch_embed else ""
        return (
            f"{model.arch}, queries and keys of {settings.moco_dim} from {model.width} features, temperature "
            f"{settings.moco_temperature:g}, momentum {settings.moco_momentum:g}{frozen}"
        )


@torch.no_grad()
def freeze(embedding: nn.Module) -> None:
    """Freeze a patch embedding at a random start: weights U(-a, a) with a = √(6 / (3·P² + D)) (Xavier), bias 0."""
    for convolution in embedding.modules():
        if isinstance(convolution, nn.Conv2d):
            nn.init.xavier_uniform_(convolution.weight.flatten(1))
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
    embedding.requires_grad_(False)


class MomentumContrast(nn.Module):
    """Queries from encoder, projector and predictor; keys from copies of the first two that follow with momentum.

    Args:
        encoder: without a classifier; its pooled features are projected.
        dim: width of queries and keys.
        hidden: width of the hidden layers of projector and predictor.
        like_vit: projector and predictor as for ViT, else as for ResNet.
    """

    def __init__(self, encoder: Encoder, *, dim: int, hidden: int, like_vit: bool):
        super().__init__()
        self.arch, self.model_args, self.img_size = encoder.arch, encoder.model_args, encoder.img_size
        self.mean: tuple[float, ...] = ()
        self.std: tuple[float, ...] = ()
        self.encoder = encoder.module
        self.width = _width(encoder)
        self.projector = perceptron(3 if like_vit else 2, self.width, hidden, dim, last_norm=True)
        self.predictor = perceptron(2, dim, hidden, dim, last_norm=like_vit)
        self.momentum_encoder = copy.deepcopy(self.encoder).requires_grad_(False)
        self.momentum_projector = copy.deepcopy(self.projector).requires_grad_(False)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """q₁, q₂, k₁, k₂, each (B, dim), of two views (B, 3, H, W) of the same images; the keys without gradient."""
        queries = [self.predictor(self.projector(pooled(self.encoder, view))) for view in (first, second)]
        with torch.no_grad():
            keys = [self.momentum_projector(pooled(self.momentum_encoder, view)) for view in (first, second)]
        return (*queries, *keys)

    @torch.no_grad()
    def follow(self, momentum: float) -> None:
        """θ_k ← m·θ_k + (1 − m)·θ_q, for every weight of the momentum encoder and projector."""
        slow: list[torch.Tensor] = [*self.momentum_encoder.parameters(), *self.momentum_projector.parameters()]
        fast: list[torch.Tensor] = [*self.encoder.parameters(), *self.projector.parameters()]
        torch._foreach_lerp_(slow, fast, 1 - momentum)


def info_nce(queries: torch.Tensor, keys: torch.Tensor, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """ctr(q, k) = −2τ · mean log(exp(q·k⁺/τ) / Σ exp(q·k/τ)), q and k of unit length, the sum over all keys.

    Args:
        queries: (B, D).
        keys: (B, D), of the same images as the queries; keys of other processes are added.
        temperature: τ.

    Returns:
        The loss in float32 (float64 for float64 queries), and the share of queries whose nearest key is their own.
    """
    dtype = torch.promote_types(queries.dtype, torch.float32)
    with torch.autocast(queries.device.type, enabled=False):
        all_keys, first = gather(F.normalize(keys.to(dtype), dim=1))
        logits = F.normalize(queries.to(dtype), dim=1) @ all_keys.T / temperature
        own = torch.arange(first, first + len(queries), device=queries.device)
        hits = (logits.detach().argmax(dim=1) == own).to(dtype).mean()
        return 2 * temperature * F.cross_entropy(logits, own), hits


def momentum_at(start: float, progress: float) -> float:
    """m = 1 − (1 − m₀)·(1 + cos π·t)/2: from ``start`` to 1 as ``progress`` t goes from 0 to 1."""
    return 1 - (1 - start) * (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def perceptron(layers: int, inputs: int, hidden: int, outputs: int, *, last_norm: bool) -> nn.Sequential:
    """Linear layers without biases, batch norm and ReLU between them; at the end a norm without weights or nothing."""
    widths = [inputs, *[hidden] * (layers - 1), outputs]
    modules: list[nn.Module] = []
    for number in range(layers):
        modules.append(nn.Linear(widths[number], widths[number + 1], bias=False))
        if number < layers - 1:
            modules += [nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)]
        elif last_norm:
            modules.append(nn.BatchNorm1d(outputs, affine=False))
    return nn.Sequential(*modules)


def pooled(encoder: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Pooled features (B, C), as timm passes them to a classifier."""
    return encoder.forward_head(encoder.forward_features(images), pre_logits=True)  # type: ignore[operator]


def _width(encoder: Encoder) -> int:
    """Number of pooled features: read off one forward pass, since timm's ``num_features`` ignores some layers."""
    try:
        with torch.no_grad():
            features = pooled(encoder.module.eval(), torch.zeros(1, 3, *encoder.img_size))
    except (AssertionError, AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{encoder.arch} does not give pooled features, which mocov3 needs: {error}") from error
    finally:
        encoder.module.train()
    if not isinstance(features, torch.Tensor) or features.ndim != 2:
        raise InputError(f"{encoder.arch} does not give pooled features (B, C), which mocov3 needs")
    return features.shape[1]
