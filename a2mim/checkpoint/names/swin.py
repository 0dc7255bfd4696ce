"""How Swin's own repository, SimMIM and timm name a Swin transformer and its second version."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch

from a2mim.checkpoint.names.dialects import Dialect, Ignore, Rename
from a2mim.errors import InputError

_COMPUTED = Ignore(
    ("*.relative_position_index", "*.relative_coords_table", "*.attn_mask"), "tables and masks that timm computes"
)
_TABLE = "layers.{}.blocks.0.attn.relative_coords_table"


def _image_size(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    """The size of the images, which the mask of the first shifted windows shows: (windows, places, places)."""
    mask, patches = state.get("layers.0.blocks.1.attn_mask"), state["patch_embed.proj.weight"]
    if mask is None or mask.ndim != 3 or patches.ndim != 4:
        return {}
    places = mask.shape[0] * mask.shape[1]
    if math.isqrt(places) ** 2 != places:
        raise InputError(f"the first map has {places} places, no square; give --model-args 'img_size=[H, W]'")
    return {"img_size": math.isqrt(places) * patches.shape[-1]}


def _windows(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    """The sizes of the windows, now and in pre-training, which no weight of version 2 shows."""
    names = itertools.takewhile(state.__contains__, map(_TABLE.format, itertools.count()))
    tables = [state[name] for name in names]
    if any(table.ndim != 4 or not table.numel() or not table.isfinite().all() for table in tables):
        raise InputError("the tables of distances (relative_coords_table) hold none")
    windows = [(table.shape[1] + 1) // 2 for table in tables]
    before = [_window_before(table, window) for table, window in zip(tables, windows, strict=True)]
    return {**_image_size(state), "windows": windows, "pretrained_window_sizes": before}


def _window_before(table: torch.Tensor, window: int) -> int:
    """Distances d are written as log8(1 + 8 d / (p - 1)) for windows of p in pre-training: p; 0 where it is ``window``.

    Args:
        table: (1, 2 window - 1, 2 window - 1, 2), from the smallest distances to the largest.
    """
    share = (8 ** min(float(table[0, -1, -1, 0]), 99.0) - 1) / 8  # of the largest, window - 1
    found = round(1 + (window - 1) / share) if share > 0 else window  # a window of 1 has no distances
    return 0 if found == window else found


_SHIFTED = (Rename("layers.{i}.downsample", "layers.{i+1}.downsample"), Rename("head", "head.fc"))
_PATCHES, _FIRST_BIAS = "patch_embed.proj.weight", "layers.0.blocks.0.attn.relative_position_bias_table"
_FIRST_DOWN = "layers.0.downsample.reduction.weight"  # timm has it in the stage that it leads to

SWIN = (
    Dialect(
        "Swin",
        "swin",
        has=(_PATCHES, _FIRST_BIAS, _FIRST_DOWN),
        rules=(_COMPUTED, *_SHIFTED),
        measure=_image_size,
    ),
    Dialect("timm Swin", "swin", has=(_PATCHES, _FIRST_BIAS), rules=(_COMPUTED,), measure=_image_size),
    Dialect(  # timm's own files have no tables, and so do not show the windows
        "Swin V2",
        "swinv2",
        has=(_PATCHES, _TABLE.format(0), _FIRST_DOWN),
        rules=(
            _COMPUTED,
            *_SHIFTED,
            Rename("layers.{i}.blocks.{j}.attn.cpb_mlp", "layers.{i}.blocks.{j}.attn.cpb_mlp"),
            Rename("layers.{i}.blocks.{j}.attn.rpe_mlp", "layers.{i}.blocks.{j}.attn.cpb_mlp"),  # SimMIM's releases
        ),
        measure=_windows,
    ),
)
