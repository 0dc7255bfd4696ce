"""Patch masks, and what hidden patches are replaced with (section 4 of the paper, arXiv:2205.13943).

A mask is a bool tensor (B, h, w) over the cells of an image, True = hidden.
Images are normalised: (pixel - mean) / std.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torchvision.transforms.functional import gaussian_blur

from a2mim.choices import FILLS, ROUNDINGS
from a2mim.errors import InputError

CELLS = 7  # along a side, in the paper: 32 pixels of 224
FAR = 1.5  # a default cell that differs from the paper's share of the image by more than this factor is reported


def random_mask(
    batch: int,
    grid: tuple[int, int],
    ratio: float,
    generator: torch.Generator | None = None,
    *,
    rounding: str = "ceil",
) -> torch.Tensor:
    """Random patch mask: exactly ceil(ratio·h·w) cells of each image, drawn uniformly without replacement.

    Args:
        batch: number of images B.
        grid: cells (h, w).
        ratio: share of hidden cells, 0 to 1 (the paper uses 0.6).
        generator: source of randomness; the mask is on its device (without one, on the CPU).
        rounding: ``ceil`` (as SimMIM, arXiv:2111.09886, and the published code), ``floor`` or ``nearest`` (halves up).

    Returns:
        bool (B, h, w), True = masked.

    Raises:
        InputError: ratio outside 0 to 1, an empty grid, or an unknown rounding.

    Examples:
        >>> mask = random_mask(4, (7, 7), 0.6, torch.Generator().manual_seed(0))
        >>> mask.shape, mask.sum(dim=(1, 2)).tolist()
        (torch.Size([4, 7, 7]), [30, 30, 30, 30])
    """
    _check_ratio(ratio)
    if min(grid) < 1:
        raise InputError(f"mask grid {grid[0]}x{grid[1]} has no cells")
    if rounding not in ROUNDINGS:
        raise InputError(f"unknown rounding '{rounding}'; known: {', '.join(ROUNDINGS)}")
    cells = grid[0] * grid[1]
    # 0.6 * 5 is 3.0000000000000004 in floats; it means 3
    hidden = ROUNDINGS[rounding](round(ratio * cells, 9))
    device = _device(generator)
    rank = torch.rand(batch, cells, generator=generator, device=device).argsort(dim=1).argsort(dim=1)
    return (rank < hidden).view(batch, *grid)


def square_mask(
    batch: int, img_size: tuple[int, int], ratio: float, generator: torch.Generator | None = None
) -> torch.Tensor:
    """One square per image, at any pixel with equal probability: the mask of inpainting (arXiv:1604.07379).

    Args:
        batch: number of images B.
        img_size: (H, W) in pixels.
        ratio: share of the area; the side is √(ratio·H·W), rounded to a pixel.
        generator: source of randomness; the mask is on its device (without one, on the CPU).

    Returns:
        bool (B, H, W), True = masked.

    Raises:
        InputError: ratio outside 0 to 1, or a square that is larger than the image.
    """
    _check_ratio(ratio)
    height, width = img_size
    side = round(math.sqrt(ratio * height * width))
    if side > min(img_size):
        raise InputError(
            f"mask ratio {ratio:g} needs a square of {side}x{side} pixels, larger than the image ({height}x{width})"
        )
    device = _device(generator)
    top, left = (
        torch.randint(length - side + 1, (batch, 1), generator=generator, device=device) for length in img_size
    )
    rows, cols = (
        (torch.arange(length, device=device) >= start) & (torch.arange(length, device=device) < start + side)
        for length, start in zip(img_size, (top, left), strict=True)
    )
    return rows[:, :, None] & cols[:, None, :]


def auto_cell(img_size: int | tuple[int, int], stride: int = 1) -> int:
    """Side of a mask cell in pixels if none is given: 32 at 224 pixels, as in the paper.

    Of the multiples of ``stride`` that divide the image and are smaller than it, the nearest (by ratio) to a seventh of
    its height.

    Args:
        img_size: side, or (H, W), in pixels.
        stride: pixels along the side of one token of the network (``MaskedImageModel.mask_stride``).

    Raises:
        InputError: no such cell; the message has the nearest sizes of images that have one.

    Examples:
        >>> auto_cell(224, 16), auto_cell(224, 14), auto_cell(96, 16), auto_cell(518, 14)
        (32, 28, 16, 14)
    """
    height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
    cells = _fitting_cells(height, width, stride)
    if cells:
        return min(cells, key=lambda cell: abs(math.log(cell * CELLS / height)))
    near = []
    for step in (-1, 1):
        sizes = itertools.takewhile(lambda size: size > 1, itertools.count(height + step, step))
        near += [size for size in itertools.islice(sizes, 2 * height) if _fitting_cells(size, size, stride)][:1]
    raise InputError(
        f"images of {height}x{width} pixels cannot be divided into mask cells that are multiples of {stride} pixels, "
        f"the stride of the network; use images of {' or '.join(map(str, near))} pixels, or give --mask-patch-size"
    )


def _fitting_cells(height: int, width: int, stride: int) -> list[int]:
    """Multiples of the stride that divide an image and are smaller than it; single pixels only of tiny images."""
    smallest = 1 if height <= CELLS * FAR else 2
    side = math.gcd(height, width)
    return [
        cell for cell in range(stride, side + 1, stride) if side % cell == 0 and smallest <= cell < max(height, width)
    ]


def misfit(img_size: tuple[int, int], cell: int, stride: int) -> str | None:
    """What is wrong with mask cells of ``cell`` pixels that cut through the tokens of a network, or None."""
    if cell % stride == 0:
        return None
    fitting = _fitting_cells(*img_size, stride)
    use = f"use {', '.join(map(str, fitting))}" if fitting else "no multiple divides these images"
    return (
        f"mask cells of {cell} pixels are not a multiple of the network's stride of {stride}: tokens are partly "
        f"hidden; {use}"
    )


def unusual(img_size: tuple[int, int], cell: int, stride: int) -> str | None:
    """What is unusual about a default cell that differs from a seventh of the image by more than a factor of 1.5."""
    wanted = img_size[0] / CELLS
    if 1 / FAR <= cell / wanted <= FAR:
        return None
    fitting = ", ".join(map(str, _fitting_cells(*img_size, stride)))
    return (
        f"mask cells have {cell} pixels, not about {wanted:.0f} (a seventh of {img_size[0]}): the multiples of "
        f"{stride} that divide the image are {fitting}"
    )


def mask_grid(img_size: tuple[int, int], cell: int) -> tuple[int, int]:
    """Cells (h, w) of an image of ``img_size`` (H, W) pixels cut into squares of ``cell`` pixels.

    Raises:
        InputError: ``cell`` does not divide the image; the message lists the sizes that do.

    Examples:
        >>> mask_grid((224, 224), 32)
        (7, 7)
    """
    height, width = img_size
    if cell < 1 or height % cell or width % cell:
        fitting = [c for c in range(1, min(img_size) + 1) if height % c == 0 and width % c == 0]
        raise InputError(
            f"mask cell of {cell} pixels does not divide an image of {height}x{width}; these do: "
            + ", ".join(map(str, fitting))
        )
    return height // cell, width // cell


def resize_mask(mask: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """D(M) of section 4: the mask (B, h, w) on another grid ``size``, by nearest neighbour; bool (B, *size).

    On a finer grid every cell is repeated. On a coarser grid each new cell takes the old cell at its upper left corner,
    so a mask cell should be a multiple of the stride of the site (see ``auto_cell``).
    """
    (batch, rows, cols), (height, width) = mask.shape, size
    if (rows, cols) == (height, width):
        return mask
    if height % rows == 0 and width % cols == 0:  # plain repetition, several times faster than interpolate
        repeated = mask[:, :, None, :, None].expand(-1, -1, height // rows, -1, width // cols)
        return repeated.reshape(batch, height, width)
    return F.interpolate(mask[:, None].float(), size=list(size), mode="nearest")[:, 0] > 0.5


def replacement(
    images: torch.Tensor,
    fill: str | torch.Tensor,
    *,
    mask: torch.Tensor | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    """What hidden pixels are replaced with.

    Args:
        images: normalised images (B, 3, H, W).
        fill: ``image-mean`` the mean colour of each whole image, hidden pixels included (the paper: "mean RGB of the
            image"); ``visible-mean`` that of its visible pixels (needs ``mask``); ``dataset-mean`` or ``zero`` 0 after
            normalisation; ``black`` 0 before it (needs ``mean`` and ``std``); ``blur`` the image under a Gaussian of
            sigma H/8; ``noise`` white noise of unit variance after normalisation; or a tensor.
        mask: bool (B, h, w), True = masked; only ``visible-mean`` uses it.
        mean, std: normalisation of the images, one number per channel, for pixels from 0 to 1.
        generator: for ``noise``; without one, torch's default on the images' device.

    Returns:
        Tensor that broadcasts to (B, 3, H, W), on the images' device.

    Raises:
        InputError: an unknown fill, or one whose ``mask``, ``mean`` or ``std`` is not given.
    """
    if isinstance(fill, torch.Tensor):
        return fill.to(images)
    if fill == "image-mean":
        return images.mean(dim=(2, 3), keepdim=True)
    if fill == "visible-mean":
        if mask is None:
            raise InputError("fill 'visible-mean' needs a mask")
        visible = ~resize_mask(mask, images.shape[-2:])[:, None]
        # an image without visible pixels has no visible mean: it gets 0, the mean of the data set
        return (images * visible).sum((2, 3), keepdim=True) / visible.sum((2, 3), keepdim=True).clamp(min=1)
    if fill in ("dataset-mean", "zero"):
        return images.new_zeros(1, 1, 1, 1)
    if fill == "black":
        if mean is None or std is None:
            raise InputError("fill 'black' needs the mean and std that the images were normalised with")
        return -(images.new_tensor(mean) / images.new_tensor(std)).view(1, -1, 1, 1)
    if fill == "blur":
        return _blurred(images)
    if fill == "noise":
        device = images.device if generator is None else generator.device
        return torch.randn(images.shape, generator=generator, device=device).to(images)
    raise InputError(f"unknown fill '{fill}'; known: {', '.join(FILLS)}")


def _blurred(images: torch.Tensor) -> torch.Tensor:
    sigma = images.shape[-2] / 8
    # reflection needs a kernel of less than twice the image; odd by definition
    radius = min(int(3 * sigma), min(images.shape[-2:]) - 1)
    return gaussian_blur(images, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])


def fill_masked(
    images: torch.Tensor, mask: torch.Tensor, fill: str | torch.Tensor = "image-mean", **needs: Any
) -> torch.Tensor:
    """x·(1 − M) + fill·M: the images with every masked cell replaced.

    Args:
        images: normalised images (B, 3, H, W).
        mask: bool (B, h, w), True = masked; h and w divide H and W.
        fill: see ``replacement``.
        needs: ``mean``, ``std`` and ``generator`` of ``replacement``.

    Returns:
        Images (B, 3, H, W); visible pixels do not change.

    Raises:
        InputError: a mask that does not fit the images, or an unknown fill.

    Examples:
        >>> images, mask = torch.ones(1, 3, 4, 4), torch.tensor([[[True, False], [False, False]]])
        >>> fill_masked(images, mask, "zero")[0, 0].tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    if mask.dim() != 3 or mask.shape[0] != images.shape[0] or mask.dtype != torch.bool:
        raise InputError(
            f"mask must be bool (B, h, w) with B = {images.shape[0]}, got {mask.dtype} {tuple(mask.shape)}"
        )
    if images.shape[-2] % mask.shape[-2] or images.shape[-1] % mask.shape[-1]:
        raise InputError(
            f"a mask of {mask.shape[-2]}x{mask.shape[-1]} cells does not divide images of "
            f"{images.shape[-2]}x{images.shape[-1]} pixels"
        )
    return paste(images, replacement(images, fill, mask=mask, **needs).to(images.dtype), mask)


def paste(images: torch.Tensor, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """x·(1 − M) + hidden·M: (B, 3, H, W), in the memory format of the images.

    Args:
        images: (B, 3, H, W), or one (1, 3, H, W) for all masks.
        hidden: what masked cells are replaced with; broadcasts to the images.
        mask: bool (B, h, w), True = masked; h and w divide H and W.
    """
    channels, height, width = images.shape[1:]
    rows, cols = mask.shape[1:]
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    across = width // cols * (channels if last else 1)  # adjacent numbers of one cell

    def laid(values: torch.Tensor) -> torch.Tensor:
        """(n, 3, H, W) in memory order: (n, 3, h, H / h, W), or (n, 1, h, H / h, W·3) in channels last."""
        if values.numel() == 1:
            return values.view(1, 1, 1, 1, 1)
        values = values.expand(-1, channels, height, width)
        return (values.permute(0, 2, 3, 1) if last else values).reshape(
            len(values), 1 if last else channels, rows, height // rows, cols * across
        )

    # the fastest way to apply a mask to an image: whole rows of a cell at a time
    inside = mask[..., None].expand(-1, -1, -1, across).reshape(-1, 1, rows, 1, cols * across)
    pasted = torch.where(inside, laid(hidden), laid(images))
    if last:
        return pasted.view(-1, height, width, channels).permute(0, 3, 1, 2)
    return pasted.view(-1, channels, height, width)


def _check_ratio(ratio: float) -> None:
    if not 0 <= ratio <= 1:
        raise InputError(f"mask ratio {ratio:g} is outside 0 to 1")


def _device(generator: torch.Generator | None) -> torch.device:
    return generator.device if generator is not None else torch.device("cpu")
