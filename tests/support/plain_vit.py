"""A vision transformer written down once more, over a dictionary of tensors: neither timm nor this package is in it.

``names`` says what a codebase calls the layers; ``make`` builds random weights under these names, ``forward`` is the
computation that the codebase's own model performs on them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from codebases import layer, norm, randn


@dataclass(frozen=True)
class Names:
    patch: str = "patch_embed.proj"
    cls: str = "cls_token"
    dist: str = "dist_token"
    registers: str = "register_tokens"
    pos: str = "pos_embed"
    block: str = "blocks.{}."
    norm1: str = "norm1"
    qkv: str = "attn.qkv"
    proj: str = "attn.proj"
    norm2: str = "norm2"
    fc1: str = "mlp.fc1"
    fc2: str = "mlp.fc2"
    gamma1: str = "gamma_1"
    gamma2: str = "gamma_2"
    table: str = "attn.relative_position_bias_table"
    shared: str = "rel_pos_bias.relative_position_bias_table"
    norm: str = "norm"
    fc_norm: str = "fc_norm"
    head: str = "head"
    dist_head: str = "head_dist"


@dataclass(frozen=True)
class Build:
    """What to build: sizes, and which of the parts that ViTs may have."""

    width: int = 128
    heads: int = 2
    depth: int = 2
    patch: int = 8
    image: int = 32
    mlp: int = 4
    classes: int = 0
    cls: bool = True
    dist: bool = False
    registers: int = 0
    pos: bool = True
    bias: str = "qkv"  # "qkv", "qv" (BEiT's two vectors) or ""
    scale: bool = False
    relative: str = ""  # "block" or "shared"
    pooled: bool = False  # mean over patches and fc_norm, and no norm before
    last: bool = True  # a norm at the end
    gated: bool = False  # SwiGLU of DINOv2-giant: gate and value in one layer


def make(build: Build = Build(), names: Names = Names(), seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    side, width = build.image // build.patch, build.width
    state = {names.cls: randn(1, 1, width, generator=g)} if build.cls else {}
    if build.dist:
        state[names.dist] = randn(1, 1, width, generator=g)
    if build.registers:
        state[names.registers] = randn(1, build.registers, width, generator=g)
    if build.pos:
        state[names.pos] = randn(1, side * side + build.cls + build.dist, width, generator=g, std=0.3)
    state |= layer(names.patch, width, 3, build.patch, build.patch, generator=g)
    distances = (2 * side - 1) ** 2 + 3
    if build.relative == "shared":
        state[names.shared] = randn(distances, build.heads, generator=g, std=1.0)
    for number in range(build.depth):
        at = names.block.format(number)
        state |= norm(at + names.norm1, width, generator=g)
        state |= layer(at + names.qkv, 3 * width, width, generator=g, bias=build.bias == "qkv")
        if build.bias == "qv":
            for part in ("q_bias", "v_bias"):
                state[at + names.qkv.replace("qkv", part)] = randn(width, generator=g, std=0.3)
        if build.relative == "block":
            state[at + names.table] = randn(distances, build.heads, generator=g, std=1.0)
        state |= layer(at + names.proj, width, width, generator=g)
        state |= norm(at + names.norm2, width, generator=g)
        state |= layer(at + names.fc1, build.mlp * width * (1 + build.gated), width, generator=g)
        state |= layer(at + names.fc2, width, build.mlp * width, generator=g)
        if build.scale:
            state[at + names.gamma1] = randn(width, generator=g, std=0.2, mean=0.5)
            state[at + names.gamma2] = randn(width, generator=g, std=0.2, mean=0.5)
    if build.last:
        state |= norm(names.fc_norm if build.pooled else names.norm, width, generator=g)
    if build.classes:
        state |= layer(names.head, build.classes, width, generator=g)
        if build.dist:
            state |= layer(names.dist_head, build.classes, width, generator=g)
    return state


def distance_table(side: int) -> torch.Tensor:
    """Row of BEiT's table for each pair of tokens, the class token first: its definition, pair by pair."""
    tokens = side * side
    last = (2 * side - 1) ** 2
    index = torch.empty(tokens + 1, tokens + 1, dtype=torch.long)
    for a in range(tokens):
        for b in range(tokens):
            down, right = a // side - b // side + side - 1, a % side - b % side + side - 1
            index[a + 1, b + 1] = down * (2 * side - 1) + right
    index[0, :], index[:, 0], index[0, 0] = last, last + 1, last + 2
    return index


def forward(state: dict, images: torch.Tensor, build: Build, names: Names = Names(), eps: float = 1e-6) -> tuple:
    """(tokens after the last norm, logits or None) as the original computes them."""

    def normed(x, name):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    x = F.conv2d(images, state[f"{names.patch}.weight"], state[f"{names.patch}.bias"], stride=build.patch)
    side = x.shape[-1]
    x = x.flatten(2).transpose(1, 2)
    special = [state[name].expand(len(x), -1, -1) for name in (names.cls, names.dist) if name in state]
    x = torch.cat([*special, x], 1)
    if build.pos:
        x = x + state[names.pos]
    if build.registers:  # after the position embedding, behind the class token, without a position
        x = torch.cat([x[:, :1], state[names.registers].expand(len(x), -1, -1), x[:, 1:]], 1)
    for number in range(build.depth):
        at = names.block.format(number)
        y = normed(x, at + names.norm1)
        qkv = linear(y, at + names.qkv)
        if build.bias == "qv":
            q, v = (state[at + names.qkv.replace("qkv", part)] for part in ("q_bias", "v_bias"))
            qkv = qkv + torch.cat([q, torch.zeros_like(q), v])
        b, n, _ = qkv.shape
        q, k, v = qkv.reshape(b, n, 3, build.heads, -1).permute(2, 0, 3, 1, 4)
        logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
        table = state.get(at + names.table, state.get(names.shared))
        if table is not None:
            logits = logits + table[distance_table(side)].permute(2, 0, 1)
        y = (logits.softmax(-1) @ v).transpose(1, 2).reshape(b, n, -1)
        x = x + linear(y, at + names.proj) * state.get(at + names.gamma1, 1.0)
        y = linear(normed(x, at + names.norm2), at + names.fc1)
        if build.gated:
            gate, value = y.chunk(2, -1)
            y = F.silu(gate) * value
        else:
            y = F.gelu(y)
        y = linear(y, at + names.fc2)
        x = x + y * state.get(at + names.gamma2, 1.0)
    if build.last and not build.pooled:
        x = normed(x, names.norm)
    if not build.classes:
        return x, None
    special_tokens = build.cls + build.dist + build.registers
    pooled = normed(x[:, special_tokens:].mean(1), names.fc_norm) if build.pooled else x[:, 0]
    logits = linear(pooled, names.head)
    if build.dist:  # two heads, averaged at inference
        logits = (logits + linear(x[:, 1], names.dist_head)) / 2
    return x, logits
