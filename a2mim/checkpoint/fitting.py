"""Putting tensors into a model: shapes checked, position embeddings resampled where asked, nothing left to chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from timm.layers import resample_abs_pos_embed, resize_rel_pos_bias_table
from torch import nn
from torch.overrides import TorchFunctionMode

from a2mim.checkpoint.report import some
from a2mim.checkpoint.storage import State
from a2mim.errors import InputError


class _NoInitialisation(TorchFunctionMode):
    """Leaves tensors on the meta device as they are: a random value for what has no memory is time lost."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        in_place = name.endswith("_") and not name.endswith("__") and name != "requires_grad_"
        if in_place and args and isinstance(args[0], torch.Tensor) and args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def without_weights() -> Iterator[None]:
    """Models built inside have parameters without memory (on torch's meta device) and real buffers.

    A model whose every parameter comes from a file then costs neither a random initialisation nor a second copy.
    """
    register = nn.Module.register_parameter

    def register_empty(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        if param is not None:
            param = nn.Parameter(param.detach().to("meta"), requires_grad=param.requires_grad)
        register(self, name, param)

    nn.Module.register_parameter = register_empty  # type: ignore[method-assign]
    try:
        with _NoInitialisation():
            yield
    finally:
        nn.Module.register_parameter = register  # type: ignore[method-assign]


def fit(model: nn.Module, state: Mapping[str, torch.Tensor]) -> tuple[State, tuple[str, ...]]:
    """The tensors of ``state`` that have a place in ``model``, each with the shape and type that it has there.

    Returns:
        ``(tensors, reshaped)``: ``reshaped`` names those that were resampled to another grid.

    Raises:
        InputError: a shape that cannot be fitted (both are shown), or weights that are not finite (named).
    """
    fitted, reshaped = {}, []
    for name, place in model.state_dict().items():
        if name not in state:
            continue
        tensor = state[name]
        if tensor.shape != place.shape:
            tensor = _resampled(name, tensor, place.shape, _prefix_tokens(model))
            reshaped.append(name)
        fitted[name] = tensor.to(place.dtype) if tensor.dtype != place.dtype else tensor
    _refuse_nan(fitted)
    return fitted, tuple(reshaped)


def assign(model: nn.Module, fitted: State) -> None:
    """Make the tensors the model's own, without a copy; what they do not cover stays as it is in ``model``."""
    model.load_state_dict({**model.state_dict(), **fitted}, strict=True, assign=True)


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


def _refuse_nan(state: State) -> None:
    # a sum is not finite when a value is not; it is one pass without a copy, and only suspects are looked at twice
    bad = [
        name
        for name, value in state.items()
        if value.is_floating_point()
        and not math.isfinite(value.sum(dtype=torch.float32))
        and not value.isfinite().all()
    ]
    if bad:
        raise InputError(f"{len(bad)} tensors hold NaN or infinite weights: {some(bad)}")
