"""The families of Eva (EVA-02, DINOv3), Hiera and EfficientNet, beside those of ``families``: ``FAMILIES`` has all."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import timm

from a2mim.checkpoint import families
from a2mim.checkpoint.families import Family, Keywords, Shapes
from a2mim.checkpoint.names.efficientnet import LAYOUTS, Layout
from a2mim.errors import InputError


def _describe_eva(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    depth = families._count(shapes, "blocks.{}.")
    fused, apart = "blocks.0.attn.qkv.weight" in shapes, "blocks.0.mlp.fc1_g.weight" in shapes
    hidden = shapes["blocks.0.mlp.fc2.weight"][1]
    packed = not apart and shapes["blocks.0.mlp.fc1.weight"][0] == 2 * hidden
    normed = "blocks.0.mlp.norm.weight" in shapes
    registers = shapes["reg_token"][1] if "reg_token" in shapes else 0
    tokens = registers + ("cls_token" in shapes)
    places = shapes["pos_embed"][1] - tokens if "pos_embed" in shapes else None
    pooled = "fc_norm.weight" in shapes
    pool = "avg" if pooled else hints.get("global_pool") or ("token" if "cls_token" in shapes else "avg")
    rotary = ("rope_type", "rope_rotate_half", "rope_temperature", "ref_feat_shape", "use_rot_pos_emb")
    return {
        "img_size": families._image(shapes, hints, patch, places, notes),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": depth,
        "num_heads": families._heads(shapes, hints, notes, width, depth, hidden / width),
        "mlp_ratio": _ratio(hidden, width),
        "qkv_fused": fused,
        "qkv_bias": f"blocks.0.attn.{'q_bias' if fused else 'q_proj.bias'}" in shapes,
        "swiglu_mlp": apart or packed,
        "swiglu_align_to": 0 if packed or normed or not apart else 8 if hidden % 8 == 0 else 1,
        "scale_mlp": normed,
        "scale_attn_inner": "blocks.0.attn.norm.weight" in shapes,
        "init_values": 1e-5 if "blocks.0.gamma_1" in shapes else None,
        "class_token": "cls_token" in shapes,
        "num_reg_tokens": registers,
        "use_abs_pos_emb": places is not None,
        "global_pool": pool,
        "use_fc_norm": pooled,
        **{key: hints[key] for key in rotary if key in hints},
    }


def _ratio(hidden: int, width: int) -> float:
    """The MLP's ratio, such that ``int(width * ratio)`` is ``hidden``."""
    ratio = hidden / width
    return ratio if int(width * ratio) == hidden else math.nextafter(ratio, math.inf)


def _name_eva(found: Keywords) -> str:
    width, patch = found["embed_dim"], found["patch_size"]
    if found.get("rope_type") == "dinov3":
        sizes = {384: "small", 768: "base", 1024: "large", 1280: "huge_plus", 4096: "7b"}
        size = sizes.get(width, "base")
        plus = "_plus" if size == "small" and found["swiglu_mlp"] else ""
        name = f"vit_{size}{plus}_patch16_dinov3"
        return next(filter(timm.is_model, (name + ("_qkvb" if found["qkv_bias"] else ""), name)))
    size = {192: "tiny", 384: "small", 768: "base", 1024: "large"}.get(width, "base" if found["scale_mlp"] else "small")
    clip = "clip_" if found["scale_attn_inner"] else ""
    names = (f"eva02_{size}_patch{patch}_{clip}224", f"eva02_{size}_patch14_224")
    return next(filter(timm.is_model, names))


_HIERA_HEADS = {96: 1, 112: 2, 144: 2, 256: 4}  # of the first stage, in the sizes that were published


def _describe_hiera(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels = shapes["patch_embed.proj.weight"][:2]
    depth = families._count(shapes, "blocks.{}.")
    widths = [shapes[f"blocks.{at}.norm2.weight"][0] for at in range(depth)]
    heads = hints.get("num_heads") or _HIERA_HEADS.get(width)
    if not heads:
        raise InputError(f"the number of heads is not in the file (width {width}); give --model-args num_heads=N")
    windows = "pos_embed_win" in shapes
    places = None if windows else shapes["pos_embed"][1]
    return {
        "img_size": _sides(families._image(shapes, hints, 4, places, notes)),
        "in_chans": channels,
        "embed_dim": width,
        "stages": [widths.count(size) for size in sorted(set(widths))],
        "num_heads": int(heads),
        "mlp_ratio": _ratio(shapes["blocks.0.mlp.fc1.weight"][0], width),
        "abs_win_pos_embed": windows,
        "init_values": 1e-5 if "blocks.0.ls1.gamma" in shapes else None,
    }


def _sides(size: int | list[int]) -> list[int]:
    return [size, size] if isinstance(size, int) else size


def _name_hiera(found: Keywords) -> str:
    sizes = {
        (96, (1, 2, 7, 2)): "tiny",
        (96, (1, 2, 11, 2)): "small",
        (96, (2, 3, 16, 3)): "base",
        (112, (2, 3, 16, 3)): "base_plus",
        (144, (2, 6, 36, 4)): "large",
        (256, (2, 6, 36, 4)): "huge",
    }
    return f"hiera_{sizes.get((found['embed_dim'], tuple(found['stages'])), 'tiny')}_224"


def _describe_efficientnet(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    stem, channels = shapes["conv_stem.weight"][:2]
    stages = families._count(shapes, "blocks.{}.")
    depths = [families._count(shapes, f"blocks.{stage}.{{}}.") for stage in range(stages)]
    widths = [_width(shapes, f"blocks.{stage}.0") for stage in range(stages)]
    squeeze = any(".se.conv_reduce." in name for name in shapes)
    layout = Layout(stem, tuple(widths), tuple(depths), shapes["conv_head.weight"][0], squeeze)
    own = {key: hints[key] for key in ("pad_type", "bn_eps") if key in hints}
    return {"network": str(layout), "in_chans": channels, **own}


def _width(shapes: Shapes, block: str) -> int:
    last = next(name for name in ("conv_pwl", "conv_pw", "conv") if f"{block}.{name}.weight" in shapes)
    return shapes[f"{block}.{last}.weight"][0]


def _name_efficientnet(found: Keywords) -> str:
    name = next((name for name, layout in LAYOUTS.items() if str(layout) == found["network"]), None)
    if name is None:
        raise InputError(f"no EfficientNet or MobileNetV2 of timm has these channels: {found['network']}")
    as_in_tensorflow = "_lite" in name or found.get("pad_type") == "same"
    return next(filter(timm.is_model, (f"tf_{name}", name) if as_in_tensorflow else (name, f"tf_{name}")))


FAMILIES: Mapping[str, Family] = {
    **families.FAMILIES,
    "eva": Family(
        _describe_eva,
        _name_eva,
        ("embed_dim", "depth", "patch_size", "num_heads", "mlp_ratio", "in_chans", "qkv_fused", "swiglu_mlp"),
    ),
    "hiera": Family(_describe_hiera, _name_hiera, ("embed_dim", "stages", "num_heads", "mlp_ratio", "in_chans")),
    "efficientnet": Family(_describe_efficientnet, _name_efficientnet, ("network", "in_chans")),
}
