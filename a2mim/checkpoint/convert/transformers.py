"""Which model of Hugging Face transformers a network is, and the files that describe it.

Written by hand, so that transformers need not be installed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from a2mim.checkpoint.convert.network import Network
from a2mim.checkpoint.formats.hugging_face import OWN_EPS
from a2mim.checkpoint.names.dialects import Dialect
from a2mim.checkpoint.names.transformers import HF_BEIT, HF_CONVNEXT, HF_DEIT, HF_DINOV2, HF_RESNET, HF_SWIN, HF_VIT
from a2mim.checkpoint.report import LoadReport
from a2mim.errors import InputError


def preprocessor(input_size: Sequence[int], mean: Sequence[float], std: Sequence[float]) -> dict[str, Any]:
    """preprocessor_config.json: resize to the input size, scale to 0..1, normalise."""
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": input_size[1], "width": input_size[2]},
        "resample": 3,  # bicubic
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(std),
    }


@dataclass(frozen=True)
class Plan:
    """How a network is written for transformers.

    Args:
        kind: ``model_type`` of config.json, which is also the prefix of the names under a classifier.
        name: what the classes of that type begin with ("ViT").
        dialect: names of the encoder's layers.
        config: settings of that type.
        classifiers: classifier in timm -> classifier in transformers.
        whole: class of the whole with a classifier, where it is not ``<name>ForImageClassification``.
        extra: tensors that transformers expects beside timm's.
    """

    kind: str
    name: str
    dialect: Dialect
    config: Mapping[str, Any]
    classifiers: Mapping[str, str]
    whole: str = ""
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)


def config(plan: Plan, kind: str, report: LoadReport) -> dict[str, Any]:
    """config.json of the class ``kind``."""
    labels = report.classes or tuple(f"LABEL_{at}" for at in range(report.num_classes))
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: at for at, name in enumerate(labels)}}
    return {"architectures": [kind], "model_type": plan.kind, **plan.config, **(named if labels else {})}


def plan(network: Network) -> Plan:
    """How to write ``network``.

    Raises:
        InputError: transformers has no such network.
    """
    return {
        "vit": _plan_vit,
        "beit": _plan_beit,
        "swin": _plan_swin,
        "convnext": _plan_convnext,
        "resnet": _plan_resnet,
    }[network.family](network)


def _shared_vit(network: Network) -> dict[str, Any]:
    sizes = network.sizes
    return {
        "hidden_size": sizes["embed_dim"],
        "num_hidden_layers": sizes["depth"],
        "num_attention_heads": sizes["num_heads"],
        "intermediate_size": round(sizes["mlp_ratio"] * sizes["embed_dim"]),
        "hidden_act": "gelu",
        "image_size": sizes["img_size"],
        "patch_size": sizes["patch_size"],
        "num_channels": sizes["in_chans"],
        "layer_norm_eps": network.eps(),
    }


def _plan_vit(network: Network) -> Plan:
    sizes, config = network.sizes, {**_shared_vit(network), "qkv_bias": network.sizes["qkv_bias"]}
    network.require(
        "transformers",
        class_token=True,
        pos_embed="learn",
        pre_norm=False,
        qk_norm=False,
        global_pool="token",
        fc_norm=False,
    )
    if sizes["init_values"] is None:
        network.require("transformers", no_embed_class=False, reg_tokens=(0, 1))
        if sizes["distilled"]:
            network.require("transformers", reg_tokens=0)
            heads = {"head.": "cls_classifier.", "head_dist.": "distillation_classifier."}
            return Plan("deit", "DeiT", HF_VIT, config, heads, "DeiTForImageClassificationWithTeacher")
        if sizes["reg_tokens"]:  # a second token with its own position, which the classifier does not use
            return Plan("deit", "DeiT", HF_DEIT, config, {"head.": "classifier."})
        return Plan("vit", "ViT", HF_VIT, config, {"head.": "classifier."})
    network.require("transformers", distilled=False, no_embed_class=bool(sizes["reg_tokens"]))
    if network.classifier:
        raise InputError(
            "transformers' DINOv2 classifies from the class token and the mean patch, timm's from the token"
        )
    if sizes["mlp_ratio"] % 1:
        network.require("transformers", mlp_ratio=round(sizes["mlp_ratio"]))
    config = {**config, "mlp_ratio": int(sizes["mlp_ratio"]), "layerscale_value": 1.0}
    if not sizes["reg_tokens"]:
        return Plan("dinov2", "Dinov2", HF_DINOV2, {**config, "use_mask_token": False}, {})
    mask_token = {"embeddings.mask_token": torch.zeros(1, sizes["embed_dim"])}
    config["num_register_tokens"] = sizes["reg_tokens"]
    return Plan("dinov2_with_registers", "Dinov2WithRegisters", HF_DINOV2, config, {}, extra=mask_token)


def _plan_beit(network: Network) -> Plan:
    sizes = network.sizes
    network.require("transformers", qkv_bias=True)
    config = {
        **_shared_vit(network),
        "use_absolute_position_embeddings": sizes["use_abs_pos_emb"],
        "use_relative_position_bias": sizes["use_rel_pos_bias"],
        "use_shared_relative_position_bias": sizes["use_shared_rel_pos_bias"],
        "use_mean_pooling": sizes["global_pool"] == "avg",
        "use_mask_token": False,
        "layer_scale_init_value": float(sizes["init_values"] or 0),
    }
    return Plan("beit", "Beit", HF_BEIT, config, {"head.": "classifier."})


def _plan_swin(network: Network) -> Plan:
    sizes = network.sizes
    network.require_one_window("transformers")
    keys = {"image_size": "img_size", "num_channels": "in_chans"}
    same = ("patch_size", "embed_dim", "depths", "num_heads", "window_size", "mlp_ratio", "qkv_bias")
    config = {
        **{theirs: sizes[ours] for theirs, ours in keys.items()},
        **{key: sizes[key] for key in same},
        "hidden_act": "gelu",
        "use_absolute_embeddings": False,
        "layer_norm_eps": network.eps(OWN_EPS["swin"], others=1e-5),
    }
    return Plan("swin", "Swin", HF_SWIN, config, {"head.fc.": "classifier."})


def _plan_convnext(network: Network) -> Plan:
    sizes = network.sizes
    network.require("transformers", patch_size=4, conv_mlp=False, head_norm_first=False)
    network.require("transformers", kernel_sizes=[7] * len(sizes["dims"]))
    config = {
        "num_channels": sizes["in_chans"],
        "patch_size": sizes["patch_size"],
        "num_stages": len(sizes["dims"]),
        "hidden_sizes": sizes["dims"],
        "depths": sizes["depths"],
        "hidden_act": "gelu",
        "layer_norm_eps": network.eps(OWN_EPS["convnext"], others=1e-6),
    }
    if sizes["use_grn"]:
        network.require("transformers", ls_init_value=None)
        return Plan("convnextv2", "ConvNextV2", HF_CONVNEXT, config, {"head.fc.": "classifier."})
    config["layer_scale_init_value"] = float(sizes["ls_init_value"] or 0)
    return Plan("convnext", "ConvNext", HF_CONVNEXT, config, {"head.fc.": "classifier."})


def _plan_resnet(network: Network) -> Plan:
    sizes = network.sizes
    network.require("transformers", stem_type="", avg_down=False, cardinality=1, base_width=64)
    config = {
        "num_channels": sizes["in_chans"],
        "embedding_size": 64,
        "hidden_sizes": [width * (4 if sizes["bottleneck"] else 1) for width in sizes["channels"]],
        "depths": sizes["layers"],
        "layer_type": "bottleneck" if sizes["bottleneck"] else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
    }
    return Plan("resnet", "ResNet", HF_RESNET, config, {"fc.": "classifier.1."})
