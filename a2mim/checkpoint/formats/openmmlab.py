"""OpenMMLab's files (mmpretrain, mmcls, mmselfsup) and OpenMixup's: what lies where, what their configuration says.

Every network is a ``backbone``, mostly with a ``neck`` and a ``head``. Files that were trained hold the text of their
configuration, which tells what no shape shows; it is parsed, never run. Released files may lack it.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Mapping
from typing import Any

from a2mim.checkpoint.formats.format import Format, look_up
from a2mim.errors import InputError

# --- what the configuration says --------------------------------------------------------------------------------------

_BACKBONES = ("ResNet", "ResNeXt", "VisionTransformer", "ViT", "BEiT", "DeiT", "Swin", "ConvNeXt")
# settings of a backbone that change what it computes and show in no tensor, and the values that timm's networks have
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "style": ("pytorch",),  # the stride in the 3x3 convolution
    "strides": ([1, 2, 2, 2],),
    "dilations": ([1, 1, 1, 1],),
    "with_cls_token": (True,),
    "pad_small_map": (False,),
    "act_cfg.type": ("GELU",),
    "layer_cfgs.act_cfg.type": ("GELU",),
}
_OLD_CONVNEXT = {"stages.*.downsample.0": 1e-5}  # eps of these norms, before mmpretrain made it that of all others
_LONGEST = 1_000_000  # characters of a configuration


def hints(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the file says beside the weights: classes, normalisation, heads, image size, eps.

    Raises:
        InputError: a network that timm does not have, or settings under which it computes something else.
    """
    said = meta.get("meta")
    said = said if isinstance(said, Mapping) else {}
    text = said.get("config") or said.get("cfg")
    config = _parse(text) if isinstance(text, str) else {}
    backbone = look_up(config, "model.backbone")
    backbone = backbone if isinstance(backbone, Mapping) else {}
    _refuse(backbone)
    classes = said.get("CLASSES") or look_up(said, "dataset_meta.classes") or look_up(said, "dataset_meta.CLASSES")
    found = {
        "classes": tuple(map(str, classes)) if isinstance(classes, list | tuple) else None,
        "num_heads": _heads(backbone),
        "img_size": _swin_size(backbone),
        "eps": _eps(backbone) or (_OLD_CONVNEXT if said.keys() & {"openmixup_version", "mmcls_version"} else None),
        **_normalisation(config),
    }
    return {key: value for key, value in found.items() if value is not None}


def _type(settings: Mapping[str, Any]) -> str:
    """The class that is built, without the library before it ("mmpretrain.ResNet")."""
    return str(settings.get("type", "")).rpartition(".")[2]


def _refuse(backbone: Mapping[str, Any]) -> None:
    kind = _type(backbone)
    if kind and not any(known in kind for known in _BACKBONES):
        raise InputError(f"its configuration says that the backbone is a {kind}, which is not read from such files")
    for key, allowed in _ONLY.items():
        value = look_up(backbone, key)
        value = value.rpartition(".")[2] if isinstance(value, str) else value
        if value is not None and value not in allowed:
            raise InputError(f"its configuration says {key}={value}, which timm's networks cannot compute")


def _heads(backbone: Mapping[str, Any]) -> int | None:
    arch = backbone.get("arch")
    if isinstance(arch, str):  # MoCo v3's ViT-S has heads of 32; the others follow from their width
        return 12 if arch.lower().startswith("mocov3-s") else None
    heads = look_up(backbone, "arch.num_heads")
    return heads if isinstance(heads, int) else None


def _swin_size(backbone: Mapping[str, Any]) -> int | None:
    """Image size of a Swin, which no weight shows."""
    size = backbone.get("img_size", 224)
    if "Swin" not in _type(backbone) or not isinstance(size, int):
        return None
    window = look_up(backbone, "stage_cfgs.block_cfgs.window_size") or backbone.get("window_size", 7)
    for stage in range(4):
        side = size // int(backbone.get("patch_size", 4)) // 2**stage
        if isinstance(window, int) and side > window and side % window:
            raise InputError(
                f"its maps of {side}x{side} are not a multiple of the window of {window}: they are padded before "
                "they are shifted, in timm after it"
            )
    return size


def _eps(backbone: Mapping[str, Any]) -> float | None:
    """eps of a ViT's LayerNorms, where the configuration sets one: 1e-5 unless it is said with the kind of norm."""
    norm, kind = backbone.get("norm_cfg"), _type(backbone)
    if not isinstance(norm, Mapping) or norm.get("type") != "LN" or "Swin" in kind or "ConvNeXt" in kind:
        return None
    return float(norm.get("eps", 1e-5))


def _normalisation(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Mean and std of the images, for values 0 to 1."""
    places = ("model.data_preprocessor", "data_preprocessor", "img_norm_cfg")
    for settings in (look_up(config, place) for place in places):
        if not isinstance(settings, Mapping) or not settings.get("mean") or not settings.get("std"):
            continue
        if settings.get("to_rgb") is False or settings.get("bgr_to_rgb") is False:
            raise InputError("it was trained on images in the order blue, green, red, which is not that of timm")
        values = [settings["mean"], settings["std"]]
        if not all(isinstance(value, list) and all(isinstance(x, int | float) for x in value) for value in values):
            continue
        scale = 255 if max(values[1]) > 2 or max(values[0]) > 2 else 1
        return dict(zip(("mean", "std"), (tuple(round(x / scale, 6) for x in value) for value in values), strict=True))
    return {}


def _parse(text: str) -> dict[str, Any]:
    """The settings in the text of a configuration: assignments of literals, lists and ``dict(...)``."""
    if len(text) > _LONGEST:
        return {}
    try:
        return {
            target.id: _literal(statement.value)
            for statement in ast.parse(text).body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        }
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.List | ast.Tuple):
        return [_literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {_literal(key): _literal(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict":
        return {keyword.arg: _literal(keyword.value) for keyword in node.keywords if keyword.arg}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        return -value if isinstance(value, int | float) else None
    return None


# --- formats ----------------------------------------------------------------------------------------------------------

_openmmlab = functools.partial(
    Format, "OpenMMLab", "open-mmlab/mmpretrain, mmcls, mmselfsup, Westlake-AI/openmixup", hints=hints
)
# both EMA hooks swap before they save (mmcv's where it runs before the saving one, as published recipes have it): the
# averaged weights stand under the backbone's own names, the last ones in the copy
_ONE = {"backbone": "backbone.", "unaveraged": "ema_state_dict:backbone."}
_TWO = {"key": "encoder_k.0.", "momentum": "momentum_encoder.0.", "target": "target_net.0.", "teacher": "teacher.0."}
_TWICE = ("encoder_q", "base_encoder", "online_net", "encoder", "student")  # (backbone, neck) under a second name
_DECODER = {"mask token": ("backbone.mask_*", "neck.mask_token", "mask_tokens.*"), "decoder": ("neck.decoder*",)}
_SHARED = {"shared_rel_pos_bias.": "rel_pos_bias."}  # of BEiT in mmselfsup 1.0's release candidates, outside of it
_AROUND: Mapping[str, tuple[str, ...]] = {
    **_DECODER,
    "backbone once more": tuple(f"{net}.0.*" for net in _TWICE),
    "neck": (
        *("neck.*", "enc_dec_*"),
        *(f"{net}.1.*" for net in _TWICE),
        *(place.partition(".")[0] + ".1.*" for place in _TWO.values()),
    ),
    "pretext head": ("head.*",),
    "memory": ("memory_bank.*", "queue*", "loss_weight"),
    "target generator": ("target_generator.*", "hog_layer.*", "feat_layer.*"),
    "counter": ("steps", "*.steps"),
}

FORMATS: tuple[Format, ...] = (
    Format(
        "A2MIM",
        "Westlake-AI/openmixup",
        has=("backbone.mask_token", "neck.decoder_pred.0.weight"),
        encoders=_ONE,
        parts=_DECODER,
        hints=hints,
    ),
    Format(
        "SimMIM",
        "Westlake-AI/openmixup, open-mmlab/mmselfsup, mmpretrain",
        has=("backbone.mask_token", "neck.decoder.0.weight"),
        encoders=_ONE,
        parts=_DECODER,
        hints=hints,
    ),
    _openmmlab(
        has=("state_dict:backbone.*", "head.*.weight"),
        lacks=("backbone.mask_token", "neck.*.weight", "neck.p"),  # necks that are more than a mean: below
        encoders=_ONE,
        classifier=("head.fc.", "head.fc_cls.", "head.head.", "head.layers.head."),
        outside={"head.layers.head_dist.": "head_dist.", "head.bn.": "probe.", "neck.bn.": "probe."},
        kind="classifier",
    ),
    _openmmlab(
        has=("state_dict:backbone.*", "teacher.patch_embed.projection.weight"),
        encoders={**_ONE, "teacher": "teacher."},
        parts=_AROUND,
    ),
    _openmmlab(
        has=("state_dict:backbone.*", "neck.*.weight"), encoders={**_ONE, **_TWO}, parts=_AROUND, outside=_SHARED
    ),
    _openmmlab(
        has=("state_dict:backbone.*",), meta=("meta",), encoders={**_ONE, **_TWO}, parts=_AROUND, outside=_SHARED
    ),
)
