"""How codebases name a ResNet and a ConvNeXt."""

from __future__ import annotations

from a2mim.checkpoint.dialects import Dialect, Rename

RESNET = (
    Dialect("torchvision ResNet", "resnet", has=("conv1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight")),
    Dialect(
        "ResNet with a deep stem", "resnet", has=("conv1.0.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight")
    ),
)

CONVNEXT = (
    Dialect(
        "ConvNeXt",
        "convnext",
        has=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight"),
        rules=(
            Rename("downsample_layers.0", "stem"),
            Rename("downsample_layers.{i}", "stages.{i}.downsample"),
            Rename("stages.{i}.{j}.dwconv", "stages.{i}.blocks.{j}.conv_dw"),
            Rename("stages.{i}.{j}.pwconv1", "stages.{i}.blocks.{j}.mlp.fc1"),
            Rename("stages.{i}.{j}.pwconv2", "stages.{i}.blocks.{j}.mlp.fc2"),
            Rename("stages.{i}.{j}", "stages.{i}.blocks.{j}"),
            Rename("norm", "head.norm"),
            Rename("head", "head.fc"),
        ),
    ),
    Dialect("timm ConvNeXt", "convnext", has=("stem.0.weight", "stages.0.blocks.0.conv_dw.weight")),
)
