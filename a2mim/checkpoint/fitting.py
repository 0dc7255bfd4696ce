"""Putting tensors into a model: shapes checked, position embeddings resampled where asked, nothing left to chance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
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


def fit(model: nn.Module, state: Mapping[str, torch.Tensor]) -> tuple[State, tuple[str, ...], tuple[str, ...]]:
    """The tensors of ``state`` that have a place in ``model``, each with the shape and type that it has there.

    Returns:
        ``(tensors, reshaped, missing)``: the names of those that were resampled to another grid, and of those in the
        model that ``state`` has no value for.

    Raises:
        InputError: a shape that cannot be fitted (both are shown), weights that are not finite or no floating-point
            numbers (named).
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
            tensor = _resampled(name, tensor, place.shape, _prefix_tokens(model))
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


def _resampled(name: str, tensor: torch.Tensor, shape: torch.Size, prefix_tokens: int) -> torch.Tensor:
    """Position embedding (1, tokens, channels) or relative position biases (distances, heads) for another grid."""
    try:
        if name == "pos_embed" and tensor.ndim == 3 and tensor.shape[-1] == shape[-1]:
            side = math.isqrt(shape[1] - prefix_tokens)
            fitted = resample_abs_pos_embed(tensor.float(), [side, side], num_prefix_tokens=prefix_tokens)
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


def _prefix_tokens(model: nn.Module) -> int:
    """Tokens before the patches' in the position embedding."""
    return 0 if getattr(model, "no_embed_class", False) else int(getattr(model, "num_prefix_tokens", 0))


def _refuse_nan(state: State, unbounded: Mapping[str, torch.Tensor]) -> None:
    """Raise InputError where values are no numbers; in ``unbounded`` buffers (limits) infinity is one."""
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
