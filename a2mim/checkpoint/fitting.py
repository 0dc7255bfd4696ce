"""Putting tensors into a model: shapes are checked, position embeddings of another size are resampled."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from torch import nn
from torch.overrides import TorchFunctionMode

from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.report import some
from a2mim.errors import InputError


class without_weights(TorchFunctionMode):  # noqa: N801  # a context manager, named as one
    """Models built inside have parameters of the right shapes without values: random ones cost neither time nor memory.

    Changing a parameter in place does nothing here, so that the pages of its memory are never touched. What is computed
    for buffers stays right. Every parameter has to be given a value afterwards (``assign``).
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        target = args[0] if args else kwargs.get("tensor")  # torch.nn.init names it
        return target if in_place and isinstance(target, nn.Parameter) else func(*args, **kwargs)


@dataclass(frozen=True)
class Resampling:
    """How a codebase fits a position embedding to another grid, by bicubic interpolation.

    Args:
        antialias: a filter before it is made smaller, which timm has and most of the others have not.
        offset: added to the new side before it is divided by the old one (DINO's guard against rounding); the result is
            the scale by which positions are computed. 0: the scale of the sizes themselves.
        align_corners: the corners of both grids lie on each other.
    """

    antialias: bool = True
    offset: float = 0.0
    align_corners: bool = False

    def __call__(self, grid: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(1, C, H, W) -> (1, C, *size)."""
        options: dict[str, Any] = {"mode": "bicubic", "antialias": self.antialias, "align_corners": self.align_corners}
        if not self.offset:
            return F.interpolate(grid, size=size, **options)
        scale = [(new + self.offset) / old for new, old in zip(size, grid.shape[2:], strict=True)]
        return F.interpolate(grid, scale_factor=scale, **options)


TIMM = Resampling()
_PLAIN = Resampling(antialias=False)
# by the format of the file, or by the names of its layers: the functions of each codebase are interpolate_pos_encoding
# (DINO, DINOv2, transformers), interpolate_pos_embed (MAE, DeiT), resize_pos_embed (OpenMMLab), interpolate_embeddings
# (torchvision)
RESAMPLING: Mapping[str, Resampling] = {
    **dict.fromkeys(("DINO", "iBOT"), Resampling(antialias=False, offset=0.1)),
    **dict.fromkeys(("MAE", "DeiT", "OpenMMLab", "A2MIM", "SimMIM"), _PLAIN),
    **dict.fromkeys(("transformers ViT", "transformers DeiT with one classifier", "transformers DINOv2"), _PLAIN),
    **dict.fromkeys(("torchvision ViT", "torchvision ViT before 0.13"), Resampling(False, align_corners=True)),
}
DINOV2 = Resampling(antialias=False, offset=0.1)  # its networks without registers; with them it is timm's


def resampling(format: str, names: str, tensors: Collection[str]) -> Resampling:
    """How the codebase that wrote a file fits position embeddings to other images.

    Args:
        format, names: the file's format, and the dialect of its layers' names.
        tensors: names of the encoder's tensors and of what lies beside them in the file.
    """
    if any(name.endswith("register_tokens") for name in tensors):
        return TIMM
    # DINOv2's released encoders stand alone and keep their mask token, which timm's do not have
    released = format == "plain weights" and {"mask_token", "cls_token", "blocks.0.ls1.gamma"} <= set(tensors)
    if format == "DINOv2" or released:
        return DINOV2
    return RESAMPLING.get(names) or RESAMPLING.get(format) or TIMM


def untrained(model: nn.Module, names: Mapping[str, Any]) -> bool:
    """Whether no batch norm of the file ever saw an image: all running means are 0 and all variances are 1.

    Args:
        names: tensors that the file gave to the model.
    """
    found = dict(model.named_buffers())
    means = [value for name, value in found.items() if name.endswith("running_mean") and name in names]
    variances = [value for name, value in found.items() if name.endswith("running_var") and name in names]
    return bool(means) and all(not value.any() for value in means) and all((value == 1).all() for value in variances)


def fit(
    model: nn.Module, state: Mapping[str, torch.Tensor], resample: Resampling = TIMM
) -> tuple[State, tuple[str, ...], tuple[str, ...]]:
    """The tensors of ``state`` that have a place in ``model``, each with the shape and type that it has there.

    Args:
        resample: how position embeddings are fitted to another grid.

    Returns:
        ``(tensors, reshaped, missing)``: the names of those that were resampled to another grid, and of those in the
        model that ``state`` has no value for.

    Raises:
        InputError: a shape that cannot be fitted (both are shown), weights that are not finite or not
            floating-point numbers (named).
    """
    fitted, reshaped, missing = {}, [], []
    for name, place in model.state_dict().items():
        if name not in state:
            missing.append(name)
            continue
        tensor = state[name]
        if place.is_floating_point() and not tensor.is_floating_point():
            raise InputError(
                f"'{name}' holds {str(tensor.dtype).removeprefix('torch.')}, not weights in floating point; is the "
                "file quantised? Give the one that it was made from"
            )
        if tensor.shape != place.shape:
            tensor = _resampled(name, tensor, place.shape, _prefix_tokens(model), resample)
            reshaped.append(name)
        fitted[name] = tensor.to(place.dtype) if tensor.dtype != place.dtype else tensor
    _refuse_nan(fitted, {name: value for name, value in model.named_buffers() if not value.isfinite().all()})
    return fitted, tuple(reshaped), tuple(missing)


def assign(model: nn.Module, fitted: State) -> None:
    """Make the tensors the model's own, without a copy; what they do not cover stays as it is in ``model``.

    A parameter that has several names (a layer that several blocks share) stays one.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    shared = dict(model.named_parameters(remove_duplicate=False))  # as the model was built: who shares with whom
    new: dict[int, nn.Parameter] = {}
    for name, tensor in fitted.items():
        owner, _, own = name.rpartition(".")
        place = shared.get(name)
        if place is not None:
            tensor = new.setdefault(id(place), nn.Parameter(tensor, requires_grad=place.requires_grad))
        setattr(modules[owner], own, tensor)


def _resampled(
    name: str, tensor: torch.Tensor, shape: torch.Size, prefix_tokens: int, resample: Resampling
) -> torch.Tensor:
    """Position embedding (1, tokens, channels) or relative position biases (distances, heads) for another grid."""
    try:
        if name == "pos_embed" and tensor.ndim == 3 and tensor.shape[-1] == shape[-1]:
            fitted = _resampled_positions(tensor.float(), math.isqrt(shape[1] - prefix_tokens), prefix_tokens, resample)
            if fitted.shape == shape:
                return fitted
        if name.endswith("relative_position_bias_table") and tensor.shape[-1] == shape[-1]:
            extra = prefix_tokens and 3  # BEiT's distances to, from and within the class token
            side = (math.isqrt(shape[0] - extra) + 1) // 2
            fitted = resize_rel_pos_bias_table(tensor.float(), (side, side), tuple(shape))
            if fitted.shape == shape:
                return fitted
    except (AssertionError, RuntimeError, ValueError):
        pass  # not the square grids that these functions know: the message below shows both shapes
    raise InputError(f"'{name}' has shape {tuple(tensor.shape)} in the file and {tuple(shape)} in the model")


def _resampled_positions(tensor: torch.Tensor, side: int, prefix_tokens: int, resample: Resampling) -> torch.Tensor:
    """(1, tokens, channels) of a square grid -> the same of ``side`` x ``side``; those of special tokens stay."""
    if resample == TIMM:
        return resample_abs_pos_embed(tensor, [side, side], num_prefix_tokens=prefix_tokens)
    special, places = tensor[:, :prefix_tokens], tensor[:, prefix_tokens:]
    old = math.isqrt(places.shape[1])
    grid = places.reshape(1, old, old, -1).permute(0, 3, 1, 2)
    return torch.cat([special, resample(grid, (side, side)).permute(0, 2, 3, 1).flatten(1, 2)], 1)


def _prefix_tokens(model: nn.Module) -> int:
    """Tokens before the patches' in the position embedding."""
    return 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 0))


def _refuse_nan(state: State, unbounded: Mapping[str, torch.Tensor]) -> None:
    """Raise InputError where values are NaN or infinite; ``unbounded`` buffers (limits) may be infinite."""
    # a sum is not finite when a value is not; it is one pass without a copy, and only suspects are looked at twice
    bad = [
        name
        for name, value in state.items()
        if value.is_floating_point()
        and not math.isfinite(value.sum(dtype=torch.float32))
        and not value.isfinite().all()
        and not (name in unbounded and not value.isnan().any())
    ]
    if bad:
        raise InputError(f"{len(bad)} tensors hold NaN or infinite weights: {some(bad)}")
