"""DINOv3 and EVA-02 written down once more from their published code, over tensors under their own names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from codebases import layer, norm, randn

WIDTH, HEADS, PATCH = 128, 4, 8
CHANNELS = WIDTH // HEADS


def _normed(state, x, name, eps):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _linear(state, x, name):
    return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


# --- DINOv3 -----------------------------------------------------------------------------------------------------------


def make_dinov3(gated: bool = False, biases: bool = True, depth: int = 2, base: float = 100.0) -> dict:
    g = torch.Generator().manual_seed(0)
    quarter = CHANNELS // 4
    state = {
        "cls_token": randn(1, 1, WIDTH, generator=g),
        "storage_tokens": randn(1, 4, WIDTH, generator=g),
        "mask_token": randn(1, WIDTH, generator=g),
        "rope_embed.periods": base ** (2 * torch.arange(quarter) / (CHANNELS // 2)),
        **layer("patch_embed.proj", WIDTH, 3, PATCH, PATCH, generator=g),
    }
    for at in range(depth):
        block = f"blocks.{at}."
        state |= norm(f"{block}norm1", WIDTH, generator=g) | norm(f"{block}norm2", WIDTH, generator=g)
        state |= layer(f"{block}attn.qkv", 3 * WIDTH, WIDTH, generator=g, bias=biases)
        if biases:
            mask = torch.ones(3 * WIDTH)
            mask[WIDTH : 2 * WIDTH] = 0
            state[f"{block}attn.qkv.bias_mask"] = mask
        state |= layer(f"{block}attn.proj", WIDTH, WIDTH, generator=g)
        for name, out, into in (
            (("w1", 2 * WIDTH, WIDTH), ("w2", 2 * WIDTH, WIDTH), ("w3", WIDTH, 2 * WIDTH))
            if gated
            else (("fc1", 4 * WIDTH, WIDTH), ("fc2", WIDTH, 4 * WIDTH))
        ):
            state |= layer(f"{block}mlp.{name}", out, into, generator=g)
        for scale in ("ls1", "ls2"):
            state[f"{block}{scale}.gamma"] = randn(WIDTH, generator=g, std=0.2, mean=0.5)
    return state | norm("norm", WIDTH, generator=g)


def dinov3(state: dict, images: torch.Tensor) -> torch.Tensor:
    """Tokens (class, registers, patches) after the last norm."""
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    side = x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), state["storage_tokens"].expand(len(x), -1, -1), x], 1)
    places = (torch.arange(side) + 0.5) / side * 2 - 1  # each axis from -1 to 1
    coords = torch.stack(torch.meshgrid(places, places, indexing="ij"), -1).flatten(0, 1)
    angles = 2 * math.pi * coords[:, :, None] / state["rope_embed.periods"][None, None]
    angles = angles.flatten(1).tile(2)  # (places, channels of a head)

    def turned(t):  # (B, heads, tokens, channels); the first five tokens have no place
        special, patches = t[:, :, :5], t[:, :, 5:]
        one, two = patches.chunk(2, -1)
        return torch.cat([special, patches * angles.cos() + torch.cat([-two, one], -1) * angles.sin()], 2)

    at = 0
    while f"blocks.{at}.norm1.weight" in state:
        block = f"blocks.{at}."
        bias = state.get(f"{block}attn.qkv.bias")
        bias = None if bias is None else bias * state[f"{block}attn.qkv.bias_mask"]
        y = F.linear(_normed(state, x, f"{block}norm1", 1e-5), state[f"{block}attn.qkv.weight"], bias)
        q, k, v = y.unflatten(-1, (3, HEADS, CHANNELS)).permute(2, 0, 3, 1, 4)
        y = (turned(q) @ turned(k).transpose(-1, -2) / CHANNELS**0.5).softmax(-1) @ v
        y = _linear(state, y.transpose(1, 2).flatten(2), f"{block}attn.proj")
        x = x + y * state[f"{block}ls1.gamma"]
        y = _normed(state, x, f"{block}norm2", 1e-5)
        if f"{block}mlp.w1.weight" in state:
            y = F.silu(_linear(state, y, f"{block}mlp.w1")) * _linear(state, y, f"{block}mlp.w2")
            y = _linear(state, y, f"{block}mlp.w3")
        else:
            y = _linear(state, F.gelu(_linear(state, y, f"{block}mlp.fc1")), f"{block}mlp.fc2")
        x = x + y * state[f"{block}ls2.gamma"]
        at += 1
    return _normed(state, x, "norm", 1e-5)


# --- EVA-02 -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvaNames:
    """What EVA-02's sizes have: one layer for q, k and v; norms within MLP and attention; the grid of pre-training."""

    fused: bool = False
    subln: bool = True
    inner: bool = False
    grid: int = 4
    side: int = 4  # of the grid of patches

    def angles(self) -> torch.Tensor:
        """(places, channels of a head), neighbours in pairs: VisionRotaryEmbeddingFast with interpolated places."""
        half = CHANNELS // 2
        freqs = 10000.0 ** -(torch.arange(0, half, 2)[: half // 2] / half)
        places = torch.arange(self.side) / self.side * self.grid
        one = torch.einsum("i,j->ij", places, freqs).repeat_interleave(2, -1)
        rows, columns = one[:, None].expand(-1, self.side, -1), one[None].expand(self.side, -1, -1)
        return torch.cat([rows, columns], -1).flatten(0, 1)


def make_eva02(names: EvaNames, depth: int = 2) -> dict:
    g = torch.Generator().manual_seed(0)
    state = {
        "cls_token": randn(1, 1, WIDTH, generator=g),
        "pos_embed": randn(1, names.side**2 + 1, WIDTH, generator=g, std=0.3),
        "rope.freqs_cos": names.angles().cos(),
        "rope.freqs_sin": names.angles().sin(),
        **layer("patch_embed.proj", WIDTH, 3, PATCH, PATCH, generator=g),
    }
    for at in range(depth):
        block = f"blocks.{at}."
        state |= norm(f"{block}norm1", WIDTH, generator=g) | norm(f"{block}norm2", WIDTH, generator=g)
        for name, out in (
            (("qkv", 3 * WIDTH),) if names.fused else (("q_proj", WIDTH), ("k_proj", WIDTH), ("v_proj", WIDTH))
        ):
            state |= layer(f"{block}attn.{name}", out, WIDTH, generator=g, bias=False)
        for name in ("q_bias", "v_bias"):
            state[f"{block}attn.{name}"] = randn(WIDTH, generator=g, std=0.3)
        state |= layer(f"{block}attn.proj", WIDTH, WIDTH, generator=g)
        hidden = int(WIDTH * 4 * 2 / 3)
        for name, out, into in (("w1", hidden, WIDTH), ("w2", hidden, WIDTH), ("w3", WIDTH, hidden)):
            state |= layer(f"{block}mlp.{name}", out, into, generator=g)
        if names.subln:
            state |= norm(f"{block}mlp.ffn_ln", hidden, generator=g)
        if names.inner:
            state |= norm(f"{block}attn.inner_attn_ln", WIDTH, generator=g)
        state |= {f"{block}attn.rope.{part}": state[f"rope.{part}"] for part in ("freqs_cos", "freqs_sin")}
    return state | norm("norm", WIDTH, generator=g)


def eva02(state: dict, images: torch.Tensor, names: EvaNames) -> torch.Tensor:
    """Tokens after the last norm."""
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=PATCH)
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x.flatten(2).transpose(1, 2)], 1) + state["pos_embed"]

    def turned(t):
        first, patches = t[:, :, :1], t[:, :, 1:]
        pairs = patches.unflatten(-1, (-1, 2))
        across = torch.stack([-pairs[..., 1], pairs[..., 0]], -1).flatten(-2)
        return torch.cat([first, patches * state["rope.freqs_cos"] + across * state["rope.freqs_sin"]], 2)

    at = 0
    while f"blocks.{at}.norm1.weight" in state:
        block = f"blocks.{at}."
        y = _normed(state, x, f"{block}norm1", 1e-6)
        if names.fused:
            q, k, v = F.linear(y, state[f"{block}attn.qkv.weight"]).chunk(3, -1)
        else:
            q, k, v = (F.linear(y, state[f"{block}attn.{part}_proj.weight"]) for part in "qkv")
        q, v = q + state[f"{block}attn.q_bias"], v + state[f"{block}attn.v_bias"]
        q, k, v = (part.unflatten(-1, (HEADS, CHANNELS)).transpose(1, 2) for part in (q, k, v))
        y = (turned(q) @ turned(k).transpose(-1, -2) / CHANNELS**0.5).softmax(-1) @ v
        y = y.transpose(1, 2).flatten(2)
        y = _normed(state, y, f"{block}attn.inner_attn_ln", 1e-6) if names.inner else y
        x = x + _linear(state, y, f"{block}attn.proj")
        y = _normed(state, x, f"{block}norm2", 1e-6)
        y = F.silu(_linear(state, y, f"{block}mlp.w1")) * _linear(state, y, f"{block}mlp.w2")
        y = _normed(state, y, f"{block}mlp.ffn_ln", 1e-6) if names.subln else y
        x = x + _linear(state, y, f"{block}mlp.w3")
        at += 1
    return _normed(state, x, "norm", 1e-6)
