"""A Swin transformer and its second version written down once more, window by window, over a dictionary of tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from codebases import layer, norm, randn


@dataclass(frozen=True)
class Swin:
    width: int = 16
    depths: tuple = (2, 2)
    heads: tuple = (1, 2)
    window: int = 4
    patch: int = 4
    image: int = 32
    classes: int = 0
    unfold: bool = False  # OpenMMLab's order of the four patches that are merged
    second: bool = False  # version 2: cosine attention, positions by a small MLP, norms behind the layers
    before: tuple = ()  # windows of the pre-training, of version 2


@dataclass(frozen=True)
class Names:
    patch: str = "patch_embed.proj"
    patch_norm: str = "patch_embed.norm"
    block: str = "layers.{}.blocks.{}."
    attn: str = "attn."
    positions: str = "cpb_mlp"
    fc1: str = "mlp.fc1"
    fc2: str = "mlp.fc2"
    down: str = "layers.{}.downsample."  # of the stage that it ends
    norm: str = "norm"
    head: str = "head"


def windows_of(build: Swin, stage: int) -> tuple[int, int, int]:
    """(side of the feature map, side of a window, shift of every second block)."""
    side = build.image // build.patch // 2**stage
    return (side, side, 0) if side <= build.window else (side, build.window, build.window // 2)


def make(build: Swin, names: Names, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    state = layer(names.patch, build.width, 3, build.patch, build.patch, generator=g)
    state |= norm(names.patch_norm, build.width, generator=g)
    for stage, (depth, heads) in enumerate(zip(build.depths, build.heads, strict=True)):
        width, (_, window, _) = build.width * 2**stage, windows_of(build, stage)
        for block in range(depth):
            at = names.block.format(stage, block)
            state |= norm(f"{at}norm1", width, generator=g)
            state |= layer(f"{at}{names.attn}qkv", 3 * width, width, generator=g, bias=not build.second)
            if build.second:
                state |= _second(f"{at}{names.attn}", names.positions, width, heads, g)
            else:
                table = randn((2 * window - 1) ** 2, heads, generator=g, std=1.0)
                state[f"{at}{names.attn}relative_position_bias_table"] = table
            state |= layer(f"{at}{names.attn}proj", width, width, generator=g)
            state |= norm(f"{at}norm2", width, generator=g)
            state |= layer(f"{at}{names.fc1}", 4 * width, width, generator=g)
            state |= layer(f"{at}{names.fc2}", width, 4 * width, generator=g)
        if stage + 1 < len(build.depths):
            at = names.down.format(stage)
            state |= norm(f"{at}norm", (2 if build.second else 4) * width, generator=g)
            state |= layer(f"{at}reduction", 2 * width, 4 * width, generator=g, bias=False)
    state |= norm(names.norm, width, generator=g)
    if build.classes:
        state |= layer(names.head, build.classes, width, generator=g)
    return state


def _second(at: str, positions: str, width: int, heads: int, g: torch.Generator) -> dict:
    return {
        f"{at}logit_scale": randn(heads, 1, 1, generator=g, std=0.5, mean=2.0),
        f"{at}q_bias": randn(width, generator=g, std=0.3),
        f"{at}v_bias": randn(width, generator=g, std=0.3),
        **layer(f"{at}{positions}.0", 512, 2, generator=g),
        **layer(f"{at}{positions}.2", heads, 512, generator=g, bias=False),
    }


def distances(window: int, before: int) -> torch.Tensor:
    """Version 2: (1, 2 window - 1, 2 window - 1, 2) distances in rows and columns, as their logarithms."""
    line = torch.arange(1 - window, window, dtype=torch.float32) * 8 / ((before or window) - 1)
    line = line.sign() * torch.log2(line.abs() + 1) / math.log2(8)
    return torch.stack(torch.meshgrid(line, line, indexing="ij"), -1)[None]


def attention(x: torch.Tensor, state: dict, names: Names, at: str, heads: int, window: int, shift: int, before: int):
    """Attention of every token to those of its own window; after a cyclic shift, not over the seam."""
    b, side, _, width = x.shape
    x = torch.roll(x, (-shift, -shift), (1, 2))
    out = torch.empty_like(x)
    # the parts of the shifted map that were not neighbours before: the last windows hold up to four of them
    part = torch.zeros(side, dtype=torch.long)
    if shift:
        part[side - window :], part[side - shift :] = 1, 2
    region = part[:, None] * 3 + part[None, :]
    places = [(row, col) for row in range(window) for col in range(window)]
    index = torch.tensor(
        [[(r - r2 + window - 1) * (2 * window - 1) + c - c2 + window - 1 for r2, c2 in places] for r, c in places]
    )
    second = f"{at}logit_scale" in state
    table, qkv_bias = state.get(f"{at}relative_position_bias_table"), state.get(f"{at}qkv.bias")
    if second:
        mlp = {key: state.get(f"{at}{names.positions}.{key}") for key in ("0.weight", "0.bias", "2.weight")}
        hidden = F.relu(F.linear(distances(window, before), mlp["0.weight"], mlp["0.bias"]))
        table = 16 * torch.sigmoid(F.linear(hidden, mlp["2.weight"]).reshape(-1, heads))
        q_bias, v_bias = state[f"{at}q_bias"], state[f"{at}v_bias"]
        qkv_bias = torch.cat([q_bias, torch.zeros_like(q_bias), v_bias])
    bias = table[index].permute(2, 0, 1)
    for top in range(0, side, window):
        for left in range(0, side, window):
            tokens = x[:, top : top + window, left : left + window].reshape(b, window * window, width)
            qkv = F.linear(tokens, state[f"{at}qkv.weight"], qkv_bias)
            q, k, v = qkv.reshape(b, window * window, 3, heads, -1).permute(2, 0, 3, 1, 4)
            if second:
                cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-1, -2)
                logits = cosine * state[f"{at}logit_scale"].clamp(max=math.log(100)).exp() + bias
            else:
                logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias
            where = region[top : top + window, left : left + window].flatten()
            logits = logits.masked_fill(where[:, None] != where[None, :], -1000.0)
            y = (logits.softmax(-1) @ v).transpose(1, 2).reshape(b, window, window, width)
            out[:, top : top + window, left : left + window] = y
    out = torch.roll(out, (shift, shift), (1, 2))
    return F.linear(out, state[f"{at}proj.weight"], state[f"{at}proj.bias"])


def merge(x: torch.Tensor, unfold: bool) -> torch.Tensor:
    """Four neighbours side by side in the channels."""
    if unfold:
        b, side, _, width = x.shape
        y = F.unfold(x.permute(0, 3, 1, 2), 2, stride=2)  # (B, 4C, places)
        return y.transpose(1, 2).reshape(b, side // 2, side // 2, 4 * width)
    return torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)


def forward(state: dict, images: torch.Tensor, build: Swin, names: Names) -> tuple:
    """(last feature map (B, H, W, C), logits or None)."""

    def normed(x, name):
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], 1e-5)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state.get(f"{name}.bias"))

    def mlp(x, at):
        return linear(F.gelu(linear(x, f"{at}{names.fc1}")), f"{at}{names.fc2}")

    x = F.conv2d(images, state[f"{names.patch}.weight"], state[f"{names.patch}.bias"], stride=build.patch)
    x = normed(x.permute(0, 2, 3, 1), names.patch_norm)
    for stage, (depth, heads) in enumerate(zip(build.depths, build.heads, strict=True)):
        _, window, shift = windows_of(build, stage)
        before = build.before[stage] if build.before else 0
        for block in range(depth):
            at = names.block.format(stage, block)
            how = (state, names, f"{at}{names.attn}", heads, window, shift * (block % 2), before)
            if build.second:
                x = x + normed(attention(x, *how), f"{at}norm1")
                x = x + normed(mlp(x, at), f"{at}norm2")
            else:
                x = x + attention(normed(x, f"{at}norm1"), *how)
                x = x + mlp(normed(x, f"{at}norm2"), at)
        if stage + 1 < len(build.depths):
            at, x = names.down.format(stage), merge(x, build.unfold)
            if build.second:
                x = normed(linear(x, f"{at}reduction"), f"{at}norm")
            else:
                x = linear(normed(x, f"{at}norm"), f"{at}reduction")
    x = normed(x, names.norm)
    return x, linear(x.mean((1, 2)), names.head) if build.classes else None
