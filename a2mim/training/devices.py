"""The device, and what makes training faster or smaller on it."""

from __future__ import annotations

import timm.layers
import torch
from torch import nn

from a2mim import distributed
from a2mim.errors import InputError
from a2mim.settings import TrainSettings


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is a GPU if there is one, ``cuda`` the GPU of this process among several.

    Raises:
        InputError: a name that torch does not know, or a device that this machine does not have.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and distributed.world() > 1:
        name = f"cuda:{distributed.local_rank()}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device '{name}' cannot be used: {str(error).splitlines()[0]}") from error
    if device.type == "cuda" and device.index is not None:
        torch.cuda.set_device(device)  # where NCCL and new tensors go
    return device


def place(model: nn.Module, device: torch.device, settings: TrainSettings) -> None:
    """Move a network, in place, to its device and memory format."""
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)


def prepare(model: nn.Module, settings: TrainSettings) -> list[str]:
    """Prepare a network, in place, for training with these settings; returns remarks for the user.

    Raises:
        InputError: an architecture without gradient checkpointing, or a compiler that torch does not know.
    """
    remarks = []
    norms = sum(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in model.modules())
    if norms and distributed.world() > 1:
        on_gpu = next(model.parameters()).device.type == "cuda"
        if settings.sync_bn and on_gpu:
            timm.layers.convert_sync_batchnorm(model)
        else:
            why = "as asked" if on_gpu else "torch has no synchronised batch norm on this device"
            remarks.append(f"batch norm averages over the {settings.batch_size} images of one process ({why})")
    if settings.grad_checkpointing:
        _checkpoint_gradients(model)
    if settings.torchcompile is not None:
        known = torch.compiler.list_backends(())
        if settings.torchcompile not in known:
            raise InputError(f"torchcompile '{settings.torchcompile}' is unknown; known: {', '.join(known)}")
        model.compile(backend=settings.torchcompile)
    return remarks


def _checkpoint_gradients(model: nn.Module) -> None:
    able = [module for module in model.modules() if hasattr(module, "set_grad_checkpointing")]
    try:
        for module in able:
            module.set_grad_checkpointing(True)  # type: ignore[operator]
    except (AssertionError, AttributeError):  # raised by timm's models without it
        able = []
    if not able:
        raise InputError("this architecture has no gradient checkpointing in timm; remove --grad-checkpointing")
