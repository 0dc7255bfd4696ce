"""How EVA-02, EVA-CLIP and DINOv3 name their networks: ViTs with rotary positions, which are timm's Eva."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Join, Rename
from a2mim.checkpoint.names.vit import with_key_bias, without_key_bias
from a2mim.errors import InputError

Tensors = Mapping[str, torch.Tensor]

_ROTARY = Ignore(("*rope.freqs_cos", "*rope.freqs_sin", "*rope_embed.periods"), "rotary positions that timm computes")
_BLOCK = "blocks.{i}"
_PATCHES = "patch_embed.proj.weight"


# --- EVA-02, EVA-CLIP -------------------------------------------------------------------------------------------------


def _rotary_grid(state: Tensors) -> Mapping[str, object]:
    """Heads and the grid that positions are scaled to, from the tables of angles (places, channels of a head).

    The angle of the first channel at place (0, 1) of a grid of N x N is R / N, where R x R is the grid of pre-training.
    """
    hints: dict[str, object] = {"use_rot_pos_emb": True, "ref_feat_shape": [16, 16]}
    name = next((name for name in state if name.endswith("rope.freqs_cos")), "")
    cos, sin = state.get(name), state.get(name.replace("freqs_cos", "freqs_sin"))
    if cos is None or sin is None:
        return hints
    if cos.ndim != 2 or sin.shape != cos.shape or cos.shape[0] < 2 or cos.shape[1] < 4:
        raise InputError(f"the rotary tables ({name}) have shape {tuple(cos.shape)}, not (places, channels of a head)")
    side, middle = math.isqrt(cos.shape[0]), cos.shape[1] // 2
    angle = math.atan2(float(sin[1, middle]), float(cos[1, middle]))
    if side * side != cos.shape[0] or not math.isfinite(angle):
        raise InputError(f"the rotary tables ({name}) are not those of a square grid")
    hints["ref_feat_shape"] = [round(angle % (2 * math.pi) * side)] * 2
    attention = next((key for key in state if key.endswith(("attn.q_proj.weight", "attn.qkv.weight"))), "")
    if attention:
        width = state[attention].shape[0] // (3 if attention.endswith("qkv.weight") else 1)
        hints["num_heads"] = width // cos.shape[1]
    return hints


def _packed(state: State) -> State:
    """Without a norm in the MLP, timm has its first two layers (gate and value) in one."""
    if "blocks.0.mlp.norm.weight" in state:
        return state
    packed = {name: value for name, value in state.items() if ".mlp.fc1_" not in name}
    for name, gate in state.items():
        if ".mlp.fc1_g." in name:
            packed[name.replace("fc1_g", "fc1")] = torch.cat([gate, state[name.replace("fc1_g", "fc1_x")]])
    return packed


def _apart(state: State) -> State:
    if "blocks.0.mlp.fc1.weight" not in state:
        return state
    apart = {name: value for name, value in state.items() if ".mlp.fc1." not in name}
    for name, value in state.items():
        if ".mlp.fc1." in name:
            apart[name.replace("fc1", "fc1_g")], apart[name.replace("fc1", "fc1_x")] = value.chunk(2)
    return apart


_SWIGLU = (
    Rename(f"{_BLOCK}.mlp.w1", f"{_BLOCK}.mlp.fc1_g"),
    Rename(f"{_BLOCK}.mlp.w2", f"{_BLOCK}.mlp.fc1_x"),
    Rename(f"{_BLOCK}.mlp.w3", f"{_BLOCK}.mlp.fc2"),
    Rename(f"{_BLOCK}.mlp.ffn_ln", f"{_BLOCK}.mlp.norm"),
)
_EVA_02 = (_ROTARY, *_SWIGLU, Rename(f"{_BLOCK}.attn.inner_attn_ln", f"{_BLOCK}.attn.norm"))

EVA = (
    Dialect(
        "EVA-02",
        "eva",
        has=(_PATCHES, "blocks.0.attn.q_proj.weight", "blocks.0.mlp.w1.weight", "blocks.0.mlp.w3.weight"),
        rules=(
            *_EVA_02,
            Rename(f"{_BLOCK}.attn.q_bias", f"{_BLOCK}.attn.q_proj.bias"),
            Rename(f"{_BLOCK}.attn.v_bias", f"{_BLOCK}.attn.v_proj.bias"),
        ),
        fold=(_packed, _apart),
        measure=_rotary_grid,
        hints={"eps": 1e-6},
    ),
    Dialect(
        "EVA-02, small",
        "eva",
        has=(_PATCHES, "blocks.0.attn.qkv.weight", "blocks.0.attn.q_bias", "blocks.0.mlp.w1.weight"),
        rules=_EVA_02,
        fold=(_packed, _apart),
        measure=_rotary_grid,
        hints={"eps": 1e-6},
    ),
)


# --- DINOv3 -----------------------------------------------------------------------------------------------------------

DINOV3_ROTARY = {"use_rot_pos_emb": True, "rope_type": "dinov3", "rope_rotate_half": True, "rope_temperature": 100.0}


def _periods(state: Tensors) -> Mapping[str, object]:
    """Heads and the base of the rotary periods: base ** (k / K), k = 0 ... K - 1, for heads of 4 K channels."""
    periods = state["rope_embed.periods"]
    half = periods.dtype in (torch.bfloat16, torch.float16)
    periods, count = periods.float(), periods.numel()
    if periods.ndim != 1 or not count or not (periods > 0).all() or not periods.isfinite().all():
        raise InputError("the periods of the rotary positions (rope_embed.periods) are not positive numbers")
    base = float(periods[-1]) ** (count / (count - 1)) if count > 1 else 100.0
    tolerance = 1e-2 if half else 1e-5
    base = float(round(base)) if abs(base - round(base)) < tolerance * base else base
    if not torch.allclose(base ** (torch.arange(count) / count), periods, rtol=tolerance):
        raise InputError(
            "the periods of the rotary positions (rope_embed.periods) are not the powers of one base, which is all "
            "that timm computes"
        )
    width = state[_PATCHES].shape[0]
    hints: dict[str, object] = {**DINOV3_ROTARY, "rope_temperature": base, "num_heads": max(1, width // (4 * count))}
    if half:
        hints["notes"] = (
            "rotary positions in float32, as in transformers: DINOv3's own code rounds them to 16 bits (about 1e-3)",
        )
    return hints


def _mask_of_biases(state: Tensors) -> Mapping[str, object]:
    """DINOv3's hints; the keys' bias counts with rotary positions, so that it has to be masked or zero."""
    for name, bias in state.items():
        if name.endswith("attn.qkv.bias"):
            mask = state.get(f"{name}_mask", torch.ones_like(bias))
            if mask.shape != bias.shape:
                raise InputError(f"'{name}_mask' has shape {tuple(mask.shape)}, the bias {tuple(bias.shape)}")
            third = len(bias) // 3
            keys = (bias * mask.nan_to_num(0.0))[third : 2 * third]  # before its first use the mask holds NaN
            if f"{name}_mask" in state and mask.isnan().all():
                keys = keys.new_zeros(())
            if keys.any():
                raise InputError(f"'{name}' has a bias of the keys, which timm does not have beside rotary positions")
    return _periods(state)


_DINOV3_SCALE = tuple(Rename(f"{_BLOCK}.ls{at}.gamma", f"{_BLOCK}.gamma_{at}") for at in (1, 2))

DINOV3 = Dialect(
    "DINOv3",
    "eva",
    has=(_PATCHES, "blocks.0.attn.qkv.weight", "rope_embed.periods"),
    rules=(
        _ROTARY,
        Ignore(("*.bias_mask",), "masks of the keys' bias, which timm does not have"),
        Ignore(("local_cls_norm.*",), "norm of small crops, used in training alone"),
        Rename("storage_tokens", "reg_token"),
        *_SWIGLU,
        *_DINOV3_SCALE,
    ),
    fold=(without_key_bias, with_key_bias),
    measure=_mask_of_biases,
    hints={"eps": 1e-5, "global_pool": "token"},
)


def hf_dinov3(name: str, layer: str) -> Dialect:
    """DINOv3 by the names of transformers."""
    qkv = tuple(f"{layer}.attention.{part}_proj.weight" for part in "qkv")
    first = layer.replace("{i}", "0")
    return Dialect(
        name,
        "eva",
        has=("embeddings.patch_embeddings.weight", f"{first}.attention.k_proj.weight", f"{first}.mlp.up_proj.weight"),
        rules=(
            Rename("embeddings.cls_token", "cls_token"),
            Rename("embeddings.register_tokens", "reg_token"),
            Rename("embeddings.patch_embeddings", "patch_embed.proj"),
            Join(qkv, f"{_BLOCK}.attn.qkv.weight"),
            Rename(f"{layer}.attention.q_proj.bias", f"{_BLOCK}.attn.q_bias"),
            Rename(f"{layer}.attention.v_proj.bias", f"{_BLOCK}.attn.v_bias"),
            Rename(f"{layer}.attention.o_proj", f"{_BLOCK}.attn.proj"),
            Rename(f"{layer}.layer_scale1.lambda1", f"{_BLOCK}.gamma_1"),
            Rename(f"{layer}.layer_scale2.lambda1", f"{_BLOCK}.gamma_2"),
            Rename(f"{layer}.mlp.gate_proj", f"{_BLOCK}.mlp.fc1_g"),
            Rename(f"{layer}.mlp.up_proj", f"{_BLOCK}.mlp.fc1_x"),
            Rename(f"{layer}.mlp.down_proj", f"{_BLOCK}.mlp.fc2"),
            Rename(layer, _BLOCK),
        ),
        fold=(_one_layer, _two_layers),
        hints={"eps": 1e-5, "global_pool": "token", **DINOV3_ROTARY},
    )


def _one_layer(state: State) -> State:
    """An MLP without a gate: transformers calls its first layer as it calls the value of one with a gate."""
    state = {name: value for name, value in state.items() if value.numel() or name != "reg_token"}  # of 0 registers
    if "blocks.0.mlp.fc1_g.weight" in state:
        return state
    return {name.replace(".mlp.fc1_x.", ".mlp.fc1."): value for name, value in state.items()}


def _two_layers(state: State) -> State:
    return {name.replace(".mlp.fc1.", ".mlp.fc1_x."): value for name, value in state.items()}
