"""The table of formats, in the order in which they are tried. To add a format, add a ``Format``."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from a2mim.checkpoint.formats import clip, hugging_face, openmmlab, vit
from a2mim.checkpoint.formats.format import Format
from a2mim.checkpoint.formats.settings import Settings


def timm_folder(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says in the folders that timm and ``a2mim-checkpoint convert --to timm`` write."""
    config = Settings.of(meta, "config")
    images = config.inner("pretrained_cfg")
    names = config.get("label_names") or ()
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise config.wrong("label_names", "a list of names")
    if all(name == f"LABEL_{at}" for at, name in enumerate(names)):  # the placeholders of transformers
        names = ()
    size = images.wholes("input_size")
    if size is not None and not (len(size) == 3 and all(size)):
        raise images.wrong("input_size", "channels, height and width")
    found = {
        "arch": config.text("architecture"),
        "model_args": dict(config.inner("model_args")),
        "classes": tuple(names),
        "mean": images.numbers("mean"),
        "std": images.numbers("std"),
        "input_size": size,
    }
    return {key: value for key, value in found.items() if value is not None}


_transformers = functools.partial(
    Format, "transformers", "huggingface/transformers", normalisation=None, hints=hugging_face.hints
)

FORMATS: tuple[Format, ...] = (
    Format(
        "a2mim",
        "this package",
        lacks=("momentum_encoder.*",),
        meta=("kind=pretrain",),
        encoders={"encoder": "encoder."},
        parts={"reconstruction head": ("head.*",), "mask token": ("mask_token", "gamma")},
        normalisation=None,
        exact=True,
    ),
    Format(
        "a2mim",
        "this package",
        meta=("kind=pretrain", "method=mocov3"),
        encoders={"base": "encoder.", "momentum": "momentum_encoder."},
        parts={"projection head": ("projector.*", "momentum_projector.*"), "prediction head": ("predictor.*",)},
        normalisation=None,
        exact=True,
    ),
    Format(
        "a2mim",
        "this package",
        meta=("kind=finetune",),
        encoders={"ema": "*ema:", "encoder": ""},
        kind="classifier",
        normalisation=None,
        exact=True,
    ),
    Format(
        "a2mim",
        "this package",
        meta=("kind=encoder",),
        encoders={"encoder": ""},
        kind="encoder",
        normalisation=None,
        exact=True,
    ),
    Format(
        "timm",
        "huggingface/transformers (TimmWrapper)",
        has=("timm_model.*",),
        meta=("config.architecture",),
        encoders={"model": "*:timm_model."},
        kind="weights",
        normalisation=None,
        hints=timm_folder,
    ),
    Format(
        "timm",
        "huggingface/pytorch-image-models",
        meta=("config.architecture",),
        encoders={"model": "*:"},
        kind="weights",
        normalisation=None,
        hints=timm_folder,
    ),
    *vit.FORMATS,
    *clip.FORMATS,
    *clip.TRANSFORMERS,
    _transformers(
        has=("*encoder.stages.0.layers.0.attn.qkv.weight", "decoder.*"),
        parts={"decoder": ("multiscale_fusion.*", "decoder.*")},
    ),
    _transformers(
        has=("*.layer_scale1.lambda1", "classifier.weight"),
        parts={"classifier of class token and mean patch at once, which timm does not have": ("classifier.*",)},
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.patch_embeddings.*", "classifier.weight"), classifier=("classifier.",), kind="classifier"
    ),
    _transformers(
        has=("*embedder.embedder.convolution.weight", "classifier.1.weight"),
        classifier=("classifier.1.",),
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.distillation_token", "cls_classifier.weight", "distillation_classifier.weight"),
        classifier=("cls_classifier.",),
        outside={"distillation_classifier.": "head_dist."},
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.patch_embeddings.*", "lm_head.weight", "layernorm.weight"),
        lacks=("*.layernorm.weight",),
        outside={"layernorm.": "layernorm."},  # the last norm of a BEiT, which stands with the head
    ),
    _transformers(has=("*embeddings.patch_embeddings.*", "decoder.*")),
    _transformers(
        has=("*embeddings.patch_embeddings.*",),
        parts={"pooler": ("pooler.dense.*", "*.pooler.dense.*")},
        kind="encoder",
    ),
    _transformers(has=("*embedder.embedder.convolution.weight",), kind="encoder"),
    Format(
        "MoCo",
        "facebookresearch/moco",
        has=("encoder_q.*",),
        lacks=("backbone.*",),
        encoders={"query": "encoder_q.", "key": "encoder_k."},
        parts={"projection head": ("encoder_q.fc.*", "encoder_k.fc.*")},
    ),
    Format(
        "SimSiam",
        "facebookresearch/simsiam",
        has=("encoder.conv1.weight", "encoder.fc.0.weight", "predictor.0.weight"),
        encoders={"encoder": "encoder."},
        parts={"projection head": ("encoder.fc.*",)},
    ),
    Format(
        "SimCLR",
        "sthalles/SimCLR",
        has=("backbone.conv1.weight", "backbone.fc.0.weight", "backbone.fc.2.weight"),
        encoders={"encoder": "backbone."},
        parts={"projection head": ("backbone.fc.*",)},
    ),
    Format(
        "SimCLR",
        "Spijkervet/SimCLR",
        has=("encoder.conv1.weight", "projector.0.weight"),
        lacks=("predictor*",),
        encoders={"encoder": "encoder."},
        parts={"projection head": ("projector.*",)},
    ),
    Format(
        "BYOL",
        "lucidrains/byol-pytorch",
        has=("online_encoder.net.*", "online_predictor.*"),
        encoders={"online": "online_encoder.net.", "target": "target_encoder.net."},
        parts={
            "projection head": ("online_encoder.projector.*", "target_encoder.projector.*"),
            "prediction head": ("online_predictor.*",),
            "classifier that was not trained": ("online_encoder.net.fc.*", "target_encoder.net.fc.*"),
        },
    ),
    Format(
        "BYOL",
        "sthalles/PyTorch-BYOL",
        has=("online_network_state_dict:encoder.*", "online_network_state_dict:projetion.*"),
        encoders={"online": "online_network_state_dict:encoder.", "target": "target_network_state_dict:encoder."},
        parts={"projection head": ("projetion.*",)},
    ),
    Format(
        "Barlow Twins",
        "facebookresearch/barlowtwins",
        has=("backbone.conv1.weight", "projector.0.weight", "bn.running_mean"),
        encoders={"encoder": "backbone."},
        parts={"batch norm of the loss": ("bn.*",)},
    ),
    Format(
        "SwAV",
        "facebookresearch/swav (SwAV, DeepCluster-v2)",
        has=("conv1.weight", "layer1.0.conv1.weight", "projection_head.*"),
        encoders={"encoder": ""},
    ),
    Format(
        "VISSL",
        "facebookresearch/vissl",
        has=("classy_state_dict/base_model/model/trunk:blocks.*",),
        encoders={"trunk": "classy_state_dict/base_model/model/trunk:"},
        parts={"heads": ("heads.*",)},
    ),
    Format(
        "VISSL",
        "facebookresearch/vissl",
        has=("classy_state_dict/base_model/model/trunk:*",),
        encoders={
            "trunk": "classy_state_dict/base_model/model/trunk:_feature_blocks.",
            "extractor": "classy_state_dict/base_model/model/trunk:base_model._feature_blocks.",
        },
        parts={"heads": ("heads.*",)},
    ),
    Format(
        "SparK",
        "keyu-tian/SparK",
        has=("sparse_encoder.sp_cnn.*", "dense_decoder.*"),
        encoders={"encoder": "sparse_encoder.sp_cnn."},
        parts={"constants": ("imn_m", "imn_s", "norm_black")},
    ),
    Format(
        "ConvNeXt V2",
        "facebookresearch/ConvNeXt-V2",
        has=("encoder.stages.0.0.dwconv.kernel", "mask_token", "pred.weight"),
        encoders={"encoder": "encoder."},
        parts={"decoder": ("decoder.*", "proj.*", "pred.*")},
    ),
    Format(
        "ConvNeXt",
        "facebookresearch/ConvNeXt, facebookresearch/ConvNeXt-V2",
        has=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight", "head.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "solo-learn",
        "vturrisi/solo-learn",
        has=("backbone.*", "classifier.weight"),
        meta=("pytorch-lightning_version",),
        encoders={"backbone": "backbone.", "momentum": "momentum_backbone."},
        parts={
            "projection head": ("projector.*", "momentum_projector.*"),
            "classifier beside the training": ("classifier.*", "momentum_classifier.*"),
        },
    ),
    Format(
        "PyTorch Lightning",
        "Lightning-AI/pytorch-lightning",
        meta=("pytorch-lightning_version",),
        kind="checkpoint",
        normalisation=None,
    ),
    *openmmlab.FORMATS,
    Format(
        "timm train.py",
        "huggingface/pytorch-image-models",
        meta=("arch", "version", "args"),
        encoders={"ema": "*ema:", "model": "*:"},
        kind="classifier",
        normalisation=None,
    ),
    Format(
        "EfficientNet-PyTorch",
        "lukemelas/EfficientNet-PyTorch",
        has=("_conv_stem.weight", "_blocks.0._depthwise_conv.weight"),
        encoders={"encoder": ""},
        classifier=("_fc.",),
        kind="classifier",
    ),
    Format(
        "torchvision",
        "pytorch/vision (EfficientNet, MobileNetV2)",
        has=("features.0.0.weight", "features.0.1.running_mean", "classifier.1.weight"),
        encoders={"encoder": ""},
        classifier=("classifier.1.",),
        kind="classifier",
    ),
    Format("plain weights", "torchvision, PyTorch's examples, anyone", normalisation=None, kind="weights"),
)

_TESTED_AGAINST_THEMSELVES = ("transformers", "timm", "a2mim", "torchvision", "open_clip with timm's networks")


def rows() -> list[tuple[str, ...]]:
    """The formats in words, one row for each name: for the README and ``a2mim-checkpoint formats``."""
    found: list[tuple[str, ...]] = [
        ("format", "written by", "holds", "encoder (others: `--which`)", "dropped", "tested against")
    ]
    for name in dict.fromkeys(format.name for format in FORMATS):
        same = [format for format in FORMATS if format.name == name]
        labels = _once(label for format in same for label in format.encoders)
        taken = f"{labels[0]} ({', '.join(labels[1:])})" if labels[1:] else "".join(labels) or "found by its layers"
        found.append(
            (
                name,
                ", ".join(_once(source for format in same for source in format.source.split(", ") if source)),
                ", ".join(_once(format.kind for format in same)),
                taken,
                ", ".join(_once(part for format in same for part in format.parts)),
                "the library itself" if name in _TESTED_AGAINST_THEMSELVES else "its forward, written again",
            )
        )
    return found


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
