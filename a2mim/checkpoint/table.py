"""The table of formats, in the order in which they are tried. To add a format, add a ``Format``."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from typing import Any

from a2mim.checkpoint import hugging_face, openmmlab
from a2mim.checkpoint.formats import HALF, IMAGENET, Format, always, args, look_up


def timm_folder(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says in the folders that timm and ``a2mim-checkpoint convert --to timm`` write."""
    cfg = "config.pretrained_cfg"
    said = args(
        arch="config.architecture",
        model_args="config.model_args",
        classes="config.label_names",
        mean=f"{cfg}.mean",
        std=f"{cfg}.std",
        input_size=f"{cfg}.input_size",
    )
    return {"model_args": {}, **said(meta)}


def normalised_by_flag(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """BEiT and what grew from it normalise by one half unless this flag was given."""
    imagenet = look_up(meta, "args.imagenet_default_mean_and_std")
    return dict(zip(("mean", "std"), IMAGENET, strict=True)) if imagenet else {}


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
        "huggingface/pytorch-image-models",
        meta=("config.architecture",),
        encoders={"model": "*:"},
        kind="weights",
        normalisation=None,
        hints=timm_folder,
    ),
    Format(
        "MAE",
        "facebookresearch/mae",
        has=("decoder_embed.weight", "decoder_pred.weight", "mask_token"),
        encoders={"encoder": ""},
        parts={"decoder": ("decoder_*",)},
    ),
    Format(
        "MAE",
        "facebookresearch/mae",
        has=("patch_embed.proj.weight", "head.*"),
        meta=("args.blr", "args.nb_classes"),
        encoders={"encoder": ""},
        kind="classifier",
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("encoder.mask_token", "encoder.blocks.0.attn.qkv.weight", "decoder.0.weight"),
        encoders={"encoder": "encoder."},
        hints=args(img_size="config.DATA.IMG_SIZE", num_heads="config.MODEL.VIT.NUM_HEADS"),
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("blocks.0.attn.q_bias", "head.weight"),
        meta=("config.MODEL.VIT",),
        encoders={"encoder": ""},
        kind="classifier",
        hints=args(img_size="config.DATA.IMG_SIZE", num_heads="config.MODEL.VIT.NUM_HEADS"),
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("encoder.mask_token", "encoder.layers.0.blocks.0.attn.*", "decoder.0.weight"),
        encoders={"encoder": "encoder."},
        hints=args(img_size="config.DATA.IMG_SIZE"),
    ),
    Format(
        "Swin",
        "microsoft/Swin-Transformer, microsoft/SimMIM",
        has=("layers.0.blocks.0.attn.qkv.weight", "layers.0.downsample.*", "head.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
        hints=args(img_size="config.DATA.IMG_SIZE"),
    ),
    Format(
        "CAE",
        "lxtGH/CAE",
        has=("encoder.blocks.0.attn.q_bias", "teacher.blocks.0.attn.q_bias", "pretext_neck.*"),
        encoders={"encoder": "encoder.", "teacher": "teacher."},
        parts={"regressor and decoder": ("pretext_neck.*", "encoder_to_decoder*")},
        hints=lambda meta: {"num_heads": 16 if "large" in str(look_up(meta, "args.model")) else 12},
    ),
    Format(
        "BEiT",
        "microsoft/unilm (beit, beit2), microsoft/PeCo",
        has=("blocks.0.attn.q_bias", "lm_head.weight", "mask_token"),
        encoders={"encoder": ""},
        parts={"layers of the class token's pre-training": ("cls_pt_layers.*",)},
        normalisation=HALF,
        hints=normalised_by_flag,
    ),
    Format(
        "BEiT",
        "microsoft/unilm (beit, beit2), microsoft/PeCo, lxtGH/CAE",
        has=("blocks.0.attn.q_bias", "patch_embed.proj.weight", "head.weight"),
        encoders={"encoder": ""},
        kind="classifier",
        normalisation=HALF,
        hints=normalised_by_flag,
    ),
    Format(
        "DeiT",
        "facebookresearch/deit",
        has=("dist_token", "head_dist.weight", "blocks.0.attn.qkv.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "DeiT",
        "facebookresearch/deit",
        has=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.weight"),
        meta=("args.repeated_aug",),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "MaskFeat",
        "facebookresearch/SlowFast",
        has=("model_state:patch_embed.proj.weight", "model_state:pred_head*"),
        encoders={"encoder": "model_state:"},
        parts={"prediction head": ("pred_head*",), "decoder": ("decoder*",)},
    ),
    Format(
        "MoCo v3",
        "facebookresearch/moco-v3",
        has=("base_encoder.*", "momentum_encoder.*"),
        lacks=("backbone.*",),
        encoders={"base": "base_encoder.", "momentum": "momentum_encoder."},
        parts={
            "projection head": (
                "base_encoder.head.*",
                "base_encoder.fc.*",
                "momentum_encoder.head.*",
                "momentum_encoder.fc.*",
            )
        },
        hints=always(num_heads=12),  # its ViT-S has 12 heads of 32, as its ViT-B has 12 of 64
    ),
    Format(
        "MoCo v3",
        "facebookresearch/moco-v3",
        has=("patch_embed.proj.weight", "head.weight"),
        meta=("arch=vit_small",),
        encoders={"encoder": ""},
        kind="classifier",
        hints=always(num_heads=12),
    ),
    Format(
        "MoCo",
        "facebookresearch/moco",
        has=("encoder_q.*", "encoder_k.*"),
        lacks=("backbone.*",),
        encoders={"query": "encoder_q.", "key": "encoder_k."},
        parts={"projection head": ("encoder_q.fc.*", "encoder_k.fc.*")},
    ),
    Format(
        "iBOT",
        "bytedance/ibot",
        has=("teacher:backbone.*", "student:backbone.*", "student:backbone.masked_embed"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
    Format(
        "DINO",
        "facebookresearch/dino",
        has=("teacher:backbone.*", "student:backbone.*"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
    _transformers(
        has=("*.layer_scale1.lambda1", "classifier.weight"),
        parts={"classifier of class token and mean patch at once, which timm has not": ("classifier.*",)},
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
    Format("plain weights", "torchvision, PyTorch's examples, anyone", normalisation=None, kind="weights"),
)


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
                "the library itself" if name in ("transformers", "timm", "a2mim") else "its forward, written again",
            )
        )
    return found


def _once(items: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(items))
