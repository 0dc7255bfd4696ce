"""How codebases name a Swin transformer."""

from __future__ import annotations

from a2mim.checkpoint.dialects import Dialect, Ignore, Rename

_COMPUTED = Ignore(("*.relative_position_index", "*.attn_mask"), "a table that timm computes")

SWIN = (
    Dialect(
        "Swin",
        "swin",
        has=("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table", "layers.0.downsample.*"),
        rules=(
            _COMPUTED,
            Rename("layers.{i}.downsample", "layers.{i+1}.downsample"),
            Rename("head", "head.fc"),
        ),
    ),
    Dialect(
        "timm Swin",
        "swin",
        has=("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"),
        rules=(_COMPUTED,),
    ),
)
