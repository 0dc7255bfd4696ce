"""Networks as they are: their mode, memory format and precision while something looks at them, all put back after."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from a2mim.errors import InputError


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a smaller batch may do; a CPU says so in words only."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def memory_format(model: nn.Module) -> torch.memory_format:
    """Channels last if the model's convolutions lie so: they are up to four times faster when the images do too."""
    for weight in model.parameters():
        if weight.ndim == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last):
            return torch.channels_last
    return torch.contiguous_format


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Inside, the model is in eval mode; after, every module is in the mode that it was found in."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


@contextlib.contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """No autocast and no TF32 inside: four scores nearly cancel, and the rest is far smaller than each of them."""
    with torch.autocast(device.type, enabled=False):
        try:
            matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
        except RuntimeError:
            # torch's newer names were used somewhere; then the older ones can be neither read nor set
            with _full_precision_by_operation():
                yield
            return
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(matmul)
            torch.backends.cudnn.allow_tf32 = convolution


@contextlib.contextmanager
def _full_precision_by_operation() -> Iterator[None]:
    cudnn: Any = torch.backends.cudnn
    operations = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [operation.fp32_precision for operation in operations]
    for operation in operations:
        operation.fp32_precision = "ieee"
    try:
        yield
    finally:
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision


def check_model(model: nn.Module) -> None:
    if getattr(model, "num_classes", None) == 0:  # timm's word for features without a classifier
        raise InputError("the model has no classifier (its num_classes is 0); fine-tune it first")


def check_logits(logits: torch.Tensor, labels: tuple[int, int]) -> None:
    """Shapes alone; ``labels`` are the lowest and the highest of the batch."""
    if logits.dim() != 2:
        raise InputError(f"the model gives {tuple(logits.shape)}, not logits (B, classes); has it a classifier?")
    if labels[0] < 0 or labels[1] >= logits.shape[1]:
        raise InputError(f"labels {labels[0]} to {labels[1]} do not fit the model's {logits.shape[1]} classes")
