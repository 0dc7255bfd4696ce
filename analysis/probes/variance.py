"""Spatial variance of feature maps (section 3.3, Figure 3 b): whether a layer blurs or sharpens.

Sources: "Architecture-Agnostic Masked Image Modeling – From ViT back to CNN" (arXiv 2205.13943), section 3.3;
"How Do Vision Transformers Work?" (arXiv 2202.06709), whose code the definition follows.
"""

from __future__ import annotations

import torch

from a2mim.errors import InputError

KINDS = ("variance", "std")


def image_variance(features: torch.Tensor, kind: str = "variance", ddof: int = 1) -> torch.Tensor:
    """Variance over the pixels of each map, mean over channels, of single images: (B, C, H, W) -> float32 (B,).

    Args:
        features: maps, in any memory format.
        kind: ``variance`` as published in Figure 3 b, or ``std``, its root map by map.
        ddof: 1, as published, divides by H·W − 1; 0 by H·W.

    Raises:
        InputError: another shape, kind or ddof, or maps of one pixel, which have no variance.
    """
    if features.ndim != 4:
        raise InputError(f"features must be (B, C, H, W), got {tuple(features.shape)}")
    check_kind(kind, ddof)
    pixels = features.shape[2:].numel()
    if pixels < 2:
        raise InputError("maps of one pixel have no variance")
    features = features.float()
    # twice over the map, as torch.var is several times slower on a CPU, and E[x²] − E[x]² cancels where means are large
    variance = (features - features.mean(dim=(2, 3), keepdim=True)).square_().sum(dim=(2, 3)) / (pixels - ddof)
    return (variance.sqrt() if kind == "std" else variance).mean(dim=1)


def feature_variance(features: torch.Tensor, kind: str = "variance", ddof: int = 1) -> float:
    """``image_variance`` averaged over the images: (B, C, H, W) -> float, in squared units of the features.

    Args:
        features, kind, ddof: see ``image_variance``.

    Raises:
        InputError: what ``image_variance`` raises.

    Example:
        >>> import torch
        >>> feature_variance(torch.tensor([[[[0.0, 2.0]]]]))  # mean 1, divided by 2 - 1
        2.0
    """
    return float(image_variance(features, kind, ddof).cpu().double().mean())


def check_kind(kind: str, ddof: int) -> None:
    """Raise InputError for a kind that is none of ``KINDS``, or a ddof other than 0 and 1."""
    if kind not in KINDS:
        raise InputError(f"unknown kind '{kind}'; known: {', '.join(KINDS)}")
    if ddof not in (0, 1):
        raise InputError(f"ddof {ddof} must be 0 or 1")
