"""How OpenMMLab (mmpretrain, mmcls, mmselfsup) and OpenMixup, which grew from it, name their networks."""

from __future__ import annotations

import torch

from a2mim.checkpoint.dialects import Dialect, Ignore, Rename
from a2mim.checkpoint.names_convolutional import flat

_INDEX = Ignore(("*relative_position_index",), "index tables that timm computes")


def _pointwise(weight: torch.Tensor) -> torch.Tensor:
    """A convolution of 1x1 as a linear layer."""
    return weight.flatten(1)


# OpenMMLab merges 2x2 patches with nn.Unfold: channels first, then rows, then columns; timm columns, rows, channels


def _merged(weight: torch.Tensor) -> torch.Tensor:
    return weight.unflatten(-1, (-1, 2, 2)).movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)


def _unfolded(weight: torch.Tensor) -> torch.Tensor:
    return weight.unflatten(-1, (2, 2, -1)).movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)


_FFN = (
    Rename("layers.{i}.ffn.layers.0.0", "blocks.{i}.mlp.fc1"),
    Rename("layers.{i}.ffn.layers.1", "blocks.{i}.mlp.fc2"),
)
_VIT = (
    _INDEX,
    Rename("patch_embed.projection", "patch_embed.proj"),
    Rename("layers.{i}.ln1", "blocks.{i}.norm1"),
    Rename("layers.{i}.ln2", "blocks.{i}.norm2"),
    Rename("layers.{i}.attn.gamma1.weight", "blocks.{i}.ls1.gamma"),
    Rename("layers.{i}.ffn.gamma2.weight", "blocks.{i}.ls2.gamma"),
    *_FFN,
)
_NORMS = (Rename("ln1", "norm"), Rename("ln2", "fc_norm"), Rename("layers.{i}", "blocks.{i}"))
_BOTH = ("patch_embed.projection.weight", "layers.0.ln1.weight", "layers.0.attn.qkv.weight")

OPENMMLAB = (
    Dialect("OpenMMLab BEiT", "beit", has=(*_BOTH, "*relative_position_bias_table"), rules=(*_VIT, *_NORMS)),
    Dialect(
        "OpenMMLab ViT",
        "vit",
        has=_BOTH,
        rules=(
            *_VIT,
            Rename("layers.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
            Rename("layers.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
            *_NORMS,
        ),
    ),
    Dialect(
        "OpenMMLab Swin",
        "swin",
        has=("patch_embed.projection.weight", "stages.0.blocks.0.attn.w_msa.qkv.weight"),
        rules=(
            _INDEX,
            Rename("patch_embed.projection", "patch_embed.proj"),
            Rename(
                "stages.{i}.downsample.reduction.weight", "layers.{i+1}.downsample.reduction.weight", _merged, _unfolded
            ),
            Rename("stages.{i}.downsample.norm.weight", "layers.{i+1}.downsample.norm.weight", _merged, _unfolded),
            Rename("stages.{i}.downsample.norm.bias", "layers.{i+1}.downsample.norm.bias", _merged, _unfolded),
            Rename("stages.{i}.blocks.{j}.attn.w_msa", "layers.{i}.blocks.{j}.attn"),
            Rename("stages.{i}.blocks.{j}.ffn.layers.0.0", "layers.{i}.blocks.{j}.mlp.fc1"),
            Rename("stages.{i}.blocks.{j}.ffn.layers.1", "layers.{i}.blocks.{j}.mlp.fc2"),
            Rename("stages.{i}.blocks.{j}", "layers.{i}.blocks.{j}"),
            *(Rename(f"norm{stage}", "norm") for stage in (3, 2, 1, 0)),
        ),
    ),
    Dialect(
        "OpenMMLab ConvNeXt",
        "convnext",
        has=("downsample_layers.0.0.weight", "stages.0.0.depthwise_conv.weight"),
        rules=(
            Rename("downsample_layers.0", "stem"),
            Rename("downsample_layers.{i}", "stages.{i}.downsample"),
            Rename("stages.{i}.{j}.depthwise_conv", "stages.{i}.blocks.{j}.conv_dw"),
            Rename("stages.{i}.{j}.pointwise_conv1.weight", "stages.{i}.blocks.{j}.mlp.fc1.weight", _pointwise),
            Rename("stages.{i}.{j}.pointwise_conv2.weight", "stages.{i}.blocks.{j}.mlp.fc2.weight", _pointwise),
            Rename("stages.{i}.{j}.pointwise_conv1", "stages.{i}.blocks.{j}.mlp.fc1"),
            Rename("stages.{i}.{j}.pointwise_conv2", "stages.{i}.blocks.{j}.mlp.fc2"),
            Rename("stages.{i}.{j}.grn.gamma", "stages.{i}.blocks.{j}.mlp.grn.weight", flat, flat),
            Rename("stages.{i}.{j}.grn.beta", "stages.{i}.blocks.{j}.mlp.grn.bias", flat, flat),
            Rename("stages.{i}.{j}", "stages.{i}.blocks.{j}"),
            *(Rename(f"norm{stage}", "head.norm") for stage in (3, 2, 1, 0)),
        ),
    ),
    Dialect(
        "OpenMMLab ResNet with a deep stem",
        "resnet",
        has=("stem.0.weight", "stem.7.weight", "layer1.0.conv1.weight"),
        rules=(Rename("stem.7", "bn1"), Rename("stem.{i}", "conv1.{i}")),
    ),
)
