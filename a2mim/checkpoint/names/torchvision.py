"""How torchvision names its VisionTransformer, SwinTransformer and ConvNeXt (its ResNet has timm's names)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Rename

_STAGES = range(8)  # torchvision numbers the parts of a Swin or ConvNeXt in one row, two for each stage


def _vit(name: str, fc1: str, fc2: str) -> Dialect:
    layer = "encoder.layers.encoder_layer_{i}"
    return Dialect(
        name,
        "vit",
        has=("conv_proj.weight", "class_token", f"encoder.layers.encoder_layer_0.{fc1}.weight"),
        rules=(
            Rename("class_token", "cls_token"),
            Rename("conv_proj", "patch_embed.proj"),
            Rename("encoder.pos_embedding", "pos_embed"),
            Rename(f"{layer}.ln_1", "blocks.{i}.norm1"),
            Rename(f"{layer}.self_attention.in_proj_weight", "blocks.{i}.attn.qkv.weight"),
            Rename(f"{layer}.self_attention.in_proj_bias", "blocks.{i}.attn.qkv.bias"),
            Rename(f"{layer}.self_attention.out_proj", "blocks.{i}.attn.proj"),
            Rename(f"{layer}.ln_2", "blocks.{i}.norm2"),
            Rename(f"{layer}.{fc1}", "blocks.{i}.mlp.fc1"),
            Rename(f"{layer}.{fc2}", "blocks.{i}.mlp.fc2"),
            Rename("encoder.ln", "norm"),
            Rename("heads.head", "head"),
        ),
    )


TV_VIT = _vit("torchvision ViT", "mlp.0", "mlp.3")

TV_SWIN = Dialect(
    "torchvision Swin",
    "swin",
    has=("features.0.0.weight", "features.1.0.attn.relative_position_bias_table"),
    lacks=("features.1.0.attn.logit_scale",),  # version 2, whose bias table is the output of a small MLP
    rules=(
        Ignore(("*.relative_position_index", "*.relative_coords_table"), "an index table that timm computes"),
        Rename("features.0.0", "patch_embed.proj"),
        Rename("features.0.2", "patch_embed.norm"),
        *(
            rule
            for stage in _STAGES
            for rule in (
                Rename(f"features.{2 * stage + 1}.{{j}}.mlp.0", f"layers.{stage}.blocks.{{j}}.mlp.fc1"),
                Rename(f"features.{2 * stage + 1}.{{j}}.mlp.3", f"layers.{stage}.blocks.{{j}}.mlp.fc2"),
                Rename(f"features.{2 * stage + 1}.{{j}}", f"layers.{stage}.blocks.{{j}}"),
                Rename(f"features.{2 * stage + 2}", f"layers.{stage + 1}.downsample"),
            )
        ),
        Rename("head", "head.fc"),
    ),
)


def _without_key_bias(state: State) -> State:
    """In version 2 keys have no bias: torchvision takes the third of its tensor that is theirs for zero."""
    found: State = {}
    for name, value in state.items():
        if name.endswith("attn.qkv.bias"):
            q, _, v = value.chunk(3)
            at = name.removesuffix("qkv.bias")
            found |= {f"{at}q_bias": q, f"{at}v_bias": v}
        else:
            found[name] = value
    return found


def _with_key_bias(state: State) -> State:
    found = {name: value for name, value in state.items() if not name.endswith(("attn.q_bias", "attn.v_bias"))}
    for name, q in state.items():
        if name.endswith("attn.q_bias"):
            at = name.removesuffix("q_bias")
            found[f"{at}qkv.bias"] = torch.cat([q, torch.zeros_like(q), state[f"{at}v_bias"]])
    return found


def _windows(state: Mapping[str, torch.Tensor]) -> Mapping[str, object]:
    """The size of the windows, one for all stages, which no weight of version 2 shows."""
    tables = [value for name, value in state.items() if name.endswith(".0.attn.relative_coords_table")]
    return {"windows": [(table.shape[1] + 1) // 2 for table in tables]}


TV_SWIN_V2 = replace(
    TV_SWIN,
    name="torchvision Swin V2",
    family="swinv2",
    has=("features.0.0.weight", "features.1.0.attn.logit_scale", "features.1.0.attn.relative_coords_table"),
    lacks=(),
    fold=(_without_key_bias, _with_key_bias),
    measure=_windows,
)


def _column(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1, 1, 1)


TV_CONVNEXT = Dialect(
    "torchvision ConvNeXt",
    "convnext",
    has=("features.0.0.weight", "features.1.0.block.0.weight", "features.1.0.layer_scale"),
    rules=(
        Rename("features.0.0", "stem.0"),
        Rename("features.0.1", "stem.1"),
        *(
            rule
            for stage in _STAGES
            for block, ours in [(f"features.{2 * stage + 1}.{{j}}", f"stages.{stage}.blocks.{{j}}")]
            for rule in (
                Rename(f"{block}.block.0", f"{ours}.conv_dw"),
                Rename(f"{block}.block.2", f"{ours}.norm"),
                Rename(f"{block}.block.3", f"{ours}.mlp.fc1"),
                Rename(f"{block}.block.5", f"{ours}.mlp.fc2"),
                Rename(f"{block}.layer_scale", f"{ours}.gamma", change=torch.flatten, back=_column),
                Rename(f"features.{2 * stage + 2}", f"stages.{stage + 1}.downsample"),
            )
        ),
        Rename("classifier.0", "head.norm"),
        Rename("classifier.2", "head.fc"),
    ),
)

TORCHVISION = (
    TV_VIT,
    _vit("torchvision ViT before 0.13", "mlp.linear_1", "mlp.linear_2"),
    TV_SWIN,
    TV_SWIN_V2,
    TV_CONVNEXT,
)
