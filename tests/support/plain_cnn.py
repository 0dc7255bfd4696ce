"""A ResNet, a ConvNeXt and EfficientNet-B0 written down once more, over tensors under their original names."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from codebases import layer, norm, randn


@dataclass(frozen=True)
class ResNet:
    """Bottlenecks (or basic blocks) behind a stem of one convolution, or of three ("deep", with pooled shortcuts)."""

    planes: tuple = (8, 12, 16, 20)
    layers: tuple = (1, 2, 1, 1)
    bottleneck: bool = True
    deep: bool = False
    pooled: bool = True  # shortcuts, of a deep one
    groups: int = 1
    classes: int = 0
    stem: str = "conv1"  # OpenMMLab calls a deep one "stem"
    head: str = "fc"

    @property
    def out(self) -> int:
        return self.planes[-1] * (4 if self.bottleneck else 1)

    @property
    def shortcut(self) -> int:
        """Place of the convolution in a shortcut; a pooling has no weights."""
        return int(self.deep and self.pooled)


def make_resnet(build: ResNet, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    state: dict = {}

    def conv(name, out, into, size):
        state.update(layer(name, out, into, size, size, generator=g, bias=False))

    def bn(name, width):
        state.update(norm(name, width, generator=g, running=True))

    if build.deep:
        for at, (out, into) in zip((0, 3, 6), ((32, 3), (32, 32), (64, 32)), strict=True):
            conv(f"{build.stem}.{at}", out, into, 3)
            if at < 6:
                bn(f"{build.stem}.{at + 1}", out)
        bn(f"{build.stem}.7" if build.stem == "stem" else "bn1", 64)
    else:
        conv("conv1", 64, 3, 7)
        bn("bn1", 64)
    into = 64
    for stage, (planes, depth) in enumerate(zip(build.planes, build.layers, strict=True), 1):
        out = planes * (4 if build.bottleneck else 1)
        for block in range(depth):
            at = f"layer{stage}.{block}."
            shapes = ((planes, into, 1), (planes, planes // build.groups, 3), (out, planes, 1))
            for number, shape in enumerate(shapes if build.bottleneck else ((planes, into, 3), (planes, planes, 3)), 1):
                conv(f"{at}conv{number}", *shape)
                bn(f"{at}bn{number}", shape[0])
            if block == 0 and (into != out or stage > 1):
                conv(f"{at}downsample.{build.shortcut}", out, into, 1)
                bn(f"{at}downsample.{build.shortcut + 1}", out)
            into = out
    if build.classes:
        state |= layer(build.head, build.classes, build.out, generator=g)
    return state


def resnet(state: dict, images: torch.Tensor, build: ResNet) -> tuple:
    """(last feature map, logits or None), with the stride in the 3x3 convolution (v1.5)."""

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        return F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2, groups=groups)

    def bn(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    if build.deep:
        x = F.relu(bn(conv(images, f"{build.stem}.0", 2), f"{build.stem}.1"))
        x = F.relu(bn(conv(x, f"{build.stem}.3"), f"{build.stem}.4"))
        x = F.relu(bn(conv(x, f"{build.stem}.6"), f"{build.stem}.7" if build.stem == "stem" else "bn1"))
    else:
        x = F.relu(bn(conv(images, "conv1", 2), "bn1"))
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, depth in enumerate(build.layers, 1):
        for block in range(depth):
            at, stride = f"layer{stage}.{block}.", 2 if stage > 1 and block == 0 else 1
            if build.bottleneck:
                y = F.relu(bn(conv(x, f"{at}conv1"), f"{at}bn1"))
                y = F.relu(bn(conv(y, f"{at}conv2", stride, build.groups), f"{at}bn2"))
                y = bn(conv(y, f"{at}conv3"), f"{at}bn3")
            else:
                y = F.relu(bn(conv(x, f"{at}conv1", stride), f"{at}bn1"))
                y = bn(conv(y, f"{at}conv2"), f"{at}bn2")
            if f"{at}downsample.{build.shortcut}.weight" in state:
                if build.shortcut and stride == 2:
                    x, stride = F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False), 1
                short = conv(x, f"{at}downsample.{build.shortcut}", stride)
                x = bn(short, f"{at}downsample.{build.shortcut + 1}")
            x = F.relu(x + y)
    if not build.classes:
        return x, None
    return x, F.linear(x.mean((2, 3)), state[f"{build.head}.weight"], state[f"{build.head}.bias"])


@dataclass(frozen=True)
class ConvNeXt:
    dims: tuple = (8, 16, 24, 32)
    depths: tuple = (1, 1, 2, 1)
    second: bool = False  # version 2: global response normalisation and no layer scale
    classes: int = 0
    norm: bool = True
    down_eps: float = 1e-6  # of the norms before the convolutions of stride 2


@dataclass(frozen=True)
class ConvNeXtNames:
    down: str = "downsample_layers.{}."  # stem and the three downsamplings; .0 and .1 in each
    block: str = "stages.{}.{}."
    conv: str = "dwconv"
    norm: str = "norm"
    fc1: str = "pwconv1"
    fc2: str = "pwconv2"
    gamma: str = "gamma"
    grn: tuple = ("grn.gamma", "grn.beta")
    last: str = "norm"
    head: str = "head"


def make_convnext(build: ConvNeXt, names: ConvNeXtNames, seed: int = 0) -> dict:
    g = torch.Generator().manual_seed(seed)
    state: dict = {}
    for stage, (width, depth) in enumerate(zip(build.dims, build.depths, strict=True)):
        at = names.down.format(stage)
        if stage == 0:
            state |= layer(f"{at}0", width, 3, 4, 4, generator=g) | norm(f"{at}1", width, generator=g)
        else:
            state |= norm(f"{at}0", build.dims[stage - 1], generator=g)
            state |= layer(f"{at}1", width, build.dims[stage - 1], 2, 2, generator=g)
        for block in range(depth):
            at = names.block.format(stage, block)
            state |= layer(f"{at}{names.conv}", width, 1, 7, 7, generator=g)
            state |= norm(f"{at}{names.norm}", width, generator=g)
            state |= layer(f"{at}{names.fc1}", 4 * width, width, generator=g)
            if build.second:
                for part in names.grn:
                    state[f"{at}{part}"] = randn(1, 1, 1, 4 * width, generator=g, std=0.5)
            else:
                state[f"{at}{names.gamma}"] = randn(width, generator=g, std=0.2, mean=0.5)
            state |= layer(f"{at}{names.fc2}", width, 4 * width, generator=g)
    if build.norm:
        state |= norm(names.last, build.dims[-1], generator=g)
    if build.classes:
        state |= layer(names.head, build.classes, build.dims[-1], generator=g)
    return state


def convnext(state: dict, images: torch.Tensor, build: ConvNeXt, names: ConvNeXtNames) -> tuple:
    """(last feature map, logits or None)."""

    def normed(x, name, eps=1e-6):  # over the channels, which are last
        return F.layer_norm(x, x.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps)

    def conv(x, name, **options):  # of (B, H, W, C)
        x = F.conv2d(x.permute(0, 3, 1, 2), state[f"{name}.weight"], state[f"{name}.bias"], **options)
        return x.permute(0, 2, 3, 1)

    def linear(x, name):
        return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    x = images.permute(0, 2, 3, 1)
    for stage, depth in enumerate(build.depths):
        at = names.down.format(stage)
        x = (
            normed(conv(x, f"{at}0", stride=4), f"{at}1")
            if stage == 0
            else conv(normed(x, f"{at}0", build.down_eps), f"{at}1", stride=2)
        )
        for block in range(depth):
            at = names.block.format(stage, block)
            y = conv(x, f"{at}{names.conv}", padding=3, groups=x.shape[-1])
            y = F.gelu(linear(normed(y, f"{at}{names.norm}"), f"{at}{names.fc1}"))
            if build.second:
                size = y.norm(dim=(1, 2), keepdim=True)
                share = size / (size.mean(-1, keepdim=True) + 1e-6)
                y = state[f"{at}{names.grn[0]}"] * (y * share) + state[f"{at}{names.grn[1]}"] + y
            x = x + linear(y, f"{at}{names.fc2}") * state.get(f"{at}{names.gamma}", 1.0)
    features = x.permute(0, 3, 1, 2)
    return features, linear(normed(x.mean((1, 2)), names.last), names.head) if build.classes else None


# kernel, stride, expansion, channels of each block of B0, in a row
_B0 = [
    (kernel, stride if at == 0 else 1, expansion, channels)
    for repeats, kernel, stride, expansion, channels in (
        *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
        *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
    )
    for at in range(repeats)
]


def make_lukemelas(lite: bool = False, classes: int = 5) -> dict:
    """EfficientNet-B0 as EfficientNet-PyTorch names it, or Lite0 without squeeze-and-excitation."""
    g = torch.Generator().manual_seed(0)

    def conv(name, out, into, size, bias=False):
        return layer(name, out, into, size, size, generator=g, bias=bias)

    state = conv("_conv_stem", 32, 3, 3) | norm("_bn0", 32, generator=g, running=True)
    into = 32
    for at, (kernel, _, expansion, out) in enumerate(_B0):
        block, wide = f"_blocks.{at}.", into * expansion
        if expansion > 1:
            state |= conv(f"{block}_expand_conv", wide, into, 1) | norm(f"{block}_bn0", wide, generator=g, running=True)
        state |= conv(f"{block}_depthwise_conv", wide, 1, kernel) | norm(
            f"{block}_bn1", wide, generator=g, running=True
        )
        if not lite:
            state |= conv(f"{block}_se_reduce", max(1, into // 4), wide, 1, bias=True)
            state |= conv(f"{block}_se_expand", wide, max(1, into // 4), 1, bias=True)
        state |= conv(f"{block}_project_conv", out, wide, 1) | norm(f"{block}_bn2", out, generator=g, running=True)
        into = out
    state |= conv("_conv_head", 1280, into, 1) | norm("_bn1", 1280, generator=g, running=True)
    return state | layer("_fc", classes, 1280, generator=g)


def lukemelas(state: dict, images: torch.Tensor) -> tuple:
    """(last feature map, logits), padded as TensorFlow does: more at the end where the sum is odd."""
    squeezed = "_blocks.0._se_reduce.weight" in state
    act = F.silu if squeezed else F.relu6

    def conv(x, name, stride=1, groups=1):
        weight = state[f"{name}.weight"]
        total = max((-(-x.shape[-1] // stride) - 1) * stride + weight.shape[-1] - x.shape[-1], 0)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, state.get(f"{name}.bias"), stride=stride, groups=groups)

    def bn(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-3)

    x = act(bn(conv(images, "_conv_stem", 2), "_bn0"))
    for at, (_, stride, expansion, out) in enumerate(_B0):
        block, y = f"_blocks.{at}.", x
        if expansion > 1:
            y = act(bn(conv(y, f"{block}_expand_conv"), f"{block}_bn0"))
        y = act(bn(conv(y, f"{block}_depthwise_conv", stride, y.shape[1]), f"{block}_bn1"))
        if squeezed:
            z = act(conv(y.mean((2, 3), keepdim=True), f"{block}_se_reduce"))
            y = y * conv(z, f"{block}_se_expand").sigmoid()
        y = bn(conv(y, f"{block}_project_conv"), f"{block}_bn2")
        x = y + x if stride == 1 and x.shape[1] == out else y
    x = act(bn(conv(x, "_conv_head"), "_bn1"))
    return x, F.linear(x.mean((2, 3)), state["_fc.weight"], state["_fc.bias"])
