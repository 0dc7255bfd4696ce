"""Which patches matter to a network: attention mass of a ViT, or gradient magnitude of any network."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from a2mim.encoders.layouts import grid_of
from a2mim.errors import InputError

from ..core.networks import eval_mode
from .curves import Saliency

SOURCES = ("attention", "gradient")


def saliency_of(
    model: nn.Module, grid: tuple[int, int], source: str | None = None, head: int | None = None
) -> Saliency:
    """How salient each cell of an image is to ``model``: images (B, 3, H, W) -> (B, rows, cols).

    Args:
        model: the network, normalised as the images are.
        grid: cells of ``gradient``; attention has the grid of the model's patches.
        source: ``attention`` or ``gradient``; default: attention where the model is a ViT.
        head: of the attention; default: the mean over all.

    Raises:
        InputError: another source, attention of a model that has none over patches.
    """
    if source not in (None, *SOURCES):
        raise InputError(f"unknown saliency '{source}'; known: {', '.join(SOURCES)}")
    if source is None:
        source = "attention" if _attention(model) is not None else "gradient"
    if source == "gradient":
        return functools.partial(gradient_magnitude, model, grid=grid)
    if _attention(model) is None:
        raise InputError(f"a {type(model).__name__} has no attention over patches to read; take saliency 'gradient'")
    return functools.partial(attention_mass, model, head=head)


@torch.inference_mode()
def attention_mass(model: nn.Module, images: torch.Tensor, head: int | None = None) -> torch.Tensor:
    """Attention from the class token to each patch in the last block: (B, 3, H, W) -> (B, rows, cols).

    softmax(q·kᵀ/√d) as the model computes it, the mean over heads or one of them. A model without a class token gives
    the mean over all patches that look.

    Raises:
        InputError: a model whose last block has no such attention, or a head that it lacks.
    """
    attention = _attention(model)
    if attention is None:
        raise InputError(f"a {type(model).__name__} has no attention over patches to read")
    with eval_mode(model), _weights(attention) as seen:
        model.forward_features(images)  # type: ignore[operator]
    weights = seen[0]  # (B, heads, tokens, tokens)
    if head is not None and not 0 <= head < weights.shape[1]:
        raise InputError(
            f"attention head {head} is outside the model's {weights.shape[1]} (0 to {weights.shape[1] - 1})"
        )
    weights = weights.mean(dim=1) if head is None else weights[:, head]
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    looking = weights[:, 0] if getattr(model, "cls_token", None) is not None else weights[:, prefix:].mean(dim=1)
    mass = looking[:, prefix:]
    grid = grid_of(mass.shape[1], (images.shape[-2], images.shape[-1]))
    if grid is None:
        raise InputError(f"{mass.shape[1]} patches do not form a grid over images of {tuple(images.shape[-2:])}")
    return mass.unflatten(1, grid)


def gradient_magnitude(model: nn.Module, images: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Σ |∂z/∂x| over the pixels and channels of each cell, z the largest logit: (B, 3, H, W) -> (B, rows, cols).

    Raises:
        InputError: a grid that does not divide the images.
    """
    rows, cols = grid
    if images.shape[-2] % rows or images.shape[-1] % cols:
        raise InputError(f"a grid of {rows}x{cols} does not divide images of {tuple(images.shape[-2:])} pixels")
    with torch.inference_mode(False), torch.enable_grad(), eval_mode(model):
        pixels = images.clone().requires_grad_()
        # images do not act on each other in eval mode, so that one sum gives the gradient of each
        (gradient,) = torch.autograd.grad(model(pixels).amax(dim=1).sum(), pixels)
    return gradient.abs().sum(dim=1).unflatten(2, (cols, -1)).unflatten(1, (rows, -1)).sum(dim=(2, 4))


def _attention(model: nn.Module) -> Any:
    """The attention of the last block of a ViT, or None."""
    blocks = getattr(model, "blocks", None)
    last = (
        getattr(blocks[-1], "attn", None)
        if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks)
        else None
    )
    return last if hasattr(last, "attn_drop") and hasattr(last, "fused_attn") else None


@contextmanager
def _weights(attention: Any) -> Iterator[list[torch.Tensor]]:
    """Inside, the softmax of every call of the attention is kept; fused kernels, which never show it, are not used."""
    seen: list[torch.Tensor] = []
    fused, attention.fused_attn = attention.fused_attn, False
    hook = attention.attn_drop.register_forward_hook(lambda _, args, __: seen.append(args[0].detach()))
    try:
        yield seen
    finally:
        hook.remove()
        attention.fused_attn = fused
