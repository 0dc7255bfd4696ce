"""Errors of torch that a user's network, images or machine can cause, in one line that names the cause.

torch raises the same types for these and for bugs; only its messages tell them apart. Errors that are not listed here
are unforeseen and keep their traceback.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from a2mim.errors import InputError, RunError

_CAUGHT = (RuntimeError, ValueError, AssertionError, IndexError, MemoryError)
_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")
_CHANNELS = re.compile(r"expected input\[[^]]*\] to have (\d+) channels, but got (\d+) channels")
_ONE_VALUE = "Expected more than 1 value per channel when training"
_SIZE = (
    "Kernel size can't be greater than actual input size",
    "Output size is too small",
    "Calculated output size",
    "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got",
    "doesn't match model",
    "should be divisible by",
    "must match the size of tensor",
    "mat1 and mat2 shapes cannot be multiplied",
    "Padding size should be less than the corresponding input dimension",
    "is invalid for input of size",
)


@contextlib.contextmanager
def explained(shape: Sequence[int], network: str = "") -> Iterator[None]:
    """Turn torch's errors about images of ``shape`` (B, C, H, W) inside the block into errors that name the cause.

    Raises:
        InputError: a network that does not take such images, or batch norm over a single value.
        RunError: out of memory.
    """
    try:
        yield
    except _CAUGHT as error:
        found = explanation(error, shape, network)
        if found is None:
            raise
        raise found from error


def explanation(error: BaseException, shape: Sequence[int], network: str = "") -> InputError | RunError | None:
    """What ``explained`` raises for an error; None for one that was not foreseen."""
    if isinstance(error, InputError | RunError):
        return None
    text = " ".join(str(error).split())
    images, channels, height, width = shape
    name = network or "this network"
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in text for sign in _MEMORY):
        return RunError(
            f"out of memory with batches of {images} images of {height}x{width} pixels: lower --batch-size "
            "(--grad-accum-steps N keeps the images per update), or give --grad-checkpointing or --amp"
            + (f" ({text[:160]})" if text else "")
        )
    if found := _CHANNELS.search(text):
        return InputError(
            f"{name} takes images of {found[1]} channels in a layer that got {found[2]}; the images have {channels}"
        )
    if _ONE_VALUE in text:
        return InputError(
            f"batch norm of {name} cannot train on {images} image(s) of {height}x{width} pixels: some feature map has "
            "one value per channel; give a --batch-size of 2 or more, or larger images (--img-size)"
        )
    if any(sign in text for sign in _SIZE):
        return InputError(f"{name} does not run on images of {height}x{width} pixels ({text[:200]}); see --img-size")
    return None


def name_of(model: nn.Module) -> str:
    """What an error calls a network: timm's architecture where there is one, else the class."""
    encoder = getattr(model, "encoder", model)
    config = getattr(encoder, "pretrained_cfg", None) or {}
    architecture = config.get("architecture") if isinstance(config, dict) else None
    return str(getattr(model, "arch", "") or architecture or type(encoder).__name__)
