"""How research codebases name a ViT (timm's VisionTransformer), and one with relative position bias (timm's Beit)."""

from __future__ import annotations

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Rename

_QKV_BIAS = ".attn.qkv.bias"


def without_key_bias(state: State) -> State:
    """Split the bias of q, k and v, as timm's Beit has it: for q and v, none for k.

    The bias b of the keys adds q·b to all logits of a query alike, which softmax does not see: nothing is lost.
    """
    split: State = {}
    for name, value in state.items():
        if name.endswith(_QKV_BIAS):
            stem = name.removesuffix("qkv.bias")
            split[stem + "q_bias"], _, split[stem + "v_bias"] = value.chunk(3)
        else:
            split[name] = value
    return split


def with_key_bias(state: State) -> State:
    """The reverse: a bias of q, k and v, zero for k."""
    joined: State = {}
    for name, value in state.items():
        if name.endswith(".attn.q_bias"):
            other = state[name.replace("q_bias", "v_bias")]
            joined[name.replace("q_bias", "qkv.bias")] = torch.cat([value, torch.zeros_like(value), other])
        elif not name.endswith(".attn.v_bias"):
            joined[name] = value
    return joined


def _head_without_batch_norm(state: State) -> State:
    """MAE's linear probe is a BatchNorm without weights and a linear layer: one linear layer when it is evaluated."""
    if "head.0.running_var" not in state:
        return state
    eps = 1e-6  # of MAE's probe
    scale = (state["head.0.running_var"] + eps).rsqrt()
    weight = state["head.1.weight"] * scale
    bias = state["head.1.bias"] - weight @ state["head.0.running_mean"]
    rest = {name: value for name, value in state.items() if not name.startswith("head.")}
    return rest | {"head.weight": weight, "head.bias": bias}


def _class_position_within(state: State) -> State:
    """DINOv2 adds a position to the class token alone of the special tokens; timm has it in the class token itself."""
    if "reg_token" not in state:
        return state
    position = state["pos_embed"]
    return state | {"cls_token": state["cls_token"] + position[:, :1], "pos_embed": position[:, 1:]}


def _class_position_apart(state: State) -> State:
    if "reg_token" not in state:
        return state
    position = state["pos_embed"]
    return state | {"pos_embed": torch.cat([torch.zeros_like(position[:, :1]), position], 1)}


_INDEX = Ignore(("*relative_position_index",), "index tables that timm computes")
_LAYER_SCALE = (
    Rename("blocks.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
    Rename("blocks.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
)
_GATED = (Rename("blocks.{i}.mlp.w12", "blocks.{i}.mlp.fc1"), Rename("blocks.{i}.mlp.w3", "blocks.{i}.mlp.fc2"))
_CHUNKS = tuple(  # blocks.CHUNK.BLOCK, the blocks counted through all chunks
    Rename(f"blocks.{chunk}.{rule.theirs.removeprefix('blocks.')}", rule.timm)
    for chunk in range(40)
    for rule in (*_GATED, Rename("blocks.{i}", "blocks.{i}"))
)
_TABLES = ("blocks.0.attn.relative_position_bias_table", "rel_pos_bias.*")
_VIT = ("patch_embed.proj.weight", "blocks.0.attn.qkv.weight")

BEIT = (
    Dialect("BEiT", "beit", has=(*_VIT, "blocks.0.attn.q_bias"), rules=(_INDEX,)),
    Dialect(
        "ViT with relative position bias",
        "beit",
        has=(*_VIT, "*relative_position_bias_table", "blocks.0.attn.qkv.bias"),
        lacks=("blocks.0.attn.rel_pos.*",),
        rules=(_INDEX,),
        fold=(without_key_bias, with_key_bias),
        note="the bias of the keys is left out: it adds the same to all logits of a query, which softmax does not see",
    ),
    Dialect(
        "ViT with relative position bias and no other",
        "beit",
        has=(*_VIT, "*relative_position_bias_table"),
        lacks=("blocks.0.attn.rel_pos.*", "blocks.0.attn.qkv.bias"),
        rules=(_INDEX,),
    ),
)

VIT = (
    Dialect(
        "DINOv2 with registers",
        "vit",
        has=(*_VIT, "register_tokens"),
        lacks=("blocks.0.0.*",),
        rules=(Rename("register_tokens", "reg_token"), *_GATED),
        fold=(_class_position_within, _class_position_apart),
    ),
    Dialect(
        "DINOv2 in chunks of blocks",
        "vit",
        has=("patch_embed.proj.weight", "blocks.0.0.attn.qkv.weight", "blocks.0.0.norm1.weight"),
        rules=(Rename("register_tokens", "reg_token"), *_CHUNKS),
        fold=(_class_position_within, _class_position_apart),
    ),
    Dialect(
        "ViT",
        "vit",
        has=_VIT,
        lacks=_TABLES,
        rules=(*_LAYER_SCALE, *_GATED),
        fold=(_head_without_batch_norm, lambda state: state),
    ),
)
