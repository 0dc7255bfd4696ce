"""What config.json and preprocessor_config.json of Hugging Face transformers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a2mim.checkpoint.formats.settings import Settings
from a2mim.errors import InputError

# what timm's networks cannot do, and the values of a key under which they need not
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "downsample_in_first_stage": (False,),
    "downsample_in_bottleneck": (False,),  # the stride stands in the 3x3 convolution (ResNet v1.5)
    "use_absolute_embeddings": (False,),
    "apply_layernorm": (True,),
    "key_bias": (False,),  # DINOv3: it counts with rotary positions
}
# activations of the networks that are built with any: transformers' name -> timm's
_ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "silu": "silu",
}
# the LayerNorms whose eps the config sets, where these are not all: the others' is fixed, and timm's
OWN_EPS = {
    **dict.fromkeys(("convnext", "convnextv2"), ("head.norm",)),
    **dict.fromkeys(("swin", "swinv2"), ("norm", "*.norm1", "*.norm2")),
}
_ANY_SIZE = ("convnext", "convnextv2", "resnet")  # not built for one size of image
# what a config of an older version leaves out: (activation, eps of the LayerNorms)
_TOWERS = {"clip": ("quick_gelu", 1e-5), "siglip": ("gelu_pytorch_tanh", 1e-6)}
_NO_CONFIG = (
    "QuickGELU, as in OpenAI's networks: without config.json nothing says whether it is GELU "
    "(--model-args act_layer=gelu changes it)"
)


def hints(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the two files of a folder say that no shape shows; nothing for weights that stand alone.

    Raises:
        InputError: settings under which transformers computes what timm cannot, or that are not of the right type.
    """
    processor = Settings.of(meta, "preprocessor_config")
    config = Settings.of(meta, "config")
    kind = config.text("model_type") or ""
    tower = _TOWERS.get(kind.removesuffix("_vision_model").rstrip("2"))
    labels = config
    if tower:
        config = config.within("vision_config")
    _refuse_others(config, kind, tower)
    act = (config.text("hidden_act") or tower[0]) if tower else None
    found = {
        "num_heads": _heads(config),
        "img_size": None if kind in _ANY_SIZE else config.size("image_size"),
        "input_size": _input_size(config, processor),
        "window_size": config.whole("window_size"),
        "pretrained_window_sizes": config.wholes("pretrained_window_sizes"),
        "eps": _eps(kind, config.number("layer_norm_eps") or (tower[1] if tower else None)),
        "rope_temperature": config.number("rope_theta") if kind == "dinov3_vit" else None,
        "act_layer": _ACTIVATIONS[act] if act else None,
        "classes": _classes(labels),
        **_normalisation(processor),
    }
    return {key: value for key, value in found.items() if value is not None}


def clip_hints(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same for CLIP, whose networks differ in their activation, which nothing but the config tells."""
    return hints(meta) if "config" in meta else {"act_layer": "quick_gelu", "notes": (_NO_CONFIG,)}


def _refuse_others(config: Settings, kind: str, tower: tuple[str, float] | None) -> None:
    gated = config.flag("use_gated_mlp") or False
    usual = "relu" if kind == "resnet" else "silu" if gated else "gelu"
    for key, allowed in {**_ONLY, "hidden_act": tuple(_ACTIVATIONS) if tower else (usual,)}.items():
        if key in config and config[key] not in allowed:
            raise InputError(f"config.json says {key}={config[key]}, which timm's networks cannot compute")


def _heads(config: Settings) -> int | None:
    """Heads of all blocks; of Hiera, which gives them by stage, those of the first."""
    by_stage = config.wholes("num_heads") if isinstance(config.get("num_heads"), list) else None
    if by_stage and config.text("model_type") == "hiera":
        return by_stage[0]
    return config.whole("num_attention_heads")


def _eps(kind: str, eps: float | None) -> Mapping[str, float] | float | None:
    """The loader's hint: eps of the LayerNorms that the setting is for."""
    return None if eps is None else dict.fromkeys(OWN_EPS.get(kind, ("*",)), eps)


def _classes(config: Settings) -> tuple[str, ...] | None:
    """Names of the classes, unless they are the LABEL_0, LABEL_1, ... that stand for none."""
    labels = config.get("id2label")
    if not isinstance(labels, Mapping) or "Classification" not in str(config.get("architectures")):
        return None
    if not all(str(key).isdecimal() and len(str(key)) < 10 for key in labels):
        raise config.wrong("id2label", "a number for each class")
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    return None if all(name == f"LABEL_{at}" for at, name in enumerate(names)) else names


def _normalisation(processor: Settings) -> Mapping[str, tuple[float, ...]]:
    if processor.get("do_normalize", True) is False:
        return {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    found = {ours: processor.numbers(theirs) for ours, theirs in (("mean", "image_mean"), ("std", "image_std"))}
    if any(not value for value in found.get("std") or ()):
        raise processor.wrong("image_std", "numbers other than 0")
    return {ours: value for ours, value in found.items() if value}


def _input_size(config: Settings, processor: Settings) -> tuple[int, int, int] | None:
    key = "crop_size" if processor.get("crop_size") else "size"
    size: Any = processor.get(key)
    if isinstance(size, Mapping):
        size = [size.get("height"), size.get("width")] if "height" in size else size.get("shortest_edge")
    if not size:
        return None
    height, width = size if isinstance(size, Sequence) and len(size) == 2 else (size, size)
    if not all(type(side) is int and 0 < side < 100_000 for side in (height, width)):
        raise processor.wrong(key, "a whole number, or height and width")
    return (config.whole("num_channels") or 3, height, width)
