"""How Hiera's own repository and transformers name it; timm's names are nearly the former."""

from __future__ import annotations

import re

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Rename

_STAGE = re.compile(r"stages\.(\d+)\.(\d+)\.")
_PATCHES, _FIRST = "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"
_LAYER, _BLOCK = "encoder.stages.{i}.layers.{j}", "stages.{i}.{j}"


def _numbered_through(state: State) -> State:
    """Blocks counted through all stages, as timm counts them."""
    found = sorted({(int(hit[1]), int(hit[2])) for hit in map(_STAGE.match, state) if hit})
    number = {block: at for at, block in enumerate(found)}
    return {
        _STAGE.sub(lambda hit: f"blocks.{number[int(hit[1]), int(hit[2])]}.", name, count=1): value
        for name, value in state.items()
    }


HIERA = (
    Dialect(
        "Hiera",
        "hiera",
        has=(_PATCHES, _FIRST, "blocks.0.mlp.fc1.weight", "blocks.[1-9].proj.weight", "norm.weight"),
        lacks=("cls_token", "blocks.0.attn.q_bias", "blocks.0.proj.weight"),
        rules=(Rename("norm", "head.norm"), Rename("head", "head.fc")),
    ),
    Dialect(
        "Hiera, in pre-training",
        "hiera",
        has=(_PATCHES, _FIRST, "blocks.0.mlp.fc1.weight", "encoder_norm.weight"),
        rules=(Rename("encoder_norm", "head.norm"),),
    ),
    Dialect(
        "timm Hiera",
        "hiera",
        has=(_PATCHES, _FIRST, "blocks.0.mlp.fc1.weight", "head.norm.weight"),
        lacks=("norm.weight", "cls_token", "layers.*"),
    ),
)

HF_HIERA = Dialect(
    "transformers Hiera",
    "hiera",
    has=("embeddings.patch_embeddings.projection.weight", "encoder.stages.0.layers.0.attn.qkv.weight"),
    rules=(
        Rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        Rename("embeddings.position_embeddings", "pos_embed"),
        Rename(f"{_LAYER}.layernorm_before", f"{_BLOCK}.norm1"),
        Rename(f"{_LAYER}.layernorm_after", f"{_BLOCK}.norm2"),
        Rename(_LAYER, _BLOCK),
        Rename("pooler.layernorm", "head.norm"),
    ),
    fold=(_numbered_through, lambda state: state),
)
