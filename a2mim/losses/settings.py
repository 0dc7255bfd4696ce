"""The settings of the loss and its presets; without torch, so that ``--help`` stays fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from a2mim.errors import InputError
from a2mim.options import POSITIVE, SHARE, option

DISTANCE_NAMES = ("l1", "l2", "focal-l1")
BLENDS = ("prediction", "target", "mixed", "mean", "none")


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """Every setting of ``MIMLoss``; the defaults are the paper's loss.

    Raises:
        InputError: a value that is not allowed; the message lists the allowed ones.
    """

    loss_spa: str = option("l1", "Distance of hidden pixels in L_spa.", DISTANCE_NAMES)
    loss_freq: str = option("l2", "Distance of spectra in L_freq; l1 is Eq. 4 as printed.", DISTANCE_NAMES)
    freq_lambda: float = option(0.5, "Weight of L_freq (λ of Eq. 6); 0 removes it.", between=POSITIVE)
    freq_blend: str = option("prediction", "What replaces visible pixels in L_freq (Eq. 4).", BLENDS)
    freq_visible_weight: float = option(
        0.0, "Share of the prediction, with its gradient, kept in visible pixels.", between=SHARE
    )
    freq_weight: str = option("focal", "Weight of the frequencies: ω of Eq. 5 (focal) or 1 (none).", ("focal", "none"))
    freq_alpha: float = option(1.0, "Exponent α of ω (Eq. 5).", between=POSITIVE)
    freq_log: bool = option(False, "Use log(1 + ω) instead of ω.")
    freq_max: str = option("image", "Divide ω by its maximum over the image or the batch.", ("image", "batch", "none"))
    freq_ave_spectrum: bool = option(False, "Average the spectra of the batch first; λ then depends on the batch size.")
    freq_norm: str = option("ortho", "Norm of the DFT, as in torch.fft.", ("ortho", "backward", "forward"))

    def __post_init__(self) -> None:
        for setting in fields(self):
            value = getattr(self, setting.name)
            choices, limits = setting.metadata["choices"], setting.metadata["between"]
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
