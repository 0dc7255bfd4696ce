"""Whether images and masks fit a network: the stride of its features, and sizes of images that it sees as a whole."""

from __future__ import annotations

import contextlib
import itertools
import math

from timm.layers import PatchEmbed
from torch import nn

from a2mim.errors import InputError

from . import sites
from .sites import Site


def patch_embedding(encoder: nn.Module) -> nn.Module | None:
    """The patch embedding at the start of transformers and MLPs; None in a CNN."""
    children = dict(encoder.named_children())
    stem = children.get("stem")
    return children.get("patch_embed") or (stem if isinstance(stem, PatchEmbed) else None)


def stride_of(img_size: tuple[int, int], grid: tuple[int, int]) -> int | None:
    """Pixels along the side of one feature, for images (H, W) and features on ``grid`` (h, w).

    The quotient if the grid divides the image; else the power of two that gives this grid with padding (32 for 6
    features over 176 pixels); else None. The least common multiple if rows and columns differ.
    """
    if all(size % side == 0 for size, side in zip(img_size, grid, strict=True)):
        return math.lcm(*(size // side for size, side in zip(img_size, grid, strict=True)))
    power = 2 ** max(math.ceil(size / side) - 1 for size, side in zip(img_size, grid, strict=True)).bit_length()
    padded = all(math.ceil(size / power) == side for size, side in zip(img_size, grid, strict=True))
    return power if padded else None


def mask_stride(encoder: nn.Module, site: Site, img_size: tuple[int, int]) -> int:
    """Pixels that the side of a mask cell should be a multiple of, so that each token is hidden or visible as a whole.

    The stride of the site of the mask token. At the input and the stem of a CNN, where features are finer than those
    that it reconstructs from, that of the paper's site. 1 if the features do not lie evenly over the image.
    """
    grids = [layout.grid for layout in site.layouts]
    if site.name in ("input", "stem"):
        with contextlib.suppress(InputError):  # a network without any other site
            grids += [layout.grid for layout in sites.find(encoder, "auto", img_size).layouts]
    strides = [stride for stride in (stride_of(img_size, grid) for grid in grids) if stride is not None]
    return math.lcm(*strides)


def check_size(encoder: nn.Module, img_size: tuple[int, int], grid: tuple[int, int]) -> None:
    """Refuse images of which the network does not see the last rows or columns.

    Args:
        encoder: timm model.
        img_size: (H, W) in pixels.
        grid: (h, w) of its last features.

    Raises:
        InputError: a size that the patches, or the strides of a network that starts with patches (ConvNeXt), do not
            divide; the message has the nearest sizes that fit.
    """
    embedding = patch_embedding(encoder)
    step = (1, 1)
    if isinstance(embedding, PatchEmbed) and not embedding.dynamic_img_pad:
        step = (int(embedding.patch_size[0]), int(embedding.patch_size[1]))
    elif (patch := _first_patch(encoder)) and stride_of(img_size, grid) is None:
        reduction = max((entry["reduction"] for entry in getattr(encoder, "feature_info", [])), default=1)
        if reduction % patch == 0 and all(size // reduction == side for size, side in zip(img_size, grid, strict=True)):
            step = (int(reduction), int(reduction))
    if any(size % length for size, length in zip(img_size, step, strict=True)):
        given = "x".join(map(str, img_size))
        near = [neighbours(size, length) for size, length in zip(img_size, step, strict=True)]
        fitting = dict.fromkeys("x".join(map(str, sizes)) for sizes in itertools.islice(zip(*near, strict=True), 2))
        raise InputError(
            f"images of {given} pixels do not fit {type(encoder).__name__}: its patches or strides of {step[0]} pixels "
            f"do not divide them, and the last pixels are not seen; use {' or '.join(fitting)}"
        )


def neighbours(size: int, step: int) -> tuple[int, int]:
    """The nearest multiples of ``step`` below and above (or at) ``size``, from two steps on."""
    below, above = max(size // step, 2) * step, max(-(-size // step), 2) * step
    return below, above


def _first_patch(encoder: nn.Module) -> int:
    """Side of the patches if the first convolution cuts the image, without overlap or padding, into such; else 0."""
    first = next((module for module in encoder.modules() if isinstance(module, nn.Conv2d)), None)
    if first is None or first.kernel_size != first.stride or any(first.padding):
        return 0
    return max(first.stride) if max(first.stride) > 1 else 0
