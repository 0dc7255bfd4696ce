"""How EfficientNet-PyTorch and torchvision name EfficientNet and MobileNetV2, and the sizes that timm has of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect
from a2mim.errors import InputError


@dataclass(frozen=True)
class Layout:
    """Channels of stem, stages and last convolution, and blocks per stage: what tells one size from another."""

    stem: int
    widths: tuple[int, ...]
    depths: tuple[int, ...]
    head: int
    squeeze: bool = True

    @property
    def blocks(self) -> tuple[int, ...]:
        """Channels that each block gives, the stages in a row."""
        return tuple(width for width, depth in zip(self.widths, self.depths, strict=True) for _ in range(depth))

    def __str__(self) -> str:
        stages = ", ".join(f"{depth} x {width}" for width, depth in zip(self.widths, self.depths, strict=True))
        return f"{self.stem}; {stages}; {self.head}{'' if self.squeeze else '; without squeeze-and-excitation'}"


def _rounded(channels: float) -> int:
    """The nearest multiple of 8 that is not more than a tenth below (arXiv 1905.11946)."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _efficientnet(width: float, depth: float, lite: bool = False) -> Layout:
    widths = tuple(_rounded(width * channels) for channels in (16, 24, 40, 80, 112, 192, 320))
    depths = tuple(math.ceil(depth * blocks) for blocks in (1, 2, 2, 3, 3, 4, 1))
    if lite:  # the first and the last are the same in all sizes
        return Layout(32, widths, (1, *depths[1:-1], 1), 1280, squeeze=False)
    return Layout(_rounded(width * 32), widths, depths, _rounded(width * 1280))


def _mobilenet(width: float) -> Layout:
    widths = tuple(_rounded(width * channels) for channels in (16, 24, 32, 64, 96, 160, 320))
    head = _rounded(1280 * max(1.0, width))
    return Layout(_rounded(width * 32), widths, (1, 2, 3, 4, 3, 3, 1), head, squeeze=False)


_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1), (2.2, 3.6))

# timm's names, without the "tf_" of those that pad as TensorFlow does
LAYOUTS: Mapping[str, Layout] = {
    **{f"efficientnet_b{at}": _efficientnet(*scale) for at, scale in enumerate(_SCALES)},
    "efficientnet_l2": _efficientnet(4.3, 5.3),
    **{f"efficientnet_lite{at}": _efficientnet(*scale, lite=True) for at, scale in enumerate(_SCALES[:5])},
    "efficientnetv2_s": Layout(24, (24, 48, 64, 128, 160, 256), (2, 4, 4, 6, 9, 15), 1280),
    "efficientnetv2_m": Layout(24, (24, 48, 80, 160, 176, 304, 512), (3, 5, 5, 7, 14, 18, 5), 1280),
    "efficientnetv2_l": Layout(32, (32, 64, 96, 192, 224, 384, 640), (4, 7, 7, 10, 19, 25, 7), 1280),
    **{f"mobilenetv2_{round(100 * width):03d}": _mobilenet(width) for width in (0.35, 0.5, 1.0, 1.4)},
}


def _depths(blocks: Iterable[int]) -> tuple[int, ...]:
    """Blocks per stage of a network that numbers all its blocks in a row, from the channels that each gives."""
    blocks = tuple(blocks)
    known = next((layout.depths for layout in LAYOUTS.values() if layout.blocks == blocks), None)
    return known or tuple(len(list(run)) for _, run in groupby(blocks))


def _places(depths: Iterable[int]) -> list[str]:
    return [f"blocks.{stage}.{block}" for stage, depth in enumerate(depths) for block in range(depth)]


def _renamed(state: State, parts: Mapping[str, str]) -> State:
    """Tensors whose layer (the longest start of the name that ``parts`` has) is called otherwise."""
    found: State = {}
    for name, value in state.items():
        pieces = name.split(".")
        starts = (".".join(pieces[:end]) for end in range(len(pieces), 0, -1))
        start = next((start for start in starts if start in parts), None)
        new = name if start is None else parts[start] + name[len(start) :]
        if new in found:
            raise InputError(f"'{name}' and another tensor are both '{new}' in timm")
        found[new] = value
    return found


def _numbers(state: Iterable[str], pattern: str) -> list[int]:
    compiled = re.compile(pattern)
    return sorted({int(hit[1]) for hit in map(compiled.match, state) if hit})


# --- EfficientNet-PyTorch ---------------------------------------------------------------------------------------------


def _lukemelas_to_timm(state: State) -> State:
    parts = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
    blocks = _numbers(state, r"_blocks\.(\d+)\.")
    places = _places(_depths(state[f"_blocks.{at}._project_conv.weight"].shape[0] for at in blocks))
    for at, place in zip(blocks, places, strict=True):
        theirs = f"_blocks.{at}."
        expands = f"{theirs}_expand_conv.weight" in state
        last, norm = ("conv_pwl", "bn3") if expands else ("conv_pw", "bn2")
        names = {"_depthwise_conv": "conv_dw", "_bn1": "bn2" if expands else "bn1", "_project_conv": last, "_bn2": norm}
        names |= {"_expand_conv": "conv_pw", "_bn0": "bn1"} if expands else {}
        names |= {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
        parts |= {theirs + name: f"{place}.{timm}" for name, timm in names.items()}
    return _renamed(state, parts)


def _lite(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    """The code has EfficientNet-Lite too (ReLU6, no squeeze-and-excitation), with images of (x - 127) / 128."""
    if any("._se_reduce." in name for name in state):
        return {}
    return {
        "mean": (127 / 255,) * 3,
        "std": (128 / 255,) * 3,
        "notes": ("EfficientNet-Lite (ReLU6; images (x - 127) / 128): the file has no squeeze-and-excitation",),
    }


# --- torchvision ------------------------------------------------------------------------------------------------------


def _torchvision_to_timm(state: State) -> State:
    stages = _numbers(state, r"features\.(\d+)\.\d+\.block\.")
    last = max(stages) + 1
    parts = {"features.0.0": "conv_stem", "features.0.1": "bn1"}
    parts |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    for number, stage in enumerate(stages):
        for block in _numbers(state, rf"features\.{stage}\.(\d+)\.block\."):
            theirs, place = f"features.{stage}.{block}.block.", f"blocks.{number}.{block}"
            parts |= {theirs + name: f"{place}.{timm}" for name, timm in _block(state, theirs).items()}
    return _renamed(state, parts)


def _block(state: State, at: str) -> dict[str, str]:
    """The layers of one block, recognised by what it has: squeeze-and-excitation, an expansion."""
    squeeze = next((number for number in (1, 2) if f"{at}{number}.fc1.weight" in state), None)
    if squeeze is None:  # the fused blocks of EfficientNetV2
        if f"{at}1.0.weight" not in state:
            return {"0.0": "conv", "0.1": "bn1"}
        return {"0.0": "conv_exp", "0.1": "bn1", "1.0": "conv_pwl", "1.1": "bn2"}
    names: tuple[tuple[str, str], ...]
    names = (("conv_dw", "bn1"), ("conv_pw", "bn2")) if squeeze == 1 else (("conv_pw", "bn1"), ("conv_dw", "bn2"))
    names += () if squeeze == 1 else (("conv_pwl", "bn3"),)
    numbers = [number for number in range(4) if number != squeeze]
    found = {f"{squeeze}.fc1": "se.conv_reduce", f"{squeeze}.fc2": "se.conv_expand"}
    for number, (conv, norm) in zip(numbers, names, strict=False):
        found |= {f"{number}.0": conv, f"{number}.1": norm}
    return found


def _mobilenet_to_timm(state: State) -> State:
    blocks = _numbers(state, r"features\.(\d+)\.conv\.")
    last = max(blocks) + 1
    parts = {"features.0.0": "conv_stem", "features.0.1": "bn1"}
    parts |= {f"features.{last}.0": "conv_head", f"features.{last}.1": "bn2"}
    expands = {at: f"features.{at}.conv.1.0.weight" in state for at in blocks}
    widths = (state[f"features.{at}.conv.{2 if expands[at] else 1}.weight"].shape[0] for at in blocks)
    for at, place in zip(blocks, _places(_depths(widths)), strict=True):
        first = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
        others = {"0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3"}
        names = others if expands[at] else first
        parts |= {f"features.{at}.conv.{name}": f"{place}.{timm}" for name, timm in names.items()}
    return _renamed(state, parts)


def _eps(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    """torchvision's batch norms: eps 1e-3 in B5 to B7 and in version 2, else torch's 1e-5."""
    stem, fused = state["features.0.0.weight"].shape[0], "features.1.0.block.1.fc1.weight" not in state
    return {"bn_eps": 1e-3} if fused or stem >= 48 else {}


def _as_is(state: State) -> State:
    return state


EFFICIENTNET = (
    Dialect(
        "EfficientNet-PyTorch",
        "efficientnet",
        has=("_conv_stem.weight", "_blocks.0._depthwise_conv.weight", "_conv_head.weight"),
        fold=(_lukemelas_to_timm, _as_is),
        measure=_lite,
        hints={"pad_type": "same", "bn_eps": 1e-3},
    ),
    Dialect(
        "torchvision EfficientNet",
        "efficientnet",
        has=("features.0.0.weight", "features.1.0.block.0.0.weight", "features.0.1.running_mean"),
        lacks=("features.1.0.layer_scale",),
        fold=(_torchvision_to_timm, _as_is),
        measure=_eps,
    ),
    Dialect(
        "torchvision MobileNetV2",
        "efficientnet",
        has=("features.0.0.weight", "features.1.conv.0.0.weight", "features.2.conv.1.0.weight"),
        fold=(_mobilenet_to_timm, _as_is),
    ),
)
