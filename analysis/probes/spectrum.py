"""Fourier spectra of feature maps (section 3.3, Figure 3 a): how much of each frequency a layer lets through.

Sources: "Architecture-Agnostic Masked Image Modeling – From ViT back to CNN" (arXiv 2205.13943), section 3.3;
"How Do Vision Transformers Work?" (arXiv 2202.06709), whose code the definition follows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from a2mim.errors import InputError

EPSILON = 1e-6  # added to amplitudes before their logarithm, as published


def log_amplitude(features: torch.Tensor, reduction: str = "diagonal") -> torch.Tensor:
    """Relative log amplitude of single images: (B, C, H, W) -> float32 (B, K).

    A = mean over channels of log(|FFT₂(x)| + 1e-6), minus its value at frequency 0. The FFT runs in float32.

    Args:
        features: maps, in any memory format; for ``diagonal`` H = W.
        reduction: ``diagonal``: along the half diagonal from (0, 0) on, as published; ``radial``: the mean over rings
            of equal distance from it, a frequency step wide, up to the Nyquist frequency of the shorter axis.

    Raises:
        InputError: another shape or reduction, a diagonal of maps that are not square, maps of one pixel.
    """
    if features.ndim != 4:
        raise InputError(f"features must be (B, C, H, W), got {tuple(features.shape)}")
    check_reduction(reduction)
    if features.shape[2:].numel() < 2:
        raise InputError("maps of one pixel have no spectrum")
    along = REDUCTIONS[reduction](features.float())
    return along - along[:, :1]


def relative_log_amplitude(features: torch.Tensor, reduction: str = "diagonal") -> npt.NDArray[np.float64]:
    """``log_amplitude`` averaged over the images: (B, C, H, W) -> float64 (K,); the first value is 0.

    Args:
        features, reduction: see ``log_amplitude``.

    Raises:
        InputError: what ``log_amplitude`` raises.

    Example:
        >>> import torch
        >>> relative_log_amplitude(torch.eye(8)[None, None]).shape  # frequencies 0, π/4, π/2, 3π/4
        (4,)
    """
    return log_amplitude(features, reduction).cpu().double().mean(dim=0).numpy()


def check_reduction(reduction: str) -> None:
    """Raise InputError for a reduction that is none of ``REDUCTIONS``."""
    if reduction not in REDUCTIONS:
        raise InputError(f"unknown reduction '{reduction}'; known: {', '.join(REDUCTIONS)}")


def frequencies(size: tuple[int, int], reduction: str = "diagonal") -> npt.NDArray[np.float64]:
    """Frequencies of the K values, in units of π radians per pixel of the map: (K,), 0 <= f < 1 on the diagonal.

    An even map has its Nyquist frequency (1 π) at the other end of the diagonal, so that the last of a map of 56 pixels
    is 0.96 π, of 14 and of 7 0.86 π.
    """
    side = min(size)
    return 2 * np.arange(_steps(side, reduction)) / side


def interpolation(found: npt.NDArray[np.float64], frequency: float) -> tuple[int, float] | None:
    """(k, share): the value at a frequency is that at k, plus ``share`` of the way from there to that at k + 1.

    Layers of other resolutions are compared so at the same frequency, and not each at the last that it happens to have.

    Args:
        found: frequencies of the values, rising, (K,).

    Returns:
        None for a frequency outside them, 0 <= share < 1 otherwise.
    """
    if not found[0] - 1e-9 <= frequency <= found[-1] + 1e-9:
        return None
    below = int(np.searchsorted(found, frequency + 1e-9)) - 1
    if below == len(found) - 1:
        return below, 0.0
    return below, max(0.0, (frequency - found[below]) / (found[below + 1] - found[below]))


def _steps(side: int, reduction: str) -> int:
    return (side + 1) // 2 if reduction == "diagonal" else side // 2 + 1


def _diagonal(features: torch.Tensor) -> torch.Tensor:
    """The mean of logs along F(k, k), by one FFT of N values instead of N²:

    F(k, k) = Σ_{h,w} x[h, w] exp(-2πi k (h + w) / N) = Σ_t s[t] exp(-2πi k t / N), s[t] = Σ of x where h + w ≡ t mod N.
    """
    batch, channels, side, width = features.shape
    if side != width:
        raise InputError(f"maps of {side}x{width} pixels have no diagonal; take the radial mean")
    if features.stride(1) == 1:  # channels-last or tokens: sums in the same format read the map as it lies
        sums = features.new_zeros(batch, 2 * side, channels).transpose(1, 2)
    else:
        sums = features.new_zeros(batch, channels, 2 * side)
    for row in range(side):
        sums[:, :, row : row + side] += features[:, :, row]
    wrapped = sums[:, :, :side] + sums[:, :, side:]
    return _mean_log(torch.fft.rfft(wrapped, dim=2)[:, :, : _steps(side, "diagonal")])


def _radial(features: torch.Tensor) -> torch.Tensor:
    """The half of the spectrum that a real map's other half mirrors, weighted for both."""
    height, width = features.shape[2:]
    rings = _rings(height, width).to(features.device)
    return _mean_log(torch.fft.rfft2(features)).flatten(1) @ rings.flatten(0, 1)


def _rings(height: int, width: int) -> torch.Tensor:
    """Weight of each value of the half spectrum in the mean over each ring, (H, W // 2 + 1, K); a ring's sum is 1."""
    side = min(height, width)
    distance = (torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width) ** 2).sqrt() * side
    ring = (distance + 0.5).floor().long()  # 0, 1, ... side / 2, and the corners beyond
    steps = _steps(side, "radial")
    weights = torch.nn.functional.one_hot(ring, max(steps, int(ring.max()) + 1))[..., :steps].float()
    weights[:, 1 : (width + 1) // 2] *= 2  # the columns that have a mirror image
    return weights / weights.sum(dim=(0, 1))


def _mean_log(spectrum: torch.Tensor) -> torch.Tensor:
    """Mean over channels of log(|F| + 1e-6): complex (B, C, ...) -> float32 (B, ...). The spectrum is used up."""
    squares = torch.view_as_real(spectrum).square_()  # abs() of complex numbers takes six times as long on a CPU
    return (squares[..., 0] + squares[..., 1]).sqrt_().add_(EPSILON).log_().mean(dim=1)


REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {"diagonal": _diagonal, "radial": _radial}
