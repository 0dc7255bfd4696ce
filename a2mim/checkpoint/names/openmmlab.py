"""How OpenMMLab (mmpretrain, mmcls, mmselfsup) and OpenMixup, which grew from it, name their networks."""

from __future__ import annotations

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.convolutional import flat
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Rename
from a2mim.checkpoint.names.vit import with_key_bias, without_key_bias

_COMPUTED = Ignore(("*relative_position_index", "*.attn_mask"), "tables and masks that timm computes")


def _pointwise(weight: torch.Tensor) -> torch.Tensor:
    """A convolution of 1x1 as a linear layer."""
    return weight.flatten(1)


# OpenMMLab merges 2x2 patches with nn.Unfold: channels first, then rows, then columns; timm columns, rows, channels


def _merged(weight: torch.Tensor) -> torch.Tensor:
    return weight.unflatten(-1, (-1, 2, 2)).movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)


def _unfolded(weight: torch.Tensor) -> torch.Tensor:
    return weight.unflatten(-1, (2, 2, -1)).movedim((-1, -2, -3), (-3, -2, -1)).flatten(-3)


def _without_probe_norm(state: State) -> State:
    """The linear probe of MAE is a BatchNorm without weights ("probe") and a linear layer: in use, one linear layer."""
    if "probe.running_var" not in state:
        return state
    eps = 1e-6  # of that BatchNorm, in mmselfsup, mmpretrain and OpenMixup
    weight = state["@classifier.weight"] * (state["probe.running_var"] + eps).rsqrt()
    bias = state["@classifier.bias"] - weight @ state["probe.running_mean"]
    rest = {name: value for name, value in state.items() if not name.startswith("probe.")}
    return rest | {"@classifier.weight": weight, "@classifier.bias": bias}


_VIT = (
    _COMPUTED,
    Rename("patch_embed.projection", "patch_embed.proj"),
    Rename("layers.{i}.ln1", "blocks.{i}.norm1"),
    Rename("layers.{i}.ln2", "blocks.{i}.norm2"),
    Rename("layers.{i}.ffn.layers.0.0", "blocks.{i}.mlp.fc1"),
    Rename("layers.{i}.ffn.layers.1", "blocks.{i}.mlp.fc2"),
    Rename("pre_norm", "norm_pre"),
    Rename("ln1", "norm"),
    Rename("ln2", "fc_norm"),  # of the mean of the patches
)
_LAYER_SCALE = (
    Rename("layers.{i}.attn.gamma1.weight", "blocks.{i}.ls1.gamma"),
    Rename("layers.{i}.ffn.gamma2.weight", "blocks.{i}.ls2.gamma"),
    Rename("layers.{i}.gamma_1", "blocks.{i}.ls1.gamma"),
    Rename("layers.{i}.gamma_2", "blocks.{i}.ls2.gamma"),
)
_REST = Rename("layers.{i}", "blocks.{i}")
_BOTH = ("patch_embed.projection.weight", "layers.0.ln1.weight", "layers.0.attn.qkv.weight")

OPENMMLAB = (
    Dialect("OpenMMLab BEiT", "beit", has=(*_BOTH, "layers.0.attn.q_bias"), rules=(*_VIT, _REST)),
    Dialect(
        "OpenMMLab ViT with relative position bias",
        "beit",
        has=(*_BOTH, "*relative_position_bias_table", "layers.0.attn.qkv.bias"),
        rules=(*_VIT, _REST),
        fold=(without_key_bias, with_key_bias),
        note="the bias of the keys is left out: it adds the same to all logits of a query, which softmax does not see",
    ),
    Dialect(
        "OpenMMLab ViT with relative position bias and no other",
        "beit",
        has=(*_BOTH, "*relative_position_bias_table"),
        rules=(*_VIT, _REST),
    ),
    Dialect(
        "OpenMMLab ViT",
        "vit",
        has=_BOTH,
        rules=(*_VIT, *_LAYER_SCALE, _REST),
        fold=(_without_probe_norm, lambda state: state),
    ),
    Dialect(
        "OpenMMLab Swin",
        "swin",
        has=("patch_embed.projection.weight", "stages.0.blocks.0.attn.w_msa.qkv.weight"),
        rules=(
            _COMPUTED,
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
    *(
        Dialect(
            f"OpenMMLab {name}",
            "resnet",
            has=("stem.0.conv.weight", "stem.2.bn.weight", f"layer2.0.downsample.{bn}.weight"),
            lacks=(f"layer2.0.downsample.{bn + 1}.weight",),
            rules=(
                *(Rename(f"stem.{at}.conv", f"conv1.{3 * at}") for at in range(3)),
                *(Rename(f"stem.{at}.bn", f"conv1.{3 * at + 1}") for at in range(2)),
                Rename("stem.2.bn", "bn1"),
                *shortcut,
            ),
        )
        for name, bn, shortcut in (
            ("ResNetV1c", 1, ()),
            # the shortcut of the first stage, which halves nothing, has no place for a pooling
            ("ResNetV1d", 2, (Rename("layer1.0.downsample.{i}", "layer1.0.downsample.{i+1}"),)),
        )
    ),
    Dialect(
        "OpenMMLab ResNet with a deep stem",
        "resnet",
        has=("stem.0.weight", "stem.7.weight", "layer1.0.conv1.weight"),
        rules=(Rename("stem.7", "bn1"), Rename("stem.{i}", "conv1.{i}")),
    ),
)
