"""Several processes that train one model: the number of this process, its share of a batch, sums over all.

``torchrun`` (or another launcher) sets RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT; without them a run is
one process and every function here returns its argument. torch is imported on first use, because settings and commands
call ``rank`` and ``world`` before anything heavy is loaded.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import datetime
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from a2mim.errors import InputError, RunError

if TYPE_CHECKING:
    import torch
    from torch import nn

TIMEOUT = 600  # seconds that a process waits for the others; A2MIM_TIMEOUT overrides it


def world() -> int:
    """The number of processes that train together."""
    return _number("WORLD_SIZE", 1)


def rank() -> int:
    """Number of this process among all, from 0."""
    return _number("RANK", 0)


def local_rank() -> int:
    """Number of this process among those of its machine: the GPU that it uses."""
    return _number("LOCAL_RANK", 0)


def is_main() -> bool:
    """Whether this process writes the run, prints and draws."""
    return rank() == 0


def share(values: torch.Tensor) -> torch.Tensor:
    """This process's rows of values drawn for the global batch: rank r of W has rows r·n/W to (r + 1)·n/W.

    All processes draw the same (W·B, ...) values from the same generator and take their part, so W processes compute
    what one would with a batch W times as large.

    Raises:
        ValueError: a number of rows that W does not divide.
    """
    if len(values) % world():
        raise ValueError(f"{len(values)} rows cannot be shared by {world()} processes")
    rows = len(values) // world()
    return values[rank() * rows : (rank() + 1) * rows]


def total(*numbers: float) -> list[float]:
    """The sums of these numbers over all processes, in float64. Every process must call this; all get the same."""
    if world() == 1:
        return [float(number) for number in numbers]
    import torch
    import torch.distributed as dist

    sums = torch.tensor(numbers, dtype=torch.float64)
    dist.all_reduce(sums)  # on the CPU: see ``group``
    return sums.tolist()


def union(values: Iterable[str]) -> set[str]:
    """The union of the processes' values. Every process must call this."""
    if world() == 1:
        return set(values)
    import torch.distributed as dist

    found: list[Any] = [None] * world()
    dist.all_gather_object(found, set(values))
    return set().union(*found)


def largest(number: int) -> int:
    """The maximum of this number over all processes. Every process must call this."""
    if world() == 1:
        return number
    import torch
    import torch.distributed as dist

    found = torch.tensor(number)
    dist.all_reduce(found, dist.ReduceOp.MAX)
    return int(found)


def gather(values: torch.Tensor) -> tuple[torch.Tensor, int]:
    """The rows of all processes, by rank and without gradient, and the index of this process's first row.

    Every process must call this. The numbers of rows may differ (an image could not be read).
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


@contextlib.contextmanager
def group(device: torch.device) -> Iterator[None]:
    """Join the processes inside the block: tensors on a GPU are sent by NCCL, those on the CPU by gloo.

    The others notice a process that died at their next step, and one that hangs after ``TIMEOUT`` seconds.

    Raises:
        RunError: the processes did not find each other, or one of them ended.
    """
    if world() == 1:
        yield
        return
    _meet(device)
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, RunError) or not _is_lost(error):
            raise
        atexit.unregister(_leave)  # the group is broken: leaving it would wait for the others
        raise RunError(
            f"process {rank()} of {world()} lost another one; see the message of that process ({_first_line(error)})"
        ) from error


def _meet(device: torch.device) -> None:
    """Join the processes once, also for several trainings in one command: torchrun's processes can meet only once."""
    import torch.distributed as dist

    if dist.is_initialized():
        return
    seconds = _number("A2MIM_TIMEOUT", TIMEOUT)
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        dist.init_process_group(backend, timeout=datetime.timedelta(seconds=seconds))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise RunError(f"the {world()} processes did not find each other at {where}: {_first_line(error)}") from error
    atexit.register(_leave)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


class Synchronised:
    """A loss whose backward pass leaves the mean gradient over all processes in ``model``.

    One process calls ``function`` directly, several through ``DistributedDataParallel``; the model and its names stay
    unchanged.

    Args:
        model: its trained weights are synchronised.
        function: computes with ``model``; its first return value is the loss.
    """

    def __init__(self, model: nn.Module, function: Callable[..., Any]):
        self.model, self.function = model, function
        self.step: nn.parallel.DistributedDataParallel | None = None

    def __call__(self, *inputs: Any) -> Any:
        if world() == 1:
            return self.function(*inputs)
        if self.step is None:
            self.step = self._parallel(inputs)
        return self.step(*inputs)

    def local(self) -> contextlib.AbstractContextManager[None]:
        """Inside the block, each process accumulates its own gradients, until the next pass outside."""
        # before the first pass there is nothing to skip: an additional mean does not change the mean of the sum
        return self.step.no_sync() if self.step is not None else contextlib.nullcontext()

    def _parallel(self, inputs: tuple[Any, ...]) -> nn.parallel.DistributedDataParallel:
        from torch import nn

        model, function = self.model, self.function

        class Step(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.model = model

            def forward(self, *inputs: Any) -> Any:
                return function(*inputs)

        # looking for weights without a gradient costs time in every step, so only if there are some
        unused = self._has_unused(inputs)
        return nn.parallel.DistributedDataParallel(Step(), find_unused_parameters=unused, gradient_as_bucket_view=True)

    def _has_unused(self, inputs: tuple[Any, ...]) -> bool:
        """Whether some weights get no gradient from the loss; found by one forward pass without side effects."""
        import torch

        generators = [value for value in inputs if isinstance(value, torch.Generator)]
        states = [generator.get_state() for generator in generators]
        # copies: mixing overwrites its input images
        given = [value if isinstance(value, torch.Generator) else copy.deepcopy(value) for value in inputs]
        buffers = [buffer.clone() for buffer in self.model.buffers()]
        device = next(self.model.parameters()).device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            nodes = [self.function(*given)[0].grad_fn]
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)
        with torch.no_grad():
            for buffer, kept in zip(self.model.buffers(), buffers, strict=True):
                buffer.copy_(kept)
        seen, reached = set(), set()
        while nodes:
            node = nodes.pop()
            if node is not None and node not in seen:
                seen.add(node)
                reached.add(id(getattr(node, "variable", None)))  # the weight of a leaf
                nodes += [following for following, _ in node.next_functions]
        return any(id(weight) not in reached for weight in self.model.parameters() if weight.requires_grad)


def mean(values: torch.Tensor, weight: float) -> torch.Tensor:
    """Σ weight·values / W over the W processes, on the values' own device."""
    if world() == 1:
        return values
    import torch.distributed as dist

    sums = values * (weight / world())
    dist.all_reduce(sums)
    return sums


def share_buffers(model: nn.Module) -> None:
    """Copy the buffers (running statistics) of the first process to all, so that all evaluate the same network."""
    if world() > 1:
        import torch.distributed as dist

        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)


def from_main(value: Any) -> Any:
    """The value of the first process; any object that can be pickled."""
    if world() == 1:
        return value
    import torch.distributed as dist

    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


def _is_lost(error: RuntimeError) -> bool:
    import torch.distributed as dist

    signs = ("gloo", "NCCL", "Connection closed", "Connection reset", "Broken pipe", "Timed out", "timeout")
    return isinstance(error, dist.DistError) or any(sign in str(error) for sign in signs)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "") if os.environ.get("WORLD_SIZE") and os.environ.get("RANK") else ""
    if not text:
        return default
    if not text.isdigit():
        raise InputError(f"{name}={text} must be a whole number")
    return int(text)
