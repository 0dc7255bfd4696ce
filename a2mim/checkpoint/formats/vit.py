"""Formats of the codebases that pre-train vision transformers: a part of the table, in the order of trying."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a2mim.checkpoint.formats.clip import OPENAI
from a2mim.checkpoint.formats.format import HALF, IMAGENET, Format, always, args, look_up

_UNSAID = (
    "mean and std of one half, the default of BEiT's code: the file does not say whether its run was given ImageNet's "
    "(imagenet_default_mean_and_std)"
)

_SATELLITES = (
    "mean and std of ImageNet, as for DINOv3's networks of web images; those of satellite images (SAT-493M) have "
    "0.430, 0.411, 0.296 and 0.213, 0.156, 0.143"
)


def normalised_by_flag(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """BEiT and what grew from it normalise by one half unless this flag was given."""
    imagenet = look_up(meta, "args.imagenet_default_mean_and_std")
    if imagenet is None:
        return {"notes": (_UNSAID,)}
    return dict(zip(("mean", "std"), IMAGENET, strict=True)) if imagenet else {}


def heads_of_cae(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """CAE's small network has heads of 32; without a name, the others' 64 channels each are assumed."""
    name = str(look_up(meta, "args.model") or "")
    return {"num_heads": 16 if "large" in name else 12} if name.startswith("cae_") else {}


def heads_of_moco_v3(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """MoCo v3's ViT-S has 12 heads of 32, as its ViT-B has 12 of 64; it has no larger one, but others made some."""
    return {"num_heads": 12} if meta.get("arch", "vit_small") in ("vit_small", "vit_base") else {}


FORMATS: tuple[Format, ...] = (
    Format(
        "Hiera",
        "facebookresearch/hiera",
        has=("encoder_norm.weight", "decoder_embed.weight", "multi_scale_fusion_heads.*"),
        encoders={"encoder": ""},
        parts={"decoder": ("decoder_*", "multi_scale_fusion_heads.*")},
    ),
    Format(
        "Hiera",
        "facebookresearch/hiera",
        has=("head.projection.weight", "blocks.[1-9].proj.weight", "norm.weight"),
        encoders={"model": ""},
        classifier=("head.projection.",),
        kind="classifier",
    ),
    Format(
        "I-JEPA",
        "facebookresearch/ijepa",
        has=("target_encoder:patch_embed.proj.weight", "encoder:patch_embed.proj.weight"),
        encoders={"target": "target_encoder:", "context": "encoder:"},
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
        hints=heads_of_cae,
    ),
    Format(
        "EVA-02",
        "baaivision/EVA",
        has=("blocks.0.mlp.w1.weight", "blocks.0.attn.q_bias", "patch_embed.proj.weight"),
        lacks=("head.weight",),
        encoders={"encoder": ""},
        normalisation=OPENAI,
    ),
    Format(
        "EVA-02",
        "baaivision/EVA",
        has=("blocks.0.mlp.w1.weight", "blocks.0.attn.q_bias", "head.weight"),
        encoders={"encoder": ""},
        kind="classifier",
        normalisation=OPENAI,
    ),
    Format(
        "BEiT",
        "microsoft/unilm (beit, beit2), microsoft/PeCo",
        has=("blocks.0.attn.q_bias", "lm_head.weight", "mask_token"),
        encoders={"encoder": ""},
        parts={"layers of the class token's pre-training": ("cls_pt_*",)},
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
        parts={"prediction head": ("pred_head*",), "decoder": ("decoder*",), "target generator": ("hogs.*",)},
        hints=always(final_norm=False),
    ),
    Format(
        "MaskFeat",
        "facebookresearch/SlowFast",
        has=("model_state:patch_embed.proj.weight", "model_state:head.projection.weight"),
        meta=("cfg=*USE_MEAN_POOLING: true*",),
        encoders={"encoder": "model_state:"},
        classifier=("head.projection.",),
        outside={"norm.": "fc_norm."},  # the last norm comes after the mean
        kind="classifier",
    ),
    Format(
        "MaskFeat",
        "facebookresearch/SlowFast",
        has=("model_state:patch_embed.proj.weight", "model_state:head.projection.weight"),
        meta=("cfg=*CLS_EMBED_ON: true*",),
        encoders={"encoder": "model_state:"},
        classifier=("head.projection.",),
        kind="classifier",
    ),
    Format(
        "MoCo v3",
        "facebookresearch/moco-v3",
        has=("base_encoder.*",),
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
        hints=heads_of_moco_v3,
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
        "iBOT",
        "bytedance/ibot",
        has=("teacher:backbone.*", "student:backbone.*", "student:backbone.masked_embed"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
    Format(
        "DINOv3",
        "facebookresearch/dinov3",
        has=("teacher:backbone.rope_embed.periods",),
        encoders={"teacher": "teacher:backbone."},
        parts={"projection head": ("dino_head.*", "ibot_head.*")},
    ),
    Format(
        "DINOv3",
        "facebookresearch/dinov3",
        has=("rope_embed.periods", "patch_embed.proj.weight"),
        encoders={"encoder": ""},
        kind="encoder",
        hints=always(notes=(_SATELLITES,)),
    ),
    Format(
        "DINOv2",
        "facebookresearch/dinov2",
        has=("teacher:backbone.*", "teacher:dino_head.*"),
        encoders={"teacher": "teacher:backbone."},
        parts={"projection head": ("dino_head.*", "ibot_head.*")},
    ),
    Format(
        "DINO",
        "facebookresearch/dino",
        has=("teacher:backbone.*", "student:backbone.*"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
)
