"""What config.json and preprocessor_config.json of Hugging Face transformers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a2mim.errors import InputError

# what timm's networks cannot do, and the values of a key under which they need not
_ONLY: Mapping[str, tuple[Any, ...]] = {
    "downsample_in_first_stage": (False,),
    "downsample_in_bottleneck": (False,),  # the stride stands in the 3x3 convolution (ResNet v1.5)
    "use_absolute_embeddings": (False,),
    "use_swiglu_ffn": (False,),
}
# the LayerNorms whose eps the config sets, where these are not all: the others' is fixed, and timm's
OWN_EPS = {
    **dict.fromkeys(("convnext", "convnextv2"), ("head.norm",)),
    **dict.fromkeys(("swin", "swinv2"), ("norm", "*.norm1", "*.norm2")),
}
_ANY_SIZE = ("convnext", "convnextv2", "resnet")  # not built for one size of image


def hints(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the two files of a folder say that no shape shows; nothing for weights that stand alone.

    Raises:
        InputError: settings under which transformers computes what timm cannot.
    """
    config, processor = (meta.get(name) or {} for name in ("config", "preprocessor_config"))
    kind = config.get("model_type", "")
    for key, allowed in {**_ONLY, "hidden_act": ("relu" if kind == "resnet" else "gelu",)}.items():
        if key in config and config[key] not in allowed:
            raise InputError(f"config.json says {key}={config[key]}, which timm's networks cannot compute")
    found = {
        "num_heads": config.get("num_attention_heads"),
        "img_size": None if kind in _ANY_SIZE else config.get("image_size"),
        "input_size": _input_size(config, processor),
        "window_size": config.get("window_size"),
        "pretrained_window_sizes": config.get("pretrained_window_sizes"),
        "eps": _eps(kind, config.get("layer_norm_eps")),
        "classes": _classes(config),
        **_normalisation(processor),
    }
    return {key: value for key, value in found.items() if value is not None}


def _eps(kind: str, eps: float | None) -> Mapping[str, float] | float | None:
    """The loader's hint: eps of the LayerNorms that the setting is for."""
    return None if eps is None else dict.fromkeys(OWN_EPS.get(kind, ("*",)), eps)


def _classes(config: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Names of the classes, unless they are the LABEL_0, LABEL_1, ... that stand for none."""
    labels = config.get("id2label")
    if not isinstance(labels, Mapping) or "Classification" not in str(config.get("architectures")):
        return None
    names = tuple(str(labels[key]) for key in sorted(labels, key=int))
    return None if all(name == f"LABEL_{at}" for at, name in enumerate(names)) else names


def _normalisation(processor: Mapping[str, Any]) -> Mapping[str, tuple[float, ...]]:
    if processor.get("do_normalize", True) is False:
        return {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    keys = {"mean": "image_mean", "std": "image_std"}
    return {ours: tuple(processor[theirs]) for ours, theirs in keys.items() if processor.get(theirs)}


def _input_size(config: Mapping[str, Any], processor: Mapping[str, Any]) -> tuple[int, int, int] | None:
    size = processor.get("crop_size") or processor.get("size")
    if isinstance(size, Mapping):
        size = (size.get("height"), size.get("width")) if "height" in size else size.get("shortest_edge")
    height, width = size if isinstance(size, Sequence) else (size, size)
    return (int(config.get("num_channels", 3)), int(height), int(width)) if height and width else None
