"""The frequency loss L_freq (section 4, Eqs. 3 to 5): the distance between the spectra of prediction and image.

Because the Fourier transform is linear, the difference of two spectra is the spectrum of the difference: one transform
serves both images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch

from .spatial import DISTANCES, squared

# What replaces a visible pixel, minus the image: a function of the error (without gradient) and the image.
REPLACEMENTS: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "prediction": lambda error, target: error,
        "target": lambda error, target: torch.zeros_like(error),
        "mixed": lambda error, target: 0.5 * error,
        "mean": lambda error, target: target.mean(dim=(2, 3), keepdim=True) - target,
    }
)


def blended_residual(
    error: torch.Tensor,
    target: torch.Tensor,
    hidden: torch.Tensor,
    blend: str = "prediction",
    visible_weight: float = 0.0,
) -> torch.Tensor:
    """x_pred ⊙ M + r ⊙ (1 - M) - x: the blended image in Eq. 4, minus the image; r has no gradient.

    Args:
        error: x_pred - x, (B, C, H, W).
        target: x, (B, C, H, W).
        hidden: M, (B, 1, H, W), 1.0 = hidden.
        blend: r, the content of visible pixels: ``prediction`` det(x_pred), ``target`` x, ``mixed`` their average,
            ``mean`` the mean colour of the image; or ``none``: x_pred everywhere, with its gradient.
        visible_weight: share of x_pred (with its gradient) kept in visible pixels, 0 to 1.

    Returns:
        Residual (B, C, H, W). With ``visible_weight`` 0 and a blend other than ``none``, the gradient reaches x_pred
        only through hidden pixels.

    Notes:
        ``prediction`` is Eq. 4 as written: the errors of visible pixels, which have no token, still enter the spectrum
        and its weight ω. The stated aim, a comparison with the true image, suggests ``target``, whose residual is
        exactly 0 there. The published recipes use ``mixed``.
    """
    if blend == "none":
        return error
    share = hidden + (1 - hidden) * visible_weight if visible_weight else hidden
    return torch.lerp(REPLACEMENTS[blend](error.detach(), target), error, share)


def focal_weight(power: torch.Tensor, alpha: float = 1.0, log: bool = False, maximum: str = "image") -> torch.Tensor:
    """ω(u,v) = ‖F(u,v)‖^α of Eq. 5, divided by its maximum.

    Args:
        power: |F|², (B, C, rows, columns), without gradient; the half spectrum is enough.
        alpha: exponent α, 0 or more.
        log: use log(1 + ω) instead of ω, before the maximum is taken.
        maximum: divide by the maximum of each ``image`` and channel, of the whole ``batch``, or by ``none``.

    Returns:
        ω, same shape; 0 to 1 unless ``maximum`` is ``none``; 0 where the spectrum is 0.

    Notes:
        Eq. 5 has no maximum. The paper takes ω from "Focal Frequency Loss for Image Reconstruction and Synthesis"
        (arXiv:2012.12821), which scales each matrix to 0..1; without this the size of ω depends on the image. The
        authors' code uses ``log`` with ``batch``.
    """
    weight = power.pow(alpha / 2)
    if log:
        weight = weight.log1p()
    if maximum == "none":
        return weight
    largest = weight.amax(dim=(2, 3), keepdim=True) if maximum == "image" else weight.amax()
    return weight / largest.clamp(min=torch.finfo(weight.dtype).tiny)


def mirror_counts(width: int, like: torch.Tensor) -> torch.Tensor:
    """How often each column of a half spectrum occurs in the full one: (width // 2 + 1,), 1 or 2, summing to ``width``.

    A real image has F(-u, -v) = conj F(u, v), so rfft2 omits the mirror of every column except column 0 and, if the
    width is even, the last: these are their own mirrors. Type and device are those of ``like``.
    """
    counts = like.new_full((width // 2 + 1,), 2.0)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


class _WeightedPower(torch.autograd.Function):
    """Σ weight·|F|² over the full spectrum of a real image; its gradient 2·Re DFT*(weight·F) is one irfft2.

    F, |F|² and the weight are half spectra; F is that of the residual, the weight is symmetric and constant. The loss
    takes about two thirds of the time of torch's own backward of rfft2, which builds the mirrored half and transforms
    it.
    """

    @staticmethod
    def forward(
        ctx: Any, residual: torch.Tensor, spectrum: torch.Tensor, power: torch.Tensor, weight: torch.Tensor, norm: str
    ) -> torch.Tensor:
        ctx.size, ctx.norm = residual.shape[-2:], norm
        ctx.save_for_backward(spectrum * weight)
        return ((power * weight).sum(dim=(0, 1, 2)) * mirror_counts(ctx.size[-1], power)).sum()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weighted,) = ctx.saved_tensors
        # the adjoint of a transform has its factor once more, the inverse has the opposite one
        adjoint = {"ortho": "ortho", "backward": "forward", "forward": "backward"}[ctx.norm]
        image = torch.fft.irfft2(weighted, s=ctx.size, norm=adjoint)
        return image.mul_(2 * slope), None, None, None, None


def frequency_loss(
    residual: torch.Tensor,
    *,
    distance: str = "l2",
    weight: str = "focal",
    alpha: float = 1.0,
    log: bool = False,
    maximum: str = "image",
    ave_spectrum: bool = False,
    norm: str = "ortho",
) -> torch.Tensor:
    """L_freq (Eq. 4): the mean over images, channels and all H·W frequencies of ω ⊙ ‖F‖, F the DFT (Eq. 3) of residual.

    Args:
        residual: (B, C, H, W) real, the image of ``blended_residual``; H and W odd or even.
        distance: ``l2`` |F|², ``l1`` |F| (Eq. 4 as printed), ``focal-l1`` see ``focal_l1``.
        weight: ``focal`` ω of Eq. 5, without gradient; ``none`` 1.
        alpha, log, maximum: of ω, see ``focal_weight``.
        ave_spectrum: average the complex spectra of the batch first. Errors of different images then cancel: the value
            falls about as 1/B, so λ depends on the batch size.
        norm: of the DFT, as in torch.fft: ``ortho`` divides by √(H·W), ``backward`` by 1 (Eq. 3), ``forward`` by H·W.

    Returns:
        Scalar.

    Notes:
        Eq. 4 prints ‖·‖ unsquared and sums an unnormalised transform over c, u, v (its last sum has w instead of v),
        which even without ω is C·H·W·√(H·W) times larger, 3·10⁷ at 224 pixels. Here: squared as in Focal Frequency
        Loss (arXiv:2012.12821), the source of ω, an ortho transform, and the mean, so that λ does not depend on the
        size of the image. Eqs. 3 to 5 to the letter: distance="l1", maximum="none", norm="backward", times C·H·W.
    """
    if ave_spectrum:  # the transform is linear: the mean of the spectra is the spectrum of the mean
        residual = residual.mean(dim=0, keepdim=True)
    spectrum = torch.fft.rfft2(residual.detach() if distance == "l2" else residual, norm=norm)
    power = squared(spectrum.detach())
    omega = focal_weight(power, alpha, log, maximum) if weight == "focal" else power.new_ones(())
    if distance == "l2":
        return _WeightedPower.apply(residual, spectrum, power, omega, norm) / residual.numel()
    counts = mirror_counts(residual.shape[-1], residual)
    return (DISTANCES[distance](spectrum) * omega * counts).sum() / residual.numel()
