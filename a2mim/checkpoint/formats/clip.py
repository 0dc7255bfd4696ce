"""Formats of networks for images and text, of which the image encoder is taken: CLIP, open_clip, SigLIP."""

from __future__ import annotations

from a2mim.checkpoint.formats import hugging_face
from a2mim.checkpoint.formats.format import HALF, Format, always

OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

_TEXT = {
    "text encoder": (
        *("transformer.*", "token_embedding.*", "positional_embedding", "ln_final.*", "text_projection*"),
        *("attn_mask", "text.*", "text_model.*", "text_decoder.*", "context_length", "vocab_size"),
    ),
    "scale of the contrastive loss": ("logit_scale", "logit_bias"),
    "projection to the space that images and texts share": ("visual_projection.*", "visual.head.*"),
    "constants": ("input_resolution",),
}
_EITHER = (
    "GELU, unless --model or --model-args act_layer=quick_gelu says otherwise: the file does not show whether it is "
    "one of OpenAI's networks or open_clip's '-quickgelu', which have QuickGELU"
)

FORMATS: tuple[Format, ...] = (
    Format(
        "CLIP",
        "openai/CLIP",
        has=("visual.transformer.resblocks.0.attn.in_proj_weight", "input_resolution"),
        encoders={"image encoder": "visual."},
        apart=True,
        parts=_TEXT,
        normalisation=OPENAI,
        hints=always(act_layer="quick_gelu"),
    ),
    Format(
        "CLIP",
        "mlfoundations/open_clip",
        has=("visual.transformer.resblocks.0.attn.in_proj_weight",),
        encoders={"image encoder": "visual."},
        apart=True,
        parts=_TEXT,
        normalisation=OPENAI,
        hints=always(notes=(_EITHER,)),
    ),
    Format(
        "CLIP",
        "mlfoundations/open_clip",
        has=("transformer.resblocks.0.attn.in_proj_weight", "class_embedding", "ln_pre.weight"),
        lacks=("visual.*",),
        encoders={"image encoder": ""},
        normalisation=OPENAI,
        hints=always(notes=(_EITHER,)),
    ),
    Format(
        "open_clip with timm's networks",
        "mlfoundations/open_clip",
        has=("visual.trunk.*",),
        encoders={"image encoder": "visual.trunk."},
        apart=True,
        parts=_TEXT,
        normalisation=HALF,
        hints=always(notes=("mean and std of one half, as for SigLIP: the file does not say them",)),
    ),
    Format(
        "EVA-CLIP",
        "baaivision/EVA, mlfoundations/open_clip",
        has=("visual.blocks.0.norm1.weight", "visual.patch_embed.proj.weight"),
        encoders={"image encoder": "visual."},
        apart=True,
        parts={**_TEXT, "projection to the space that images and texts share": ("visual.head.*",)},
        normalisation=OPENAI,
    ),
)

TRANSFORMERS: tuple[Format, ...] = tuple(
    Format(
        "transformers",
        "huggingface/transformers",
        has=has,
        encoders={},
        parts=_TEXT,
        classifier=("classifier.",),
        outside={"head.mlp.": "head.mlp.", "vision_model.head.mlp.": "head.mlp."},  # SigLIP's pooling, no projection
        kind=kind,
        normalisation=normalisation,
        hints=hints,
    )
    for first, normalisation, hints in (
        ("*pre_layrnorm.weight", OPENAI, hugging_face.clip_hints),
        ("*encoder.layers.0.self_attn.k_proj.weight", HALF, hugging_face.hints),
    )
    for has, kind in (
        ((first, "*embeddings.patch_embedding.weight", "classifier.weight"), "classifier"),
        ((first, "*embeddings.patch_embedding.weight"), "encoder"),
    )
)
