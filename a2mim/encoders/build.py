"""Build timm models by name, with helpful errors."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import timm
import torch

from a2mim.errors import InputError


def build_encoder(
    arch: str,
    model_args: Mapping[str, Any] | None = None,
    *,
    num_classes: int = 0,
    img_size: tuple[int, ...] | None = None,
    pretrained: bool = False,
) -> tuple[torch.nn.Module, dict[str, Any]]:
    """A timm model, and the arguments that build it again.

    Args:
        arch: name in ``timm.list_models()``, with or without a tag of weights.
        model_args: keywords for the architecture (``embed_dim``, ``depth``, ``channels``, ...).
        num_classes: outputs of the classifier; 0 removes it.
        img_size: (H, W) in pixels, passed to architectures that are built for one size (ViT, Swin, Mixer) and
            left out for those that take any size (ResNet, ConvNeXt).
        pretrained: load timm's weights of that name.

    Returns:
        ``(model, model_args)``: ``timm.create_model(arch, **model_args)`` makes the same architecture.

    Raises:
        InputError: no such architecture, or arguments that it does not take.
    """
    check_arch(arch)
    args = dict(model_args or {})
    if img_size is not None and "img_size" not in args and _takes_img_size(arch, args, img_size):
        args["img_size"] = img_size[0] if len(set(img_size)) == 1 else list(img_size)
    return _create(arch, args, num_classes=num_classes, pretrained=pretrained), args


def check_arch(arch: str) -> None:
    """Raise InputError, with the nearest names, unless timm knows the architecture."""
    if ":" in arch or timm.is_model(arch):  # timm itself handles hf-hub:... and local-dir:...
        return
    near = difflib.get_close_matches(arch, timm.list_models(), n=5, cutoff=0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise InputError(f"timm has no model '{arch}'{hint} (timm.list_models() names all)")


def default_img_size(encoder: torch.nn.Module) -> tuple[int, int]:
    """Image size (H, W) in pixels that a timm model is built for."""
    embed = getattr(encoder, "patch_embed", None) or getattr(encoder, "stem", None)
    size = getattr(embed, "img_size", None)
    if size is None:
        size = encoder.default_cfg["input_size"][1:]  # type: ignore[index]
    return (int(size[0]), int(size[1])) if isinstance(size, (tuple, list)) else (int(size), int(size))


def _takes_img_size(arch: str, args: Mapping[str, Any], img_size: tuple[int, ...]) -> bool:
    """Whether the architecture is built for one image size: found by building it without memory."""
    with torch.device("meta"):
        try:
            timm.create_model(arch, img_size=img_size, **args)
        except TypeError as error:
            if "img_size" in str(error):
                return False
            raise InputError(f"{arch} does not take these arguments: {error}") from error
        except (AssertionError, ValueError, RuntimeError) as error:
            raise InputError(f"{arch} cannot be built for images of {img_size} pixels: {error}") from error
    return True


def _create(arch: str, args: Mapping[str, Any], **options: Any) -> torch.nn.Module:
    try:
        return timm.create_model(arch, **options, **args)
    except (TypeError, AssertionError, ValueError, RuntimeError, ArithmeticError, LookupError, MemoryError) as error:
        given = ", ".join(f"{key}={value}" for key, value in args.items()) or "no arguments"
        raise InputError(f"{arch} cannot be built with {given}: {error}") from error
