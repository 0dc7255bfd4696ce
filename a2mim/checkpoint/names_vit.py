"""How codebases name a ViT (timm's VisionTransformer), and one with relative position bias (timm's Beit)."""

from __future__ import annotations

from a2mim.checkpoint.dialects import Dialect, Ignore, Rename

_INDEX = Ignore(("*relative_position_index",), "an index table that timm computes")

BEIT = (
    Dialect(
        "BEiT",
        "beit",
        has=("patch_embed.proj.weight", "blocks.0.attn.q_bias"),
        rules=(_INDEX,),
    ),
)

VIT = (
    Dialect(
        "timm ViT",
        "vit",
        has=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight"),
        lacks=("blocks.0.attn.relative_position_bias_table", "rel_pos_bias.*"),
        rules=(
            Rename("blocks.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
            Rename("blocks.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
        ),
    ),
)
