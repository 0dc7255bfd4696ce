"""How research codebases name a ResNet and a ConvNeXt."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Rename


def flat(tensor: torch.Tensor) -> torch.Tensor:
    """(1, C) or (1, 1, 1, C) -> (C)."""
    return tensor.flatten()


def row(tensor: torch.Tensor) -> torch.Tensor:
    """(C) -> (1, 1, 1, C), as ConvNeXt V2 writes its response normalisation."""
    return tensor.reshape(1, 1, 1, -1)


def _dense(kernel: torch.Tensor) -> torch.Tensor:
    """A kernel of MinkowskiEngine, (places, in, out) or (places, channels), whose places run down the columns first."""
    size = math.isqrt(kernel.shape[0])
    if kernel.ndim == 2:
        return kernel.t().reshape(-1, 1, size, size).transpose(2, 3)
    return kernel.permute(2, 1, 0).reshape(kernel.shape[2], kernel.shape[1], size, size).transpose(2, 3)


def _sparse(weight: torch.Tensor) -> torch.Tensor:
    places = weight.transpose(2, 3).flatten(2)  # (out, in, places)
    return places[:, 0].t() if weight.shape[1] == 1 else places.permute(2, 1, 0)


def _new_last_norm(state: State) -> State:
    if "head.norm.weight" in state:
        return state
    width = max(value.shape[0] for name, value in state.items() if name.endswith("conv_dw.bias"))
    return state | {"head.norm.weight": torch.ones(width), "head.norm.bias": torch.zeros(width)}


def _without_last_norm(state: State) -> State:
    return {name: value for name, value in state.items() if not name.startswith("head.norm.")}


RESNET = (
    Dialect("ResNet", "resnet", has=("conv1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight")),
    Dialect(
        "ResNet in a Sequential",
        "resnet",
        has=("4.0.conv1.weight", "0.weight", "1.running_mean", "7.0.conv1.weight"),
        rules=(
            Rename("0", "conv1"),
            Rename("1", "bn1"),
            *(Rename(str(at), f"layer{at - 3}") for at in (4, 5, 6, 7)),
        ),
    ),
    Dialect(
        "ResNet with a deep stem", "resnet", has=("conv1.0.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight")
    ),
)

_BLOCK = "stages.{i}.blocks.{j}"
_PLACES = (Rename("downsample_layers.0", "stem"), Rename("downsample_layers.{i}", "stages.{i}.downsample"))
_SPARSE = tuple(
    rule
    for at in (1, 2, 3)
    for rule in (
        Rename(f"downsample_layers.{at}.0.ln", f"stages.{at}.downsample.0"),
        Rename(f"downsample_layers.{at}.1.kernel", f"stages.{at}.downsample.1.weight", _dense, _sparse),
        Rename(f"downsample_layers.{at}.1.bias", f"stages.{at}.downsample.1.bias", flat, lambda bias: bias[None]),
    )
)

_NEW_LAST_NORM = (_new_last_norm, _without_last_norm)
_NEW_LAST_NORM_NOTE = "the last norm (head.norm) is not in the pre-training file: it is new, weight 1 and bias 0"

CONVNEXT_OFFICIAL = Dialect(
    "ConvNeXt",
    "convnext",
    has=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"),
    rules=(
        *_PLACES,
        Rename("stages.{i}.{j}.dwconv", f"{_BLOCK}.conv_dw"),
        Rename("stages.{i}.{j}.pwconv1", f"{_BLOCK}.mlp.fc1"),
        Rename("stages.{i}.{j}.pwconv2", f"{_BLOCK}.mlp.fc2"),
        Rename("stages.{i}.{j}.grn.gamma", f"{_BLOCK}.mlp.grn.weight", flat, row),
        Rename("stages.{i}.{j}.grn.beta", f"{_BLOCK}.mlp.grn.bias", flat, row),
        Rename("stages.{i}.{j}", _BLOCK),
        Rename("norm", "head.norm"),
        Rename("head", "head.fc"),
    ),
)

CONVNEXT = (
    Dialect(
        "ConvNeXt V2, sparse",
        "convnext",
        has=("downsample_layers.0.0.weight", "stages.0.0.dwconv.kernel"),
        rules=(
            *_SPARSE,
            *_PLACES,
            Rename("stages.{i}.{j}.dwconv.kernel", f"{_BLOCK}.conv_dw.weight", _dense, _sparse),
            Rename("stages.{i}.{j}.dwconv.bias", f"{_BLOCK}.conv_dw.bias", flat, lambda bias: bias[None]),
            Rename("stages.{i}.{j}.norm.ln", f"{_BLOCK}.norm"),
            Rename("stages.{i}.{j}.pwconv1.linear", f"{_BLOCK}.mlp.fc1"),
            Rename("stages.{i}.{j}.pwconv2.linear", f"{_BLOCK}.mlp.fc2"),
            Rename("stages.{i}.{j}.grn.gamma", f"{_BLOCK}.mlp.grn.weight", flat, lambda gamma: gamma[None]),
            Rename("stages.{i}.{j}.grn.beta", f"{_BLOCK}.mlp.grn.bias", flat, lambda beta: beta[None]),
        ),
        fold=_NEW_LAST_NORM,
        note=_NEW_LAST_NORM_NOTE,
    ),
    replace(  # SparK's encoders, and those of ConvNeXt V2's pre-training with dense names
        CONVNEXT_OFFICIAL,
        name="ConvNeXt without its last norm",
        lacks=("norm.*", "head.*", "@classifier.*"),
        fold=_NEW_LAST_NORM,
        note=_NEW_LAST_NORM_NOTE,
    ),
    CONVNEXT_OFFICIAL,
    Dialect("timm ConvNeXt", "convnext", has=("stem.0.weight", "stages.0.blocks.0.conv_dw.weight")),
)
