"""Which network of OpenMMLab's mmpretrain (1.x) a network is, by its names and by the configuration that builds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from a2mim.checkpoint.convert.network import Network
from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, from_timm
from a2mim.checkpoint.names.openmmlab import OPENMMLAB
from a2mim.errors import InputError

_DIALECTS = {dialect.name: dialect for dialect in OPENMMLAB}
RESNETS = {  # bottlenecks or not, blocks in each stage -> layers by which detectron2, too, calls them
    (False, (2, 2, 2, 2)): 18,
    (False, (3, 4, 6, 3)): 34,
    (True, (3, 4, 6, 3)): 50,
    (True, (3, 4, 23, 3)): 101,
    (True, (3, 8, 36, 3)): 152,
}


@dataclass(frozen=True)
class Plan:
    """How a network is written for mmpretrain.

    Args:
        dialect: names of the backbone's layers; None where they are timm's.
        backbone: its configuration.
        classifiers: classifier in timm -> classifier in mmpretrain.
        renamed: what depends on the number of stages: start of a name by the dialect -> as it is here.
    """

    dialect: Dialect | None
    backbone: Mapping[str, Any]
    head: str = "LinearClsHead"
    classifiers: Mapping[str, str] = field(default_factory=lambda: {"head.": "head.fc."})
    renamed: Mapping[str, str] = field(default_factory=dict)

    def state_dict(self, network: Network) -> State:
        """The network's tensors by mmpretrain's names."""
        inner = from_timm(self.dialect, network.encoder) if self.dialect else network.encoder
        state = {}
        for name, value in inner.items():
            start = next((start for start in self.renamed if name.startswith(start)), "")
            state[f"backbone.{self.renamed.get(start, '')}{name[len(start) :]}"] = value
        for ours, theirs in self.classifiers.items():
            heads = {name: value for name, value in network.classifier.items() if name.startswith(ours)}
            state |= {theirs + name[len(ours) :]: value for name, value in heads.items()}
        return state

    def lines(self, network: Network) -> tuple[str, ...]:
        """The configuration, as its user writes it."""
        backbone = f"backbone={_dict(self.backbone)}"
        if not network.classifier:
            return (backbone,)
        classes, width = next(value.shape for value in network.classifier.values() if value.ndim == 2)
        return backbone, f"head={_dict({'type': self.head, 'num_classes': classes, 'in_channels': width})}"


def plan(network: Network) -> Plan:
    """How to write ``network``.

    Raises:
        InputError: mmpretrain has no such network.
    """
    plans = {
        "vit": _plan_vit,
        "beit": _plan_beit,
        "swin": _plan_swin,
        "convnext": _plan_convnext,
        "resnet": _plan_resnet,
    }
    return plans[network.family](network)


def _shared_vit(network: Network) -> dict[str, Any]:
    """Settings of ViT and BEiT; which norm is the last one follows from what the classifier looks at."""
    sizes = network.sizes
    mean = sizes["global_pool"] == "avg"
    return {
        "arch": {
            "embed_dims": sizes["embed_dim"],
            "num_layers": sizes["depth"],
            "num_heads": sizes["num_heads"],
            "feedforward_channels": round(sizes["embed_dim"] * sizes["mlp_ratio"]),
        },
        "img_size": sizes["img_size"],
        "patch_size": sizes["patch_size"],
        **_channels(network),
        "layer_scale_init_value": sizes["init_values"] or 0.0,
        "norm_cfg": {"type": "LN", "eps": network.eps()},
        "out_type": "avg_featmap" if mean else "cls_token",
        "final_norm": not mean,
    }


def _plan_vit(network: Network) -> Plan:
    sizes, pool = network.sizes, network.sizes["global_pool"]
    network.require("OpenMMLab", reg_tokens=0, class_token=True, pos_embed="learn", no_embed_class=False)
    network.require("OpenMMLab", qk_norm=False, global_pool=("token", "avg"), fc_norm=pool == "avg")
    kind, head = ("DistilledVisionTransformer", "DeiT") if sizes["distilled"] else ("VisionTransformer",) * 2
    flags = {key: sizes[key] for key, usual in {"qkv_bias": True, "pre_norm": False}.items() if sizes[key] != usual}
    return Plan(
        _DIALECTS["OpenMMLab ViT"],
        {"type": kind, **_shared_vit(network), **flags},
        f"{head}ClsHead",
        {"head.": "head.layers.head.", "head_dist.": "head.layers.head_dist."},
    )


def _plan_beit(network: Network) -> Plan:
    sizes = network.sizes
    network.require("OpenMMLab", qkv_bias=True)
    if sizes["use_rel_pos_bias"]:
        network.require("OpenMMLab", use_shared_rel_pos_bias=False)
    flags = ("use_abs_pos_emb", "use_rel_pos_bias", "use_shared_rel_pos_bias")
    config = {"type": "BEiTViT", **_shared_vit(network), **{flag: sizes[flag] for flag in flags}}
    return Plan(_DIALECTS["OpenMMLab BEiT"], config)


def _plan_swin(network: Network) -> Plan:
    sizes, last = network.sizes, len(network.sizes["depths"]) - 1
    network.require_one_window("OpenMMLab")
    network.require("OpenMMLab", qkv_bias=True, mlp_ratio=4)
    if network.eps() != 1e-5:
        raise InputError(f"OpenMMLab's Swin has LayerNorms with eps 1e-05, this one with {network.eps():g}")
    config = {
        "type": "SwinTransformer",
        "arch": {"embed_dims": sizes["embed_dim"], "depths": sizes["depths"], "num_heads": sizes["num_heads"]},
        "window_size": sizes["window_size"],
        "img_size": sizes["img_size"],
        "patch_size": sizes["patch_size"],
        **_channels(network),
        **({} if last == 3 else {"out_indices": (last,)}),
    }
    dialect = _DIALECTS["OpenMMLab Swin"]
    return Plan(dialect, config, classifiers={"head.fc.": "head.fc."}, renamed={"norm3.": f"norm{last}."})


def _plan_convnext(network: Network) -> Plan:
    sizes = network.sizes
    network.require("OpenMMLab", patch_size=4, head_norm_first=False, kernel_sizes=[7] * len(sizes["dims"]))
    config = {
        "type": "ConvNeXt",
        "arch": {"depths": sizes["depths"], "channels": sizes["dims"]},
        **_channels(network),
        "norm_cfg": {"type": "LN2d", "eps": network.eps()},
        "linear_pw_conv": not sizes["conv_mlp"],
        "use_grn": sizes["use_grn"],
        "layer_scale_init_value": sizes["ls_init_value"] or 0.0,
    }
    return Plan(_DIALECTS["OpenMMLab ConvNeXt"], config, classifiers={"head.fc.": "head.fc."})


def _plan_resnet(network: Network) -> Plan:
    sizes, first = network.sizes, network.sizes["channels"][0]
    depth = RESNETS.get((sizes["bottleneck"], tuple(sizes["layers"])))
    if depth is None or sizes["channels"] != [first * 2**stage for stage in range(4)]:
        raise InputError(
            "OpenMMLab has ResNets of 18, 34, 50, 101 and 152 layers, each stage twice as wide as the one before, "
            f"not stages of {sizes['layers']} blocks and {sizes['channels']} channels"
        )
    kind, config = "ResNet", {"depth": depth, **({} if first == 64 else {"base_channels": first}), **_channels(network)}
    if sizes["stem_type"]:
        network.require("OpenMMLab", stem_type="deep", stem_width=32)
        kind = "ResNetV1d" if sizes["avg_down"] else "ResNetV1c"
    else:
        network.require("OpenMMLab", avg_down=False)
    if (sizes["cardinality"], sizes["base_width"]) != (1, 64):  # its ResNeXt has none of a single wide group
        network.require("OpenMMLab", stem_type="", channels=[64, 128, 256, 512])
        if sizes["cardinality"] == 1:
            network.require("OpenMMLab", base_width=64)
        kind = "ResNeXt"
        config |= {"groups": sizes["cardinality"], "width_per_group": sizes["base_width"]}
    return Plan(_DIALECTS.get(f"OpenMMLab {kind}"), {"type": kind, **config}, classifiers={"fc.": "head.fc."})


def _channels(network: Network) -> dict[str, int]:
    return {} if network.sizes["in_chans"] == 3 else {"in_channels": network.sizes["in_chans"]}


def _dict(settings: Mapping[str, Any]) -> str:
    return f"dict({', '.join(f'{key}={value!r}' for key, value in settings.items())})"
