"""How Swin's own repository, SimMIM and timm name a Swin transformer."""

from __future__ import annotations

from a2mim.checkpoint.dialects import Dialect, Ignore, Rename

_COMPUTED = Ignore(("*.relative_position_index", "*.attn_mask"), "index tables and masks that timm computes")
_FIRST = ("patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table")

SWIN = (
    Dialect(
        "Swin",
        "swin",
        has=(*_FIRST, "layers.0.downsample.reduction.weight"),  # timm has it with the stage that it leads to
        rules=(
            _COMPUTED,
            Rename("layers.{i}.downsample", "layers.{i+1}.downsample"),
            Rename("head", "head.fc"),
        ),
    ),
    Dialect("timm Swin", "swin", has=_FIRST, rules=(_COMPUTED,)),
)
