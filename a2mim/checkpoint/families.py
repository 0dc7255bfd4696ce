"""The families of networks: width, depth, patch size and so on, read from names and shapes of layers.

Each family has one function that turns shapes (by timm's names) into the keywords of timm's constructor, and one that
names the nearest timm architecture. What no shape shows (the number of heads of a ViT) comes from the file's settings
or from the codebase, otherwise from a rule that the report states. To add a family, add a ``Family``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch

from a2mim.errors import InputError

Shapes = Mapping[str, torch.Size]
Keywords = dict[str, Any]

_MOST = 500  # blocks of a network; a file with more would be built for minutes
# heads of networks of these widths, where neither file nor codebase says it; for other widths 64 channels a head
HEADS = {1280: 16, 1408: 16, 1664: 16}
MMCLS_SMALL = (768, 8, 3.0)  # width, depth, MLP ratio of what OpenMMLab and OpenMixup call ViT-S: 8 heads of 96
MMCLS_SMALL_NOTE = (
    "48.8 million parameters, 8 heads of 96: OpenMMLab's and OpenMixup's 'ViT-S', not DeiT-S (22 million)"
)


@dataclass(frozen=True)
class Family:
    """Networks that differ only in size.

    Args:
        describe: shapes by timm's names, hints, a list for notes -> keywords of timm's constructor.
        name: keywords -> the timm architecture that comes nearest.
        sizes: the keywords that make up the architecture's name; they must be what was asked for.
    """

    describe: Callable[[Shapes, Mapping[str, Any], list[str]], Keywords]
    name: Callable[[Keywords], str]
    sizes: tuple[str, ...]


# --- what the families share ------------------------------------------------------------------------------------------


def _count(shapes: Shapes, template: str, start: int = 0) -> int:
    """How many of ``template.format(start)``, ``template.format(start + 1)``, ... there are."""
    before, _, after = template.partition("{}")
    rest = (name[len(before) :].partition(after) for name in shapes if name.startswith(before))
    numbers = {number for number, found, _ in rest if found}
    number = start
    while str(number) in numbers:
        number += 1
    if number > _MOST:
        raise InputError(f"{number} layers '{before}0', '{before}1', ...: no network has more than {_MOST}")
    return number - start


def _side(tokens: int, what: str) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise InputError(
            f"{what} has {tokens} places, not a square number; give the size with --model-args 'img_size=[H, W]'"
        )
    return side


def _heads(shapes: Shapes, hints: Mapping[str, Any], notes: list[str], width: int, depth: int, ratio: float) -> int:
    """Heads of a ViT: no shape shows them."""
    if hints.get("num_heads"):
        return int(hints["num_heads"])
    if (width, depth, ratio) == MMCLS_SMALL:
        notes.append(MMCLS_SMALL_NOTE)
        return 8
    if width in HEADS:
        return HEADS[width]
    if width % 64:
        raise InputError(
            f"the number of heads is not in the file, and the width {width} is not a multiple of 64; "
            "give --model-args num_heads=N"
        )
    notes.append(
        f"{width // 64} heads: not in the file, taken as 64 channels each (--model-args num_heads=N changes it)"
    )
    return width // 64


def _image(
    shapes: Shapes, hints: Mapping[str, Any], patch: int, tokens: int | None, notes: list[str]
) -> int | list[int]:
    if hints.get("img_size") is not None:
        size = hints["img_size"]
        return size if isinstance(size, int) else list(size)
    if tokens is None:
        notes.append("image size 224: the file does not show it (--model-args img_size=N changes it)")
        return 224
    return _side(tokens, "the position embedding") * patch


# --- families ---------------------------------------------------------------------------------------------------------


def _describe_vit(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    depth = _count(shapes, "blocks.{}.")
    ratio = shapes["blocks.0.mlp.fc1.weight"][0] / width
    tokens = [name for name in ("cls_token", "dist_token") if name in shapes]
    registers = shapes["reg_token"][1] if "reg_token" in shapes else 0
    places = shapes["pos_embed"][1] if "pos_embed" in shapes else None
    outside = places is not None and _is_square(places) and not _is_square(places - len(tokens) - registers)
    if outside:
        notes.append(f"the position embedding has {places} places, for the patches alone (no_embed_class)")
    found = {
        "img_size": _image(
            shapes,
            hints,
            patch,
            None if places is None else places - (0 if outside else len(tokens) + registers),
            notes,
        ),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": depth,
        "num_heads": _heads(shapes, hints, notes, width, depth, ratio),
        "mlp_ratio": ratio,
        "qkv_bias": "blocks.0.attn.qkv.bias" in shapes,
        "qk_norm": "blocks.0.attn.q_norm.weight" in shapes,
        "init_values": 1e-5 if "blocks.0.ls1.gamma" in shapes else None,
        "class_token": "cls_token" in shapes,
        "no_embed_class": bool(outside and tokens),
        "reg_tokens": registers,
        "pos_embed": "none" if places is None else "learn",
        "pre_norm": "norm_pre.weight" in shapes,
        "final_norm": "norm.weight" in shapes or hints.get("final_norm", True),  # a codebase may have none
        "distilled": "dist_token" in shapes,
        "swiglu": shapes["blocks.0.mlp.fc1.weight"][0] == 2 * shapes["blocks.0.mlp.fc2.weight"][1],
        **({"act_layer": hints["act_layer"]} if "act_layer" in hints else {}),
        **_pooling(shapes, hints),
    }
    return found


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _pooling(shapes: Shapes, hints: Mapping[str, Any]) -> Keywords:
    """How a ViT turns tokens into one vector, which the place of its last norm shows."""
    if "fc_norm.weight" in shapes:
        return {"global_pool": "avg", "fc_norm": True}
    pool = "map" if "attn_pool.latent" in shapes else hints.get("global_pool")
    return {"global_pool": pool or ("token" if "cls_token" in shapes else "avg"), "fc_norm": False}


def _name_vit(found: Keywords) -> str:
    size = {
        (192, 12): "tiny",
        (384, 12): "small",
        (768, 12): "base",
        (1024, 24): "large",
        (1280, 32): "huge",
        (1408, 40): "giant",
    }
    name = size.get((found["embed_dim"], found["depth"]), "base")
    if found["distilled"]:
        return (
            f"deit_{name}_distilled_patch16_224"
            if name in ("tiny", "small", "base")
            else "deit_base_distilled_patch16_224"
        )
    registers = "_reg4" if found["reg_tokens"] else ""
    names = [f"vit_{name}_patch{found['patch_size']}_224"]
    if found["init_values"] and found["patch_size"] == 14:
        names.insert(0, f"vit_{name}_patch14{registers}_dinov2")
    if found["swiglu"]:  # timm's only ViT with a gated MLP
        names = [f"vit_giant_patch14{registers}_dinov2"]
    if found["pre_norm"]:
        names.insert(0, f"vit_{name}_patch{found['patch_size']}_clip_224")
    if found["global_pool"] == "map":
        names.insert(0, f"vit_{name}_patch{found['patch_size']}_siglip_224")
    return next(filter(timm.is_model, names), "vit_base_patch16_224")


def _describe_beit(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    depth = _count(shapes, "blocks.{}.")
    ratio = shapes["blocks.0.mlp.fc1.weight"][0] / width
    own, shared = (f"{place}.relative_position_bias_table" for place in ("blocks.0.attn", "rel_pos_bias"))
    table = shapes.get(own) or shapes.get(shared)
    tokens = shapes["pos_embed"][1] - 1 if "pos_embed" in shapes else None
    if table and not tokens:  # (2g - 1)^2 distances and three for the class token
        tokens = ((_side(table[0] - 3, "the relative position bias") + 1) // 2) ** 2
    if table and (width, depth, ratio, table[1]) == (*MMCLS_SMALL, 8):
        notes.append(MMCLS_SMALL_NOTE)
    return {
        "img_size": _image(shapes, hints, patch, tokens, notes),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depth": depth,
        "num_heads": table[1] if table else _heads(shapes, hints, notes, width, depth, ratio),
        "mlp_ratio": ratio,
        "qkv_bias": "blocks.0.attn.q_bias" in shapes,
        "init_values": 0.1 if "blocks.0.gamma_1" in shapes else 0.0,  # timm takes None for its own default
        "use_abs_pos_emb": "pos_embed" in shapes,
        "use_rel_pos_bias": own in shapes,
        "use_shared_rel_pos_bias": shared in shapes,
        "global_pool": "avg" if "fc_norm.weight" in shapes else "token",
    }


def _name_beit(found: Keywords) -> str:
    return "beit_large_patch16_224" if (found["embed_dim"], found["depth"]) == (1024, 24) else "beit_base_patch16_224"


def _describe_swin(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    stages = _count(shapes, "layers.{}.")
    tables = [shapes[f"layers.{stage}.blocks.0.attn.relative_position_bias_table"] for stage in range(stages)]
    windows = [(_side(table[0], "the relative position bias") + 1) // 2 for table in tables]
    window = int(hints.get("window_size") or max(windows))
    return {
        "img_size": _image_of_windows(windows, hints, patch, notes),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depths": [_count(shapes, f"layers.{stage}.blocks.{{}}.") for stage in range(stages)],
        "num_heads": [table[1] for table in tables],
        "window_size": window,
        "mlp_ratio": shapes["layers.0.blocks.0.mlp.fc1.weight"][0] / width,
        "qkv_bias": "layers.0.blocks.0.attn.qkv.bias" in shapes,
    }


def _image_of_windows(windows: Sequence[int], hints: Mapping[str, Any], patch: int, notes: list[str]) -> Any:
    """Image size of a Swin whose stages have windows of these sides."""
    if hints.get("img_size") is not None or hints.get("named"):
        return hints.get("img_size")
    # a window that is smaller than those before it is the whole of its stage's map
    stage = next((stage for stage, window in enumerate(windows) if window < max(windows)), None)
    if stage is not None:
        return windows[stage] * patch * 2**stage
    image = windows[-1] * patch * 2 ** (len(windows) - 1)
    notes.append(
        f"image size {image}: one window of {windows[-1]} in the last stage (--model-args img_size=N changes it)"
    )
    return image


def _name_swin(found: Keywords) -> str:
    size = {(96, 6): "tiny", (96, 18): "small", (128, 18): "base", (192, 18): "large"}
    name = size.get((found["embed_dim"], found["depths"][2] if len(found["depths"]) > 2 else 0), "tiny")
    names = [f"swin_{name}_patch4_window{found['window_size']}_{found['img_size']}", f"swin_{name}_patch4_window7_224"]
    return next(filter(timm.is_model, names))


def _describe_swinv2(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    width, channels, patch, _ = shapes["patch_embed.proj.weight"]
    stages = _count(shapes, "layers.{}.")
    windows = hints.get("windows", ())  # no weight shows them
    before = list(hints.get("pretrained_window_sizes", ())) or [0] * stages
    return {
        "img_size": _image_of_windows(windows, hints, patch, notes),
        "patch_size": patch,
        "in_chans": channels,
        "embed_dim": width,
        "depths": [_count(shapes, f"layers.{stage}.blocks.{{}}.") for stage in range(stages)],
        "num_heads": [shapes[f"layers.{stage}.blocks.0.attn.logit_scale"][0] for stage in range(stages)],
        "window_size": hints.get("window_size") or max(windows, default=None),
        "mlp_ratio": shapes["layers.0.blocks.0.mlp.fc1.weight"][0] / width,
        "qkv_bias": "layers.0.blocks.0.attn.q_bias" in shapes,
        "pretrained_window_sizes": before,
    }


def _name_swinv2(found: Keywords) -> str:
    size = {(96, 6): "tiny", (96, 18): "small", (128, 18): "base", (192, 18): "large"}
    name = size.get((found["embed_dim"], found["depths"][2] if len(found["depths"]) > 2 else 0), "tiny")
    names = [f"swinv2_{name}_window{found['window_size']}_{found['img_size']}", "swinv2_tiny_window8_256"]
    return next(filter(timm.is_model, names))


def _describe_convnext(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    _, channels, patch, _ = shapes["stem.0.weight"]
    stages = _count(shapes, "stages.{}.")
    first = [f"stages.{stage}.blocks.0" for stage in range(stages)]
    return {
        "patch_size": patch,
        "in_chans": channels,
        "depths": [_count(shapes, f"stages.{stage}.blocks.{{}}.") for stage in range(stages)],
        "dims": [shapes[f"{block}.conv_dw.weight"][0] for block in first],
        "kernel_sizes": [shapes[f"{block}.conv_dw.weight"][-1] for block in first],
        "use_grn": "stages.0.blocks.0.mlp.grn.weight" in shapes,
        "ls_init_value": 1e-6 if "stages.0.blocks.0.gamma" in shapes else None,
        "conv_mlp": len(shapes["stages.0.blocks.0.mlp.fc1.weight"]) == 4,
        "head_norm_first": "norm_pre.weight" in shapes,
    }


def _name_convnext(found: Keywords) -> str:
    sizes = {
        (40, 6): "atto", (48, 6): "femto", (64, 6): "pico", (80, 8): "nano", (96, 9): "tiny",
        (96, 27): "small", (128, 27): "base", (192, 27): "large", (256, 27): "xlarge", (352, 27): "huge",
    }  # fmt: skip
    name = sizes.get((found["dims"][0], found["depths"][2] if len(found["depths"]) > 2 else 0), "tiny")
    names = [f"convnextv2_{name}" if found["use_grn"] else f"convnext_{name}"]
    return next(filter(timm.is_model, names), "convnextv2_tiny" if found["use_grn"] else "convnext_tiny")


def _describe_resnet(shapes: Shapes, hints: Mapping[str, Any], notes: list[str]) -> Keywords:
    deep = "conv1.0.weight" in shapes
    stem = shapes["conv1.0.weight" if deep else "conv1.weight"]
    stages = _count(shapes, "layer{}.", start=1)
    bottleneck = "layer1.0.conv3.weight" in shapes
    out = [shapes[f"layer{stage}.0.{'conv3' if bottleneck else 'conv2'}.weight"][0] for stage in range(1, stages + 1)]
    planes = [number // 4 for number in out] if bottleneck else out
    groups = shapes["layer1.0.conv2.weight"][0] // shapes["layer1.0.conv2.weight"][1] if bottleneck else 1
    inner = shapes["layer1.0.conv1.weight"][0]
    shortcut = next((name for name in shapes if ".0.downsample." in name and len(shapes[name]) == 4), "")
    found: Keywords = {
        "bottleneck": bottleneck,
        "layers": [_count(shapes, f"layer{stage}.{{}}.") for stage in range(1, stages + 1)],
        "channels": planes,
        "cardinality": groups,
        "base_width": inner * 64 // (planes[0] * groups) if bottleneck else 64,
        "in_chans": stem[1],
        "stem_type": "" if not deep else "deep" if stem[0] == shapes["conv1.3.weight"][0] else "deep_tiered",
        "stem_width": shapes["conv1.3.weight"][0] if deep else 64,
        "avg_down": shortcut.endswith("downsample.1.weight"),
    }
    if not deep and (stem[0], stem[-1]) != (64, 7):
        raise InputError(
            f"a ResNet whose first convolution is {stem[-1]}x{stem[-1]} with {stem[0]} channels is not in timm, "
            "which has 7x7 and 64 there"
        )
    return found


def _name_resnet(found: Keywords) -> str:
    layers = tuple(found["layers"])
    if not found["bottleneck"]:
        return {(2, 2, 2, 2): "resnet18", (1, 1, 1, 1): "resnet10t"}.get(layers, "resnet34")
    wide = {(32, 4): "resnext50_32x4d", (1, 128): "wide_resnet50_2"}.get((found["cardinality"], found["base_width"]))
    if wide and layers == (3, 4, 6, 3):
        return wide
    names = {
        (2, 2, 2, 2): "resnet26",
        (3, 4, 23, 3): "resnet101",
        (3, 8, 36, 3): "resnet152",
        (3, 24, 36, 3): "resnet200",
    }
    deep = "d" if found["stem_type"] == "deep" and found["avg_down"] and found["stem_width"] == 32 else ""
    return names.get(layers, "resnet50") + deep


FAMILIES: Mapping[str, Family] = {
    "vit": Family(
        _describe_vit,
        _name_vit,
        ("embed_dim", "depth", "patch_size", "num_heads", "mlp_ratio", "in_chans", "distilled", "swiglu"),
    ),
    "beit": Family(
        _describe_beit, _name_beit, ("embed_dim", "depth", "patch_size", "num_heads", "mlp_ratio", "in_chans")
    ),
    "swin": Family(
        _describe_swin, _name_swin, ("embed_dim", "depths", "patch_size", "num_heads", "mlp_ratio", "in_chans")
    ),
    "swinv2": Family(
        _describe_swinv2, _name_swinv2, ("embed_dim", "depths", "patch_size", "num_heads", "mlp_ratio", "in_chans")
    ),
    "convnext": Family(
        _describe_convnext, _name_convnext, ("dims", "depths", "patch_size", "kernel_sizes", "use_grn", "in_chans")
    ),
    "resnet": Family(
        _describe_resnet,
        _name_resnet,
        (
            "bottleneck",
            "layers",
            "channels",
            "cardinality",
            "base_width",
            "in_chans",
            "stem_type",
            "stem_width",
            "avg_down",
        ),
    ),
}
