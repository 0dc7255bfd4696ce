"""Several processes that train one model: who this process is, its share of a batch, sums over all.

``torchrun`` (or whatever starts the processes) says it by RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT;
without them a run is one process and every function here returns what it was given. torch is imported when first used,
because settings and commands ask ``rank`` and ``world`` before anything heavy is loaded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from a2mim.errors import InputError

if TYPE_CHECKING:
    import torch


def world() -> int:
    """How many processes train together."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Number of this process among all, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Number of this process among those of its machine: the GPU it takes."""
    return _number("LOCAL_RANK", 0)


def is_main() -> bool:
    """Whether this process writes the run, prints and draws."""
    return rank() == 0


def share(values: torch.Tensor) -> torch.Tensor:
    """This process's rows of what was drawn for the global batch: rank r of W has rows r·n/W to (r + 1)·n/W.

    All processes draw the same (W·B, ...) values from the same generator and each takes its part, so that W processes
    compute what one would with a batch W times as large.

    Raises:
        ValueError: rows that W does not divide.
    """
    if len(values) % world():
        raise ValueError(f"{len(values)} rows cannot be shared by {world()} processes")
    rows = len(values) // world()
    return values[rank() * rows : (rank() + 1) * rows]


def total(*numbers: float) -> list[float]:
    """The sums of these numbers over all processes, in float64; every process has to call this, and gets the same."""
    if world() == 1:
        return [float(number) for number in numbers]
    import torch
    import torch.distributed as dist

    sums = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(sums)  # on the CPU: see ``group``
    return sums.tolist()


def gather(values: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The rows of all processes, rank by rank and without gradient, and where this process's begin among them.

    Every process has to call this. The numbers of rows may differ, as they do where an image could not be read.
    """
    if world() == 1:
        return values.detach(), 0
    import torch
    import torch.distributed as dist

    counts = [values.new_zeros(1, dtype=torch.int64) for _ in range(world())]
    dist.all_gather(counts, counts[0] + len(values))
    rows = [int(count) for count in counts]
    padded = torch.nn.functional.pad(values.detach(), (0, 0) * (values.ndim - 1) + (0, max(rows) - len(values)))
    parts = [torch.empty_like(padded) for _ in rows]
    dist.all_gather(parts, padded.contiguous())
    return torch.cat([part[:count] for part, count in zip(parts, rows, strict=True)]), sum(rows[: rank()])


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "") if os.environ.get("WORLD_SIZE") and os.environ.get("RANK") else ""
    if not text:
        return default
    if not text.isdigit():
        raise InputError(f"{name}={text} must be a whole number; torchrun sets it")
    return int(text)
