"""How a network runs fastest on the machine at hand: memory format and batch size, found by a short trial."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import nn

from .networks import out_of_memory

FORMATS = (torch.channels_last, torch.contiguous_format)
BATCHES = (32, 64, 128, 256, 512)
SECONDS = 0.2  # for each combination, after one batch that is not counted
GAIN = 1.03  # a larger batch has to be so much faster: what is won by less is noise, and costs memory


class Speed(NamedTuple):
    """What the trial found: the network lies in that format already."""

    batch_size: int
    memory_format: torch.memory_format
    images_per_second: float

    def to_json(self) -> dict[str, Any]:
        """As JSON can write it."""
        return self._asdict() | {"memory_format": str(self.memory_format).removeprefix("torch.")}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Speed:
        """What ``to_json`` gave."""
        return cls(**value | {"memory_format": getattr(torch, value["memory_format"])})


def tune(
    model: nn.Module, img_size: tuple[int, ...], device: torch.device, batch_size: int | None = None, amp: bool = False
) -> Speed:
    """Put the network into the memory format that is fastest for it, and find its best batch size.

    Args:
        model: takes (B, 3, H, W); convolutions on a CPU run up to four times faster in channels-last.
        img_size: (3, H, W).
        device: where the model lies.
        batch_size: try this one alone, in channels-last: then the same call gives the same bits.
        amp: try under autocast to bfloat16.

    Raises:
        RuntimeError: what the network raises for a batch of one.
    """
    found = []
    for memory_format in FORMATS[:1] if batch_size else FORMATS:
        model.to(memory_format=memory_format)
        found.append(_fastest(model, img_size, memory_format, device, batch_size, amp))
    best = max(found, key=lambda one: one.images_per_second)
    model.to(memory_format=best.memory_format)
    return best


def _fastest(
    model: nn.Module,
    img_size: tuple[int, ...],
    memory_format: torch.memory_format,
    device: torch.device,
    batch_size: int | None,
    amp: bool,
) -> Speed:
    """Larger batches for as long as they gain; smaller ones if not even the first fits into memory."""
    sizes, best = [batch_size] if batch_size else list(BATCHES), None
    while sizes:
        size = sizes.pop(0)
        try:
            rate = _rate(model, img_size, size, memory_format, device, amp)
        except RuntimeError as error:
            if best is not None:
                break
            if size == 1 or not out_of_memory(error):
                raise
            sizes = [size // 2]
            continue
        if best is not None and rate < best.images_per_second * GAIN:
            break
        best = Speed(size, memory_format, rate)
    assert best is not None
    return best


def _rate(
    model: nn.Module,
    img_size: tuple[int, ...],
    size: int,
    memory_format: torch.memory_format,
    device: torch.device,
    amp: bool,
) -> float:
    images = torch.zeros(size, *img_size, device=device).contiguous(memory_format=memory_format)
    training, done = model.training, 0
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=amp):
            model(images)
            _wait(device)
            start = time.perf_counter()
            while done == 0 or time.perf_counter() - start < SECONDS:
                model(images)
                _wait(device)
                done += size
    finally:
        model.train(training)
    return done / (time.perf_counter() - start)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
