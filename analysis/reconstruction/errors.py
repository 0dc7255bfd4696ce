"""Errors of reconstructions: L1, PSNR, SSIM, and error and energy by frequency."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from a2mim.masking import resize_mask

from ..core.arrays import Floats
from .pictures import Panels
from .settings import BANDS

SSIM_WINDOW = 11  # pixels: a Gaussian of sigma 1.5, cut at 3.5 sigma
ROUNDING = 1 / 255**2 / 12  # mean square error of rounding to 8 bits


class Energies(NamedTuple):
    """Of each image in each band of frequencies; see ``band_energies``."""

    error: Floats
    target: Floats
    prediction: Floats


def scores(shown: Panels, mask: torch.Tensor) -> pd.DataFrame:
    """L1 and PSNR (dB) of the hidden pixels, pixels in 0..1; one row for each image: image, l1, psnr.

    L1 = mean |p - x|, PSNR = -10·log10(mean (p - x)²), the means over hidden pixels and channels. An error below that
    of rounding to 8 bits counts as that (59 dB), so that averages stay finite. NaN where nothing is hidden.
    """
    hidden = _hidden(shown, mask).double()
    error = (shown.prediction - shown.original).double()
    count = hidden.sum((1, 2, 3)) * error.shape[1]
    l1 = (error.abs() * hidden).sum((1, 2, 3)) / count
    square = (error.square() * hidden).sum((1, 2, 3)) / count
    psnr = -10 * torch.log10(square.clamp(min=ROUNDING))
    return pd.DataFrame({"image": range(len(error)), "l1": l1.numpy(), "psnr": psnr.numpy()})


def no_ssim(img_size: Sequence[int]) -> str:
    """Why ``ssim`` cannot be had for images of (H, W) pixels; empty where it can."""
    if importlib.util.find_spec("skimage") is None:
        return "SSIM is left out: it needs scikit-image, which comes with the extra 'ssim' (pip install 'a2mim[ssim]')"
    if min(img_size) < SSIM_WINDOW:
        return f"SSIM is left out: images of {img_size[0]}x{img_size[1]} are smaller than its {SSIM_WINDOW} pixels"
    return ""


def ssim(shown: Panels, mask: torch.Tensor) -> Floats:
    """SSIM of original and pasted picture (Wang et al., 2004), averaged over hidden pixels and channels: (B,).

    By scikit-image, with the authors' Gaussian window of sigma 1.5. Windows at the rim of a hidden cell reach into the
    visible part, which is the same in both pictures. NaN where nothing is hidden.
    """
    from skimage.metrics import structural_similarity

    settings = dict(data_range=1.0, channel_axis=0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)

    def one(original: torch.Tensor, pasted: torch.Tensor, hidden: torch.Tensor) -> float:
        pair = original.double().numpy(), pasted.double().numpy()
        similar = structural_similarity(*pair, full=True, **settings)[1]
        return similar[:, hidden.numpy()].mean() if hidden.any() else np.nan

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # its filters run without the interpreter's lock
        return np.array(list(pool.map(one, shown.original, shown.pasted, _hidden(shown, mask)[:, 0])))


def band_edges(bands: int = BANDS) -> Floats:
    """Where bands begin and end, in units of π radians per pixel: (bands + 2,), 0 to 1 and the corners up to √2."""
    return np.append(np.linspace(0, 1, bands + 1), math.sqrt(2))


def band_energies(shown: Panels, mask: torch.Tensor, bands: int = BANDS) -> Energies:
    """Energy of error, target and prediction by band of frequencies: what L_freq (Eq. 4) is meant to mend.

    All three are 0 on visible pixels; on hidden ones (M) they are, with x̄ the mean colour of the image:

        error = (p − x)·M        target = (x − x̄)·M        prediction = (p − x̄)·M

    The energy of a band is Σ |DFT|²/(H·W) over the channels and the frequencies √(u² + v²) within it, for each hidden
    pixel and channel. By Parseval the error's, summed over bands, is the mean square error of the PSNR. error/target is
    1 for a prediction of the mean colour, with which the paper hides cells; prediction/target tells how much detail is
    drawn at all, right or wrong: in high bands, below 1 is blur, above 1 are artefacts. NaN where nothing is hidden.

    Returns:
        ``Energies``: each float64 (B, bands + 1), the last band being the corners beyond the Nyquist frequency.
    """
    hidden = _hidden(shown, mask)
    count = hidden.sum((2, 3)).double() * shown.original.shape[1]  # (B, 1)
    colour = shown.original.mean((2, 3), keepdim=True)
    error = (shown.pasted - shown.original) * hidden
    target = (shown.original - colour) * hidden
    times = _in_bands(shown.original.shape[-2:], bands)
    error_transform, target_transform = torch.fft.rfft2(error), torch.fft.rfft2(target)

    def energy(one: torch.Tensor) -> Floats:
        power = torch.view_as_real(one).square().sum((1, -1)).flatten(1).double()  # (B, frequencies)
        return (power @ times / count).numpy()

    return Energies(energy(error_transform), energy(target_transform), energy(error_transform + target_transform))


def _in_bands(size: Sequence[int], bands: int) -> torch.Tensor:
    """For ``rfft2``'s frequencies: how often each is in each band, over H·W; (frequencies, bands + 1)."""
    height, width = size
    rows = 2 * torch.fft.fftfreq(height, dtype=torch.float64)
    cols = 2 * torch.fft.rfftfreq(width, dtype=torch.float64)
    radius = (rows[:, None] ** 2 + cols**2).sqrt().flatten()
    band = (radius * bands + 1e-9).floor().long().clamp(max=bands)
    twice = torch.full((height, len(cols)), 2.0, dtype=torch.float64)  # rfft2 leaves out -u, -v
    twice[:, 0] = 1
    if width % 2 == 0:
        twice[:, -1] = 1
    return torch.nn.functional.one_hot(band, bands + 1) * twice.flatten()[:, None] / (height * width)


def _hidden(shown: Panels, mask: torch.Tensor) -> torch.Tensor:
    return resize_mask(mask.cpu(), shown.original.shape[-2:])[:, None]
