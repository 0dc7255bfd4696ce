"""CLIP's image encoder and Hiera written down once more, over tensors under their original names."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from codebases import layer, norm, randn


def _normed(state, x, name, eps):
    return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)


def _linear(state, x, name):
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


# --- CLIP -------------------------------------------------------------------------------------------------------------


def make_clip_tower(width: int = 128, depth: int = 2, patch: int = 8, image: int = 32) -> dict:
    g = torch.Generator().manual_seed(0)
    state = {
        "class_embedding": randn(width, generator=g),
        "positional_embedding": randn((image // patch) ** 2 + 1, width, generator=g, std=0.3),
        "proj": randn(width, 16, generator=g),
        **layer("conv1", width, 3, patch, patch, generator=g, bias=False),
        **norm("ln_pre", width, generator=g),
        **norm("ln_post", width, generator=g),
    }
    for at in range(depth):
        block = f"transformer.resblocks.{at}."
        state |= norm(f"{block}ln_1", width, generator=g) | norm(f"{block}ln_2", width, generator=g)
        state[f"{block}attn.in_proj_weight"] = randn(3 * width, width, generator=g, std=width**-0.5)
        state[f"{block}attn.in_proj_bias"] = randn(3 * width, generator=g)
        state |= layer(f"{block}attn.out_proj", width, width, generator=g)
        state |= layer(f"{block}mlp.c_fc", 4 * width, width, generator=g)
        state |= layer(f"{block}mlp.c_proj", width, 4 * width, generator=g)
    return state


def clip_tower(state: dict, images: torch.Tensor, quick: bool, heads: int = 2) -> torch.Tensor:
    """Tokens after the last norm (CLIP itself normalises and projects that of the class alone)."""
    x = F.conv2d(images, state["conv1.weight"], stride=state["conv1.weight"].shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([state["class_embedding"].expand(len(x), 1, -1), x], 1) + state["positional_embedding"]
    x = _normed(state, x, "ln_pre", 1e-5)
    at = 0
    while f"transformer.resblocks.{at}.ln_1.weight" in state:
        block = f"transformer.resblocks.{at}."
        y = _normed(state, x, f"{block}ln_1", 1e-5)
        qkv = F.linear(y, state[f"{block}attn.in_proj_weight"], state[f"{block}attn.in_proj_bias"])
        q, k, v = qkv.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + _linear(state, y, f"{block}attn.out_proj")
        y = _linear(state, _normed(state, x, f"{block}ln_2", 1e-5), f"{block}mlp.c_fc")
        y = y * torch.sigmoid(1.702 * y) if quick else F.gelu(y)
        x = x + _linear(state, y, f"{block}mlp.c_proj")
        at += 1
    return _normed(state, x, "ln_post", 1e-5)


# --- Hiera ------------------------------------------------------------------------------------------------------------

_STAGES, _WIDTH = (1, 2, 1, 1), 96


def make_hiera(image: int = 64, classes: int = 5) -> dict:
    g = torch.Generator().manual_seed(0)
    state = {
        "pos_embed": randn(1, (image // 4) ** 2, _WIDTH, generator=g, std=0.3),
        **layer("patch_embed.proj", _WIDTH, 3, 7, 7, generator=g),
    }
    into, at = _WIDTH, 0
    for stage, depth in enumerate(_STAGES):
        out = _WIDTH * 2**stage
        for _ in range(depth):
            block = f"blocks.{at}."
            state |= norm(f"{block}norm1", into, generator=g) | norm(f"{block}norm2", out, generator=g)
            state |= layer(f"{block}attn.qkv", 3 * out, into, generator=g)
            state |= layer(f"{block}attn.proj", out, out, generator=g)
            state |= layer(f"{block}mlp.fc1", 4 * out, out, generator=g)
            state |= layer(f"{block}mlp.fc2", out, 4 * out, generator=g)
            if into != out:
                state |= layer(f"{block}proj", out, into, generator=g)
            into, at = out, at + 1
    return state | norm("norm", into, generator=g) | layer("head.projection", classes, into, generator=g)


def hiera(state: dict, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(last map as (B, H, W, C), logits), over maps instead of Hiera's reordered tokens.

    Stages 1 and 2 attend within mask units (8 x 8 and 4 x 4 places), stages 3 and 4 everywhere. The first block of a
    stage takes the maximum over 2 x 2 places of its queries and its shortcut, and has the windows of the stage before:
    that of stage 3 attends within units of 4 x 4 keys.
    """
    x = F.conv2d(images, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=4, padding=3)
    x = x.permute(0, 2, 3, 1)
    x = x + state["pos_embed"].reshape(1, *x.shape[1:3], -1)

    def pooled(y):
        return F.max_pool2d(y.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)

    at, units = 0, 8
    for stage, depth in enumerate(_STAGES):
        for number in range(depth):
            block, first = f"blocks.{at}.", stage > 0 and number == 0
            y = _normed(state, x, f"{block}norm1", 1e-6)
            if first:
                x = pooled(_linear(state, y, f"{block}proj"))
            windows = (stage - 1 if first else stage) < 2
            x = x + _attention(state, y, block, 2**stage, units if windows else y.shape[1], first)
            if first:
                units //= 2
            y = F.gelu(_linear(state, _normed(state, x, f"{block}norm2", 1e-6), f"{block}mlp.fc1"))
            x = x + _linear(state, y, f"{block}mlp.fc2")
            at += 1
    return x, _linear(state, _normed(state, x.mean((1, 2)), "norm", 1e-6), "head.projection")


def _attention(state, y, block, heads, unit, pool):
    """Attention of each unit x unit window by itself; with ``pool`` each query is the maximum of 2 x 2."""
    b, rows, columns, _ = y.shape
    out = torch.empty(b, rows // (1 + pool), columns // (1 + pool), state[f"{block}attn.proj.weight"].shape[0])
    for top in range(0, rows, unit):
        for left in range(0, columns, unit):
            qkv = _linear(state, y[:, top : top + unit, left : left + unit], f"{block}attn.qkv")
            q, k, v = qkv.chunk(3, -1)
            if pool:
                q = F.max_pool2d(q.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1)
            side = q.shape[1]
            q, k, v = (part.flatten(1, 2).unflatten(-1, (heads, -1)).transpose(1, 2) for part in (q, k, v))
            z = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
            z = z.transpose(1, 2).flatten(2).unflatten(1, (side, side))
            step = 1 + pool
            out[:, top // step : top // step + side, left // step : left // step + side] = z
    return _linear(state, out, f"{block}attn.proj")
