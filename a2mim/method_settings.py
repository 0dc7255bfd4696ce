"""Which settings each method of pre-training uses, and its defaults; without torch, so that ``--help`` stays fast.

The methods themselves are in ``a2mim.methods``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from a2mim.losses.settings import LossSettings


class MethodSettings(NamedTuple):
    """The settings of one method.

    Args:
        defaults: values that differ from the defaults of ``PretrainSettings``; recipes and flags override them.
        uses: settings that this method uses and others may not; a setting that no method lists is used by all.
    """

    defaults: Mapping[str, Any]
    uses: frozenset[str]


_MASKED = frozenset({"mask_ratio", "fill", "picture_interval"})
_CELLS = frozenset({"mask_patch_size", "mask_round"})
_TOKEN = frozenset({"mask_layer", "token", "mask_token_lr_scale"})
_GAMMA = frozenset({"gamma", "gamma_lr_scale", "gamma_weight_decay"})
_LOSS = frozenset({"loss", *(setting.name for setting in dataclasses.fields(LossSettings))})

METHODS: Mapping[str, MethodSettings] = MappingProxyType(
    {
        "a2mim": MethodSettings(
            defaults={"mask_layer": "auto", "fill": "image-mean", "token": "add", "loss": "paper"},
            uses=_MASKED | _CELLS | _TOKEN | _GAMMA | _LOSS,
        ),
        "simmim": MethodSettings(
            defaults={"mask_layer": "auto", "fill": "zero", "token": "auto", "loss": "simmim"},
            uses=_MASKED | _CELLS | _TOKEN,
        ),
        "inpainting": MethodSettings(
            defaults={"mask_ratio": 0.25, "fill": "dataset-mean", "token": "none", "loss": "inpainting"},
            uses=_MASKED,
        ),
        "mocov3": MethodSettings(
            defaults={"scale": (0.08, 1.0)},
            uses=frozenset({"moco_temperature", "moco_momentum", "moco_dim", "moco_mlp_dim", "freeze_patch_embed"}),
        ),
    }
)


def unused(name: str) -> frozenset[str]:
    """Settings that other methods use and this one does not."""
    return frozenset().union(*(method.uses for method in METHODS.values())) - METHODS[name].uses


def users(setting: str) -> str:
    """Names of the methods that use a setting, for messages."""
    return ", ".join(name for name, method in METHODS.items() if setting in method.uses)


def shared(name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of another method's recipe that apply to this one: none that it ignores or that define it."""
    aside = unused(name) | METHODS[name].defaults.keys()
    return {key: value for key, value in values.items() if key not in aside}
