"""Reconstructions of masked images (Figures 5, A2 and A3), as pictures and as numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from a2mim import seeds
from a2mim.errors import InputError
from a2mim.masking import fill_masked, random_mask, resize_mask, square_mask
from a2mim.model import MaskedImageModel

from ..core.networks import eval_mode


class Panels(NamedTuple):
    """Images float32 (B, 3, H, W) on the CPU, pixels in 0..1; ``pasted`` is the prediction in hidden cells alone."""

    original: torch.Tensor
    masked: torch.Tensor
    prediction: torch.Tensor
    pasted: torch.Tensor


def masks(
    indices: Sequence[int], size: tuple[int, int], grid: tuple[int, int] | None, ratio: float, seed: int
) -> torch.Tensor:
    """The masks of images, bool (B, h, w), True = masked: each from the seed and the image's number alone.

    Args:
        indices: numbers of the images.
        size: (H, W) of the images in pixels.
        grid: (h, w) of the cells of which some are hidden; None hides one square, as inpainting does.
        ratio: share of the cells, or of the area, that is hidden.
    """
    generators = [seeds.generator(seed, "mask", index) for index in indices]
    if grid is None:
        return torch.cat([square_mask(1, size, ratio, generator) for generator in generators])
    return torch.cat([random_mask(1, grid, ratio, generator) for generator in generators])


@contextlib.contextmanager
def without_token(model: MaskedImageModel) -> Iterator[None]:
    """Inside, the model leaves the features at its site as they are, z instead of z + T·D(M) (Figure A3).

    A model whose token replaces features keeps those that the filled cells give. The weights are not touched.
    """
    token, model.token = model.token, "none"
    try:
        yield
    finally:
        model.token = token


@torch.inference_mode()
def panels(model: MaskedImageModel, images: torch.Tensor, mask: torch.Tensor) -> Panels:
    """Original, masked input, prediction, and prediction pasted into the visible part.

    Args:
        model: a pre-trained ``MaskedImageModel``.
        images: (B, 3, H, W), normalised as the model expects.
        mask: bool (B, h, w), True = masked.

    Returns:
        ``Panels``, de-normalised by the model's mean and std and cut to 0..1.

    Example:
        >>> import a2mim, torch
        >>> model, _ = a2mim.load_masked_model("fashion-resnet-pretrained")
        >>> mask = masks([0], (32, 32), (4, 4), ratio=0.5, seed=0)
        >>> panels(model, torch.zeros(1, 3, 32, 32), mask).pasted.shape
        torch.Size([1, 3, 32, 32])

    Raises:
        InputError: a model that is not a ``MaskedImageModel``, which alone has a reconstruction head.
    """
    if not isinstance(model, MaskedImageModel):
        raise InputError(f"a {type(model).__name__} has no reconstruction head; load it with a2mim.load_masked_model")
    noise = ("reconstruction", "noise")  # a fill that is drawn is the same in the picture as in the input
    with eval_mode(model), seeds.isolated(*noise):
        prediction = model(images, mask).float()
    with seeds.isolated(*noise):
        masked = fill_masked(images, mask, model.fill, mean=model.mean, std=model.std)
    hidden = resize_mask(mask, images.shape[-2:])[:, None]
    pasted = torch.where(hidden, prediction, images)
    mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (model.mean, model.std))
    return Panels(*((image * std + mean).clamp(0, 1).cpu() for image in (images, masked, prediction, pasted)))
