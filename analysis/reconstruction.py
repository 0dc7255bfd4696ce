"""Reconstructions of masked images (Figures 5, A2 and A3), as pictures and as numbers."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
import torch

from a2mim.errors import InputError
from a2mim.masking import fill_masked, resize_mask
from a2mim.model import MaskedImageModel

from .games import _eval_mode


class Panels(NamedTuple):
    """Images float32 (B, 3, H, W) on the CPU, pixels in 0..1; ``pasted`` is the prediction in hidden cells alone."""

    original: torch.Tensor
    masked: torch.Tensor
    prediction: torch.Tensor
    pasted: torch.Tensor


@torch.inference_mode()
def panels(model: MaskedImageModel, images: torch.Tensor, mask: torch.Tensor) -> Panels:
    """Original, masked input, prediction, and prediction pasted into the visible part.

    Args:
        model: a pre-trained ``MaskedImageModel``.
        images: (B, 3, H, W), normalised as the model expects.
        mask: bool (B, h, w), True = masked.

    Returns:
        ``Panels``, de-normalised by the model's mean and std and cut to 0..1.

    Raises:
        InputError: something else than a ``MaskedImageModel``, which alone has a reconstruction head.
    """
    if not isinstance(model, MaskedImageModel):
        raise InputError(f"a {type(model).__name__} has no reconstruction head; load it with a2mim.load_masked_model")
    with _eval_mode(model):
        prediction = model(images, mask).float()
    masked = fill_masked(images, mask, model.fill, mean=model.mean, std=model.std)
    hidden = resize_mask(mask, images.shape[-2:])[:, None]
    pasted = torch.where(hidden, prediction, images)
    mean, std = (images.new_tensor(values).view(1, -1, 1, 1) for values in (model.mean, model.std))
    return Panels(*((image * std + mean).clamp(0, 1).cpu() for image in (images, masked, prediction, pasted)))


def scores(shown: Panels, mask: torch.Tensor) -> pd.DataFrame:
    """L1 and PSNR (dB) of the hidden pixels, pixels in 0..1; one row for each image: image, l1, psnr.

    L1 = mean |p - x|, PSNR = -10·log10(mean (p - x)²), the means over hidden pixels and channels. NaN where nothing is
    hidden.
    """
    hidden = resize_mask(mask.cpu(), shown.original.shape[-2:])[:, None].double()
    error = (shown.prediction - shown.original).double()
    count = hidden.sum((1, 2, 3)) * error.shape[1]
    l1 = (error.abs() * hidden).sum((1, 2, 3)) / count
    psnr = -10 * torch.log10((error.square() * hidden).sum((1, 2, 3)) / count)
    return pd.DataFrame({"image": range(len(error)), "l1": l1.numpy(), "psnr": psnr.numpy()})
