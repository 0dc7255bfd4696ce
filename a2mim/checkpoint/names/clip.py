"""How OpenAI's CLIP, open_clip and transformers name the image encoders of CLIP and SigLIP."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Join, Rename

_BLOCK = "blocks.{i}"


def _token(tensor: torch.Tensor) -> torch.Tensor:
    """(C) -> (1, 1, C)."""
    return tensor.reshape(1, 1, -1)


def _table(tensor: torch.Tensor) -> torch.Tensor:
    """(places, C) -> (1, places, C)."""
    return tensor.reshape(1, *tensor.shape[-2:])


def _rows(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[0]


_PROJECTION = "projection to the space that images and texts share"
_RESIDUAL = "transformer.resblocks.{i}"

CLIP = Dialect(
    "CLIP",
    "vit",
    has=("transformer.resblocks.0.attn.in_proj_weight", "class_embedding", "conv1.weight", "ln_pre.weight"),
    rules=(
        Ignore(("proj",), _PROJECTION),
        Rename("class_embedding", "cls_token", _token, torch.flatten),
        Rename("positional_embedding", "pos_embed", _table, _rows),
        Rename("conv1", "patch_embed.proj"),
        Rename("ln_pre", "norm_pre"),
        Rename("ln_post", "norm"),
        Rename(f"{_RESIDUAL}.ln_1", f"{_BLOCK}.norm1"),
        Rename(f"{_RESIDUAL}.ln_2", f"{_BLOCK}.norm2"),
        Rename(f"{_RESIDUAL}.attn.in_proj_weight", f"{_BLOCK}.attn.qkv.weight"),
        Rename(f"{_RESIDUAL}.attn.in_proj_bias", f"{_BLOCK}.attn.qkv.bias"),
        Rename(f"{_RESIDUAL}.attn.out_proj", f"{_BLOCK}.attn.proj"),
        Rename(f"{_RESIDUAL}.mlp.c_fc", f"{_BLOCK}.mlp.fc1"),
        Rename(f"{_RESIDUAL}.mlp.c_proj", f"{_BLOCK}.mlp.fc2"),
        Rename(f"{_RESIDUAL}.ls_1", f"{_BLOCK}.ls1"),
        Rename(f"{_RESIDUAL}.ls_2", f"{_BLOCK}.ls2"),
    ),
    hints={"eps": 1e-5},
)

_LAYER = "encoder.layers.{i}"
_LAYERS = (
    Join(tuple(f"{_LAYER}.self_attn.{part}_proj" for part in "qkv"), f"{_BLOCK}.attn.qkv"),
    Rename(f"{_LAYER}.self_attn.out_proj", f"{_BLOCK}.attn.proj"),
    Rename(f"{_LAYER}.layer_norm1", f"{_BLOCK}.norm1"),
    Rename(f"{_LAYER}.layer_norm2", f"{_BLOCK}.norm2"),
    Rename(_LAYER, _BLOCK),
)
_EMBEDDINGS = (
    Ignore(("embeddings.position_ids",), "an index table that timm computes"),
    Rename("embeddings.patch_embedding", "patch_embed.proj"),
    Rename("embeddings.position_embedding.weight", "pos_embed", _table, _rows),
)

HF_CLIP = Dialect(
    "transformers CLIP",
    "vit",
    has=("encoder.layers.0.self_attn.k_proj.weight", "embeddings.class_embedding", "pre_layrnorm.weight"),
    rules=(
        *_EMBEDDINGS,
        Rename("embeddings.class_embedding", "cls_token", _token, torch.flatten),
        Rename("pre_layrnorm", "norm_pre"),
        Rename("post_layernorm", "norm"),
        *_LAYERS,
    ),
    hints={"eps": 1e-5},
)


def _pool_apart(state: State) -> State:
    """SigLIP's attention pooling: timm has the query's weights apart from those of keys and values."""
    apart = {name: value for name, value in state.items() if not name.startswith("attn_pool.in_proj_")}
    for part in ("weight", "bias"):
        if f"attn_pool.in_proj_{part}" in state:
            query, key, value = state[f"attn_pool.in_proj_{part}"].chunk(3)
            apart |= {f"attn_pool.q.{part}": query, f"attn_pool.kv.{part}": torch.cat([key, value])}
    return apart


def _pool_joined(state: State) -> State:
    joined = {name: value for name, value in state.items() if not name.startswith(("attn_pool.q.", "attn_pool.kv."))}
    for part in ("weight", "bias"):
        if f"attn_pool.q.{part}" in state:
            joined[f"attn_pool.in_proj_{part}"] = torch.cat([state[f"attn_pool.{at}.{part}"] for at in ("q", "kv")])
    return joined


def _pooling(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    return {"global_pool": "map" if "head.probe" in state else "avg"}


HF_SIGLIP = Dialect(
    "transformers SigLIP",
    "vit",
    has=("encoder.layers.0.self_attn.k_proj.weight", "embeddings.patch_embedding.weight", "post_layernorm.weight"),
    lacks=("embeddings.class_embedding",),
    rules=(
        *_EMBEDDINGS,
        Rename("post_layernorm", "norm"),
        *_LAYERS,
        Rename("head.probe", "attn_pool.latent"),
        Rename("head.attention.in_proj_weight", "attn_pool.in_proj_weight"),
        Rename("head.attention.in_proj_bias", "attn_pool.in_proj_bias"),
        Rename("head.attention.out_proj", "attn_pool.proj"),
        Rename("head.layernorm", "attn_pool.norm"),
        Rename("head.mlp", "attn_pool.mlp"),
    ),
    fold=(_pool_apart, _pool_joined),
    measure=_pooling,
    hints={"eps": 1e-6, "act_layer": "gelu_tanh"},
)
