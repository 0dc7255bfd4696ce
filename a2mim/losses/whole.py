"""The whole loss: L = L_spa + λ·L_freq (section 4, Eq. 6), with the presets of the published recipes."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import torch
from torch import nn

from a2mim.errors import InputError
from a2mim.masking import resize_mask

from .frequency import blended_residual, frequency_loss
from .settings import PRESETS, LossSettings
from .spatial import spatial_loss


class MIMLoss(nn.Module):
    """L = L_spa + λ·L_freq (Eq. 6 of "Architecture-Agnostic Masked Image Modeling", arXiv:2205.13943).

    Without arguments it is the paper's loss; ``MIMLoss.from_preset`` gives those of published recipes.

    Args:
        loss_spa: distance of hidden pixels in L_spa: ``l1`` |e|, ``l2`` |e|², ``focal-l1`` |e|·(2σ(0.2·|e|) - 1).
        loss_freq: distance of spectra in L_freq: ``l2`` |F|², ``l1`` |F| (Eq. 4 as printed), or ``focal-l1``.
        freq_lambda: λ of Eq. 6, 0 or more; 0 removes L_freq.
        freq_blend: what replaces visible pixels in L_freq: ``prediction`` (Eq. 4), ``target``, ``mixed``, ``mean``, or
            ``none``, the prediction with its gradient (see ``blended_residual``).
        freq_visible_weight: share of the prediction, with its gradient, kept in visible pixels, 0 to 1.
        freq_weight: weight of the frequencies: ``focal`` ω of Eq. 5, or ``none`` 1.
        freq_alpha: exponent α of ω (Eq. 5), 0 or more.
        freq_log: use log(1 + ω) instead of ω.
        freq_max: divide ω by its maximum over each ``image`` and channel, over the ``batch``, or by ``none``.
        freq_ave_spectrum: average the spectra of the batch first; λ then depends on the batch size.
        freq_norm: norm of the DFT, as in torch.fft: ``ortho``, ``backward`` (Eq. 3) or ``forward``.

    Attributes:
        settings: these settings as ``LossSettings``.

    Raises:
        InputError: a value that is not allowed; the message lists the allowed ones.

    Notes:
        Always computed in float32 (float64 for a float64 prediction), also under autocast: half-precision transforms
        fail at the usual 224 and 192 pixels.

    Examples:
        >>> import torch
        >>> from a2mim.losses import MIMLoss
        >>> from a2mim.masking import random_mask
        >>> images, prediction = torch.zeros(2, 3, 32, 32), torch.ones(2, 3, 32, 32)
        >>> parts = MIMLoss(freq_lambda=0)(prediction, images, random_mask(2, (4, 4), 0.6))
        >>> {name: value.item() for name, value in parts.items()}
        {'loss': 1.0, 'spatial': 1.0, 'frequency': 0.0}
        >>> MIMLoss.from_preset("official-vit").settings.freq_lambda
        0.1
    """

    def __init__(
        self,
        *,
        loss_spa: str = "l1",
        loss_freq: str = "l2",
        freq_lambda: float = 0.5,
        freq_blend: str = "prediction",
        freq_visible_weight: float = 0.0,
        freq_weight: str = "focal",
        freq_alpha: float = 1.0,
        freq_log: bool = False,
        freq_max: str = "image",
        freq_ave_spectrum: bool = False,
        freq_norm: str = "ortho",
    ) -> None:
        super().__init__()
        self.settings = LossSettings(
            loss_spa=loss_spa,
            loss_freq=loss_freq,
            freq_lambda=freq_lambda,
            freq_blend=freq_blend,
            freq_visible_weight=freq_visible_weight,
            freq_weight=freq_weight,
            freq_alpha=freq_alpha,
            freq_log=freq_log,
            freq_max=freq_max,
            freq_ave_spectrum=freq_ave_spectrum,
            freq_norm=freq_norm,
        )

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> MIMLoss:
        """The loss of a published recipe, by its name in ``PRESETS``; ``changes`` are settings that differ from it.

        Raises:
            InputError: an unknown preset or setting, or a value that is not allowed.
        """
        if name not in PRESETS:
            raise InputError(f"unknown preset '{name}' of the loss; known: {', '.join(PRESETS)}")
        known = [setting.name for setting in fields(LossSettings)]
        for change in changes:
            if change not in known:
                raise InputError(f"unknown setting '{change}' of the loss; known: {', '.join(known)}")
        return cls(**{**PRESETS[name], **changes})

    def forward(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """The loss of a batch.

        Args:
            prediction: x_pred, (B, 3, H, W), any floating type.
            target: x, the normalised images, (B, 3, H, W).
            mask: bool (B, h, w), True = masked.

        Returns:
            Scalars ``loss``, ``spatial`` (L_spa) and ``frequency`` (L_freq before λ; 0, not computed, if λ is 0).

        Raises:
            InputError: shapes that do not fit each other, or a mask that is not bool.
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
