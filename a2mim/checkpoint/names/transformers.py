"""How Hugging Face transformers names its networks.

Files hold the names of transformers 4, which ``save_pretrained`` writes to this day; a ``torch.save`` of a model of
transformers 5 holds that version's own ("in memory" below).
"""

from __future__ import annotations

import torch

from a2mim.checkpoint.files.storage import State
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Join, Rename

Rules = tuple[Rename | Join | Ignore, ...]

_INDEX = Ignore(("*relative_position_index", "*relative_coords_table"), "an index table that timm computes")


def _blocks(theirs: str, timm: str, attention: str, *, joined: bool = True, memory: bool = False) -> Rules:
    """The rules for a block of attention and MLP, which ViT, DeiT, BEiT and Swin share.

    Args:
        attention: where q, k and v stand in the files of transformers 4.
        joined: q, k and v are one layer with one bias in timm; in BEiT k has none.
        memory: the names that transformers 5 uses in memory.
    """
    q, k, v, proj, fc1, fc2 = (
        ("attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "mlp.fc1", "mlp.fc2")
        if memory
        else (
            *(f"{attention}.{part}" for part in ("query", "key", "value")),
            *("attention.output.dense", "intermediate.dense", "output.dense"),
        )
    )
    qkv: Rules = (Join(tuple(f"{theirs}.{part}" for part in (q, k, v)), f"{timm}.attn.qkv"),)
    if not joined:
        qkv = (
            Rename(f"{theirs}.{q}.bias", f"{timm}.attn.q_bias"),
            Rename(f"{theirs}.{v}.bias", f"{timm}.attn.v_bias"),
            Join(tuple(f"{theirs}.{part}.weight" for part in (q, k, v)), f"{timm}.attn.qkv.weight"),
        )
    return (
        *qkv,
        Rename(f"{theirs}.{proj}", f"{timm}.attn.proj"),
        Rename(f"{theirs}.{fc1}", f"{timm}.mlp.fc1"),
        Rename(f"{theirs}.{fc2}", f"{timm}.mlp.fc2"),
        Rename(f"{theirs}.layernorm_before", f"{timm}.norm1"),
        Rename(f"{theirs}.layernorm_after", f"{timm}.norm2"),
    )


_EMBEDDINGS: Rules = (
    Rename("embeddings.cls_token", "cls_token"),
    Rename("embeddings.position_embeddings", "pos_embed"),
    Rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    Rename("layernorm", "norm"),
)
_PATCHES = "embeddings.patch_embeddings.projection.weight"


# --- ViT, ViTMAE, MSN, DeiT -------------------------------------------------------------------------------------------


def _vit(name: str, layer: str, *, memory: bool = False, one_classifier: bool = False) -> Dialect:
    """A ViT; one with a distillation token and one classifier (``one_classifier``) is not timm's distilled DeiT.

    It classifies from the class token alone, as a timm ViT does whose register token is that second token.
    """
    token = "reg_token" if one_classifier else "dist_token"
    key = ("attention.k_proj" if memory else "attention.attention.key") + ".weight"
    return Dialect(
        name,
        "vit",
        has=(
            _PATCHES,
            f"{layer}.{key}".replace("{i}", "0"),
            f"{layer}.layernorm_before.weight".replace("{i}", "0"),
            *(("embeddings.distillation_token", "@classifier.weight") if one_classifier else ()),
        ),
        rules=(
            *_EMBEDDINGS,
            Rename("embeddings.distillation_token", token),
            *_blocks(layer, "blocks.{i}", "attention.attention", memory=memory),
        ),
        lacks=("head_dist.*",) if one_classifier else (),
        hints={"eps": 1e-12},
    )


_ON_DISK, _IN_MEMORY = "encoder.layer.{i}", "layers.{i}"

HF_VIT = _vit("transformers ViT", _ON_DISK)
HF_DEIT = _vit("transformers DeiT with one classifier", _ON_DISK, one_classifier=True)


# --- BEiT, Data2VecVision ---------------------------------------------------------------------------------------------


def _beit(name: str, layer: str, *, memory: bool = False) -> Dialect:
    query = ("attention.q_proj" if memory else "attention.attention.query") + ".bias"
    key = ("attention.k_proj" if memory else "attention.attention.key") + ".bias"
    own, shared = (
        ("relative_position_bias", "shared_position_bias")
        if memory
        else ("attention.attention.relative_position_bias", "encoder.relative_position_bias")
    )
    return Dialect(
        name,
        "beit",
        has=(_PATCHES, f"{layer}.{query}".replace("{i}", "0")),
        lacks=(f"{layer}.{key}".replace("{i}", "0"),),
        rules=(
            _INDEX,
            *_EMBEDDINGS,
            *_blocks(layer, "blocks.{i}", "attention.attention", joined=False, memory=memory),
            Rename(f"{layer}.lambda_1", "blocks.{i}.gamma_1"),
            Rename(f"{layer}.lambda_2", "blocks.{i}.gamma_2"),
            Rename(f"{layer}.{own}.relative_position_bias_table", "blocks.{i}.attn.relative_position_bias_table"),
            Rename(f"{shared}.relative_position_bias_table", "rel_pos_bias.relative_position_bias_table"),
            Rename("pooler.layernorm", "fc_norm"),
        ),
        hints={"eps": 1e-12},
    )


HF_BEIT = _beit("transformers BEiT", _ON_DISK)


# --- DINOv2 -----------------------------------------------------------------------------------------------------------


def _fold_class_position(state: State) -> State:
    """Registers stand between class token and patches: timm adds the class token's position to the token itself."""
    if "reg_token" not in state or "pos_embed" not in state or "cls_token" not in state:
        return state
    place, places = state["pos_embed"][:, :1], state["pos_embed"][:, 1:]
    return {**state, "cls_token": state["cls_token"] + place, "pos_embed": places}


def _unfold_class_position(state: State) -> State:
    if "reg_token" not in state:
        return state
    nowhere = torch.zeros_like(state["pos_embed"][:, :1])
    return {**state, "pos_embed": torch.cat([nowhere, state["pos_embed"]], dim=1)}


def _gated(layer: str, memory: bool) -> Rules:
    """The MLP with a gate of DINOv2-giant; timm has gate and value in one layer."""
    if memory:
        return (
            Join((f"{layer}.mlp.gate_proj", f"{layer}.mlp.up_proj"), "blocks.{i}.mlp.fc1"),
            Rename(f"{layer}.mlp.down_proj", "blocks.{i}.mlp.fc2"),
        )
    return (
        Rename(f"{layer}.mlp.weights_in", "blocks.{i}.mlp.fc1"),
        Rename(f"{layer}.mlp.weights_out", "blocks.{i}.mlp.fc2"),
    )


def _gate(memory: bool, gated: bool) -> tuple[str, ...]:
    return (f"encoder.layer.0.mlp.{'gate_proj' if memory else 'weights_in'}.weight",) if gated else ()


def _dinov2(name: str, *, memory: bool = False, gated: bool = False) -> Dialect:
    layer = _ON_DISK
    parts = (
        tuple(f"attention.{part}_proj" for part in "qkv")
        if memory
        else tuple(f"attention.attention.{part}" for part in ("query", "key", "value"))
    )
    return Dialect(
        name,
        "vit",
        has=(_PATCHES, "encoder.layer.0.norm1.weight", f"encoder.layer.0.{parts[1]}.weight", *_gate(memory, gated)),
        rules=(
            *_EMBEDDINGS,
            Rename("embeddings.register_tokens", "reg_token"),
            Join(tuple(f"{layer}.{part}" for part in parts), "blocks.{i}.attn.qkv"),
            Rename(f"{layer}.attention.{'o_proj' if memory else 'output.dense'}", "blocks.{i}.attn.proj"),
            *(_gated(layer, memory) if gated else ()),
            Rename(f"{layer}.layer_scale1.lambda1", "blocks.{i}.ls1.gamma"),
            Rename(f"{layer}.layer_scale2.lambda1", "blocks.{i}.ls2.gamma"),
            Rename(layer, "blocks.{i}"),
        ),
        fold=(_fold_class_position, _unfold_class_position),
        hints={"eps": 1e-6},
    )


HF_DINOV2 = _dinov2("transformers DINOv2")


# --- Swin -------------------------------------------------------------------------------------------------------------


def _swin(name: str, *, memory: bool = False) -> Dialect:
    block = "encoder.layers.{i}.blocks.{j}"
    table = "attention.relative_position_bias" if memory else "attention.self"
    return Dialect(
        name,
        "swin",
        has=(_PATCHES, f"encoder.layers.0.blocks.0.{table}.relative_position_bias_table"),
        rules=(
            _INDEX,
            Rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
            Rename("embeddings.norm", "patch_embed.norm"),
            *_blocks(block, "layers.{i}.blocks.{j}", "attention.self", memory=memory),
            Rename(
                f"{block}.{table}.relative_position_bias_table",
                "layers.{i}.blocks.{j}.attn.relative_position_bias_table",
            ),
            Rename("encoder.layers.{i}.downsample", "layers.{i+1}.downsample"),
            Rename("layernorm", "norm"),
        ),
    )


HF_SWIN = _swin("transformers Swin")

_ATTENTION = "layers.{i}.blocks.{j}.attn"

HF_SWIN_V2 = Dialect(
    "transformers Swin V2",
    "swinv2",
    has=(_PATCHES, "encoder.layers.0.blocks.0.attention.self.logit_scale"),
    rules=(
        _INDEX,
        Rename("embeddings.patch_embeddings.projection", "patch_embed.proj"),
        Rename("embeddings.norm", "patch_embed.norm"),
        *_blocks("encoder.layers.{i}.blocks.{j}", "layers.{i}.blocks.{j}", "attention.self", joined=False),
        Rename("encoder.layers.{i}.blocks.{j}.attention.self.continuous_position_bias_mlp", f"{_ATTENTION}.cpb_mlp"),
        Rename("encoder.layers.{i}.blocks.{j}.attention.self.logit_scale", f"{_ATTENTION}.logit_scale"),
        Rename("encoder.layers.{i}.downsample", "layers.{i+1}.downsample"),
        Rename("layernorm", "norm"),
    ),
)


# --- ConvNeXt, ConvNeXt V2, ResNet ------------------------------------------------------------------------------------

_LAYER, _BLOCK = "encoder.stages.{i}.layers.{j}", "stages.{i}.blocks.{j}"


def _row(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(1, 1, 1, -1)


HF_CONVNEXT = Dialect(
    "transformers ConvNeXt",
    "convnext",
    has=("embeddings.patch_embeddings.weight", "encoder.stages.0.layers.0.dwconv.weight"),
    rules=(
        Rename("embeddings.patch_embeddings", "stem.0"),
        Rename("embeddings.layernorm", "stem.1"),
        Rename("encoder.stages.{i}.downsampling_layer", "stages.{i}.downsample"),
        Rename(f"{_LAYER}.dwconv", f"{_BLOCK}.conv_dw"),
        Rename(f"{_LAYER}.layernorm", f"{_BLOCK}.norm"),
        Rename(f"{_LAYER}.pwconv1", f"{_BLOCK}.mlp.fc1"),
        Rename(f"{_LAYER}.pwconv2", f"{_BLOCK}.mlp.fc2"),
        Rename(f"{_LAYER}.grn", f"{_BLOCK}.mlp.grn", change=torch.flatten, back=_row),
        Rename(f"{_LAYER}.layer_scale_parameter", f"{_BLOCK}.gamma"),
        Rename("layernorm", "head.norm"),
    ),
    hints={"eps": {"head.norm": 1e-12}},  # the other norms have timm's 1e-6
)

_CONVOLUTIONS = tuple(
    rule
    for at in range(3)
    for rule in (
        Rename(f"{_LAYER}.layer.{at}.convolution", f"layer{{i+1}}.{{j}}.conv{at + 1}"),
        Rename(f"{_LAYER}.layer.{at}.normalization", f"layer{{i+1}}.{{j}}.bn{at + 1}"),
    )
)

HF_RESNET = Dialect(
    "transformers ResNet",
    "resnet",
    has=("embedder.embedder.convolution.weight", "encoder.stages.0.layers.0.layer.0.convolution.weight"),
    rules=(
        Rename("embedder.embedder.convolution", "conv1"),
        Rename("embedder.embedder.normalization", "bn1"),
        *_CONVOLUTIONS,
        Rename(f"{_LAYER}.shortcut.convolution", "layer{i+1}.{j}.downsample.0"),
        Rename(f"{_LAYER}.shortcut.normalization", "layer{i+1}.{j}.downsample.1"),
    ),
)

TRANSFORMERS = (
    HF_BEIT,  # before ViT, which may have no bias at all
    HF_DEIT,
    HF_VIT,
    _dinov2("transformers DINOv2 with a gated MLP", gated=True),
    HF_DINOV2,
    HF_SWIN,
    HF_SWIN_V2,
    HF_CONVNEXT,
    HF_RESNET,
    _beit("transformers BEiT, in memory", _IN_MEMORY, memory=True),
    _vit("transformers DeiT with one classifier, in memory", _IN_MEMORY, memory=True, one_classifier=True),
    _vit("transformers ViT, in memory", _IN_MEMORY, memory=True),
    _dinov2("transformers DINOv2 with a gated MLP, in memory", memory=True, gated=True),
    _dinov2("transformers DINOv2, in memory", memory=True),
    _swin("transformers Swin, in memory", memory=True),
)
