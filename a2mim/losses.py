"""The loss of A2MIM: spatial and frequency distance between a prediction and the image (section 4, Eqs. 3 to 6).

Images are normalised tensors (B, 3, H, W). The error is prediction - image. ``hidden`` is the mask at the size of the
image, (B, 1, H, W), 1.0 = hidden, 0.0 = visible. Because the Fourier transform is linear, the difference of two spectra
is the spectrum of the difference, so one transform serves both images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from a2mim.errors import InputError
from a2mim.masking import resize_mask


def squared(error: torch.Tensor) -> torch.Tensor:
    """|e|² of a real or complex tensor, real, same shape."""
    # several times faster on a CPU than abs().square(), and without the root whose slope at 0 is infinite
    return (error * error.conj()).real


def focal_l1(error: torch.Tensor) -> torch.Tensor:
    """|e|·(2σ(0.2·|e|) - 1) of a real or complex tensor: L1 that rises slowly near 0.

    Notes:
        Not in the paper, which leaves the norm of L_spa open; the loss of the published CNN recipes. Written with
        2σ(x) - 1 = tanh(x/2).
    """
    magnitude = error.abs()
    return magnitude * torch.tanh(0.1 * magnitude)


DISTANCES: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"l1": torch.abs, "l2": squared, "focal-l1": focal_l1}
)


def spatial_loss(error: torch.Tensor, hidden: torch.Tensor, distance: str = "l1") -> torch.Tensor:
    """L_spa = ‖x_pred - x‖ ⊙ M (beside Eq. 6): the mean distance over hidden pixels and channels of the whole batch.

    Args:
        error: x_pred - x, (B, C, H, W).
        hidden: M, (B, 1, H, W), 1.0 = hidden.
        distance: ``l1`` |e|, ``l2`` |e|², ``focal-l1`` see ``focal_l1``.

    Returns:
        Scalar; 0 where nothing is hidden.

    Notes:
        The paper states neither the norm nor what it is divided by. L1 and the mean over hidden elements are what
        SimMIM and the authors' code use.
    """
    total = (DISTANCES[distance](error) * hidden).sum()
    return total / (hidden.sum() * error.shape[1]).clamp(min=1)


# What stands in a visible pixel, less the image: a function of the error without gradient and of the image.
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
    """x_pred ⊙ M + r ⊙ (1 - M) - x: the blended image inside Eq. 4, less the image; r carries no gradient.

    Args:
        error: x_pred - x, (B, C, H, W).
        target: x, (B, C, H, W).
        hidden: M, (B, 1, H, W), 1.0 = hidden.
        blend: r, what stands in visible pixels: ``prediction`` det(x_pred), ``target`` x, ``mixed`` the middle of these
            two, ``mean`` the mean colour of the image; or ``none``: x_pred everywhere, with its gradient.
        visible_weight: 0 to 1, the share of x_pred (with its gradient) that is kept in visible pixels.

    Returns:
        Residual (B, C, H, W). With ``visible_weight`` 0 and a blend other than ``none`` gradient reaches x_pred through
        hidden pixels alone.

    Notes:
        ``prediction`` is Eq. 4 as written: the errors of visible pixels, for which no token stands, still enter the
        spectrum and its weight ω. The stated aim, a comparison with the true image, suggests ``target``, whose residual
        is exactly 0 there. The published recipes use ``mixed``.
    """
    if blend == "none":
        return error
    share = hidden + (1 - hidden) * visible_weight if visible_weight else hidden
    return torch.lerp(REPLACEMENTS[blend](error.detach(), target), error, share)


def focal_weight(power: torch.Tensor, alpha: float = 1.0, log: bool = False, maximum: str = "image") -> torch.Tensor:
    """ω(u,v) = ‖F(u,v)‖^α of Eq. 5, divided by its maximum.

    Args:
        power: |F|², (B, C, rows, columns), without gradient; the half spectrum will do, its mirror adds no new value.
        alpha: exponent α >= 0.
        log: log(1 + ω) in the place of ω, before the maximum is taken.
        maximum: divide by the maximum of each ``image`` and channel, of the whole ``batch``, or by ``none``.

    Returns:
        ω, same shape; 0 to 1 unless ``maximum`` is ``none``; all 0 where the spectrum is.

    Notes:
        Eq. 5 has no maximum. The paper takes ω from Focal Frequency Loss (its reference 27), which scales each matrix
        to 0..1; without this the size of ω depends on the image. ``log`` with ``batch`` is the authors' code.
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

    A real image has F(-u, -v) = conj F(u, v), so rfft2 leaves out the mirror of every column but column 0 and, where
    the width is even, the last: these two are their own mirrors. Type and device are those of ``like``.
    """
    counts = like.new_full((width // 2 + 1,), 2.0)
    counts[0] = 1
    if width % 2 == 0:
        counts[-1] = 1
    return counts


class _WeightedPower(torch.autograd.Function):
    """Σ weight·|F|² over the full spectrum of a real image; its gradient 2·Re DFT*(weight·F) is one irfft2.

    F, |F|² and the weight are given as half spectra; F belongs to the residual, the weight is symmetric and constant.
    The whole loss takes about two thirds of its time with torch's own backward of rfft2, which writes out the mirrored
    half and transforms that.
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
        # the adjoint of a transform carries its factor once more, the inverse carries the opposite one
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
            falls about as 1/B and depends on the batch size, so that one λ does not serve two batch sizes.
        norm: of the DFT, as in torch.fft: ``ortho`` divides by √(H·W), ``backward`` by 1 (Eq. 3), ``forward`` by H·W.

    Returns:
        Scalar.

    Notes:
        Eq. 4 prints ‖·‖ unsquared and sums an unnormalised transform over c, u, v (under its last sum stands w for v),
        which even without ω is C·H·W·√(H·W) times larger, 3·10⁷ at 224 pixels. Here: squared as in Focal Frequency
        Loss, where ω is from, an ortho transform, and the mean, so that λ does not depend on the size of the image.
        The letter of Eqs. 3 to 5 is distance="l1", maximum="none", norm="backward", times C·H·W.
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


def _choice(default: str, choices: tuple[str, ...], help: str) -> Any:
    return field(default=default, metadata={"help": help, "choices": choices})


def _number(default: float, low: float, high: float, help: str) -> Any:
    return field(default=default, metadata={"help": help, "range": (low, high)})


def _switch(help: str) -> Any:
    return field(default=False, metadata={"help": help})


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Every setting of ``MIMLoss``; the defaults are the paper's loss.

    Raises:
        InputError: a value that is not allowed; the message lists what is.
    """

    loss_spa: str = _choice("l1", tuple(DISTANCES), "distance of hidden pixels in L_spa")
    loss_freq: str = _choice("l2", tuple(DISTANCES), "distance of spectra in L_freq; l1 = Eq. 4 as printed")
    freq_lambda: float = _number(0.5, 0, math.inf, "λ of Eq. 6; 0 leaves L_freq out")
    freq_blend: str = _choice("prediction", (*REPLACEMENTS, "none"), "what stands in visible pixels in L_freq")
    freq_visible_weight: float = _number(0.0, 0, 1, "share of the prediction kept, with gradient, in visible pixels")
    freq_weight: str = _choice("focal", ("focal", "none"), "weight of the frequencies: ω of Eq. 5 or 1")
    freq_alpha: float = _number(1.0, 0, math.inf, "α of Eq. 5")
    freq_log: bool = _switch("log(1 + ω) in the place of ω")
    freq_max: str = _choice("image", ("image", "batch", "none"), "ω is divided by its maximum over these")
    freq_ave_spectrum: bool = _switch("average the spectra of the batch first; λ then depends on the batch size")
    freq_norm: str = _choice("ortho", ("ortho", "backward", "forward"), "norm of the DFT, as in torch.fft")

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            choices, limits = setting.metadata.get("choices"), setting.metadata.get("range")
            if choices and value not in choices:
                raise InputError(f"{setting.name} '{value}' is unknown; allowed: {', '.join(choices)}")
            if limits and not (_is_number(value) and limits[0] <= value <= limits[1] and math.isfinite(value)):
                rule = f"0 to {limits[1]}" if math.isfinite(limits[1]) else "0 or more"
                raise InputError(f"{setting.name} {value!r} is not allowed; allowed: a number, {rule}")
            if not choices and not limits and not isinstance(value, bool):
                raise InputError(f"{setting.name} {value!r} is not allowed; allowed: true, false")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_AUTHORS_WEIGHT: dict[str, Any] = {"freq_log": True, "freq_max": "batch", "freq_ave_spectrum": True}

# What each published recipe changes in the paper's loss. official-*: the recipes that the paper's authors released.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "paper": {},
        "official-resnet50": {
            "loss_spa": "focal-l1",
            "freq_blend": "mixed",
            "freq_visible_weight": 1e-3,
            **_AUTHORS_WEIGHT,
        },
        "official-resnet101": {
            "loss_spa": "focal-l1",
            "loss_freq": "focal-l1",
            "freq_lambda": 0.1,
            "freq_blend": "mixed",
            "freq_visible_weight": 1e-3,
            "freq_weight": "none",
        },
        "official-convnext": {"loss_spa": "focal-l1", "freq_lambda": 0.0},
        "official-vit": {"freq_lambda": 0.1, "freq_blend": "mixed", **_AUTHORS_WEIGHT},
        "official-swin": {"freq_blend": "mixed", **_AUTHORS_WEIGHT},
        "simmim": {"freq_lambda": 0.0},
        "inpainting": {"loss_spa": "l2", "freq_lambda": 0.0},
    }
)


class MIMLoss(nn.Module):
    """L = L_spa + λ·L_freq (Eq. 6).

    Args:
        settings: the fields of ``LossSettings``, by name; without any it is the paper's loss.

    Attributes:
        settings: the resolved ``LossSettings``.

    Raises:
        InputError: an unknown setting, or a value that is not allowed.

    Notes:
        Always computed in float32 (float64 for a float64 prediction), whatever autocast says: half-precision
        transforms fail at the usual 224 and 192 pixels.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        known = [setting.name for setting in fields(LossSettings)]
        for name in settings:
            if name not in known:
                raise InputError(f"unknown setting '{name}' of the loss; known: {', '.join(known)}")
        self.settings = LossSettings(**settings)

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> MIMLoss:
        """The loss of a published recipe, by its name in ``PRESETS``; ``changes`` are settings that differ from it.

        Raises:
            InputError: an unknown preset or setting, or a value that is not allowed.
        """
        if name not in PRESETS:
            raise InputError(f"unknown preset '{name}' of the loss; known: {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **changes})

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """The loss of a batch.

        Args:
            prediction: x_pred, (B, 3, H, W), any floating type.
            target: x, the normalised images, (B, 3, H, W).
            mask: bool (B, h, w), True = masked.

        Returns:
            Scalars ``loss``, ``spatial`` (L_spa) and ``frequency`` (L_freq before λ; 0, not computed, where λ is 0).

        Raises:
            InputError: shapes that do not belong together, or a mask that is not bool.
        """
        _check(prediction, target, mask)
        dtype = torch.promote_types(prediction.dtype, torch.float32)
        with torch.autocast(prediction.device.type, enabled=False):
            target = target.to(dtype)
            error = prediction.to(dtype) - target
            hidden = resize_mask(mask, error.shape[-2:])[:, None].to(error)
            spatial = spatial_loss(error, hidden, self.settings.loss_spa)
            frequency = self._frequency(error, target, hidden)
            return {
                "loss": spatial + self.settings.freq_lambda * frequency,
                "spatial": spatial,
                "frequency": frequency,
            }

    def _frequency(self, error: torch.Tensor, target: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        settings = self.settings
        if settings.freq_lambda == 0:
            return error.new_zeros(())
        residual = blended_residual(error, target, hidden, settings.freq_blend, settings.freq_visible_weight)
        return frequency_loss(
            residual,
            distance=settings.loss_freq,
            weight=settings.freq_weight,
            alpha=settings.freq_alpha,
            log=settings.freq_log,
            maximum=settings.freq_max,
            ave_spectrum=settings.freq_ave_spectrum,
            norm=settings.freq_norm,
        )

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in asdict(self.settings).items())


def _check(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> None:
    if prediction.shape != target.shape or prediction.dim() != 4:
        raise InputError(
            f"prediction and target must both be (B, 3, H, W), got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    if mask.dim() != 3 or mask.shape[0] != len(target) or mask.dtype != torch.bool:
        raise InputError(f"mask must be bool (B, h, w) with B = {len(target)}, got {mask.dtype} {tuple(mask.shape)}")
