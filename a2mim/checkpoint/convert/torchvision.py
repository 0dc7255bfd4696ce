"""Which torchvision model a network is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn
from torchvision import models
from torchvision.models import convnext, resnet

from a2mim.checkpoint.convert.network import Network
from a2mim.checkpoint.names.dialects import Dialect
from a2mim.checkpoint.names.torchvision import TV_CONVNEXT, TV_SWIN, TV_VIT
from a2mim.errors import InputError

_NAMED: Mapping[tuple[Any, ...], str] = {
    (False, (2, 2, 2, 2), 1, 64): "resnet18",
    (False, (3, 4, 6, 3), 1, 64): "resnet34",
    (True, (3, 4, 6, 3), 1, 64): "resnet50",
    (True, (3, 4, 23, 3), 1, 64): "resnet101",
    (True, (3, 8, 36, 3), 1, 64): "resnet152",
    (True, (3, 4, 6, 3), 32, 4): "resnext50_32x4d",
    (True, (3, 4, 23, 3), 32, 8): "resnext101_32x8d",
    (True, (3, 4, 23, 3), 64, 4): "resnext101_64x4d",
    (True, (3, 4, 6, 3), 1, 128): "wide_resnet50_2",
    (True, (3, 4, 23, 3), 1, 128): "wide_resnet101_2",
}


@dataclass(frozen=True)
class Plan:
    """How a network is written for torchvision.

    Args:
        dialect: names of its layers; None where they are timm's.
        model: torchvision's model of that size.
        call: the words that build it.
        classifier: its classifier.
    """

    dialect: Dialect | None
    model: nn.Module
    call: str
    classifier: str


def plan(network: Network) -> Plan:
    """How to write ``network``.

    Raises:
        InputError: torchvision has no such network.
    """
    plans = {"vit": _plan_vit, "swin": _plan_swin, "convnext": _plan_convnext, "resnet": _plan_resnet}
    if network.family not in plans:
        raise InputError(f"torchvision has no {network.report.arch}, nor any ViT with relative position bias")
    network.require("torchvision", in_chans=3)
    return plans[network.family](network)


def _plan_vit(network: Network) -> Plan:
    sizes = network.sizes
    network.require(
        "torchvision", class_token=True, distilled=False, reg_tokens=0, no_embed_class=False, init_values=None
    )
    network.require("torchvision", pos_embed="learn", pre_norm=False, qk_norm=False, qkv_bias=True, global_pool="token")
    if not isinstance(sizes["img_size"], int):
        raise InputError(f"torchvision's ViT takes square images, this one {sizes['img_size']}")
    args = {
        "image_size": sizes["img_size"],
        "patch_size": sizes["patch_size"],
        "num_layers": sizes["depth"],
        "num_heads": sizes["num_heads"],
        "hidden_dim": sizes["embed_dim"],
        "mlp_dim": round(sizes["embed_dim"] * sizes["mlp_ratio"]),
        **_classes(network),
    }
    return Plan(TV_VIT, models.VisionTransformer(**args), _call("VisionTransformer", **args), "heads.head")


def _plan_swin(network: Network) -> Plan:
    sizes = network.sizes
    network.require("torchvision", qkv_bias=True)
    network.require_one_window("torchvision")
    args = {
        "patch_size": [sizes["patch_size"]] * 2,
        "embed_dim": sizes["embed_dim"],
        "depths": sizes["depths"],
        "num_heads": sizes["num_heads"],
        "window_size": [sizes["window_size"]] * 2,
        "mlp_ratio": sizes["mlp_ratio"],
        **_classes(network),
    }
    return Plan(TV_SWIN, models.SwinTransformer(**args), _call("SwinTransformer", **args), "head")


def _plan_convnext(network: Network) -> Plan:
    sizes, classes = network.sizes, _classes(network)
    network.require("torchvision", patch_size=4, kernel_sizes=[7] * len(sizes["dims"]))
    network.require("torchvision", use_grn=False, conv_mlp=False, head_norm_first=False)
    widths = [*sizes["dims"], None]
    stages = [
        convnext.CNBlockConfig(width, after, depth)
        for width, after, depth in zip(widths, widths[1:], sizes["depths"], strict=False)
    ]
    call = ", ".join(
        f"CNBlockConfig({stage.input_channels}, {stage.out_channels}, {stage.num_layers})" for stage in stages
    )
    return Plan(
        TV_CONVNEXT,
        models.ConvNeXt(stages, **classes),
        _call("ConvNeXt", block_setting=f"[{call}]", **classes) + "  # CNBlockConfig: torchvision.models.convnext",
        "classifier.2",
    )


def _plan_resnet(network: Network) -> Plan:
    sizes, classes = network.sizes, _classes(network)
    network.require("torchvision", stem_type="", avg_down=False, channels=[64, 128, 256, 512])
    block = resnet.Bottleneck if sizes["bottleneck"] else resnet.BasicBlock
    args = {
        "layers": sizes["layers"],
        **classes,
        "groups": sizes["cardinality"],
        "width_per_group": sizes["base_width"],
    }
    name = _NAMED.get((sizes["bottleneck"], tuple(sizes["layers"]), sizes["cardinality"], sizes["base_width"]))
    words = {"block": f"torchvision.models.resnet.{block.__name__}", **args}
    call = _call(name, **classes) if name else _call("ResNet", **words)
    return Plan(None, models.ResNet(block, **args), call, "fc")


def _classes(network: Network) -> dict[str, int]:
    """The argument for them; without a classifier torchvision's default is as good as any."""
    return {"num_classes": network.report.num_classes} if network.classifier else {}


def _call(name: str, **args: Any) -> str:
    return f"torchvision.models.{name}({', '.join(f'{key}={value}' for key, value in args.items())})"
