"""Random numbers by name: every draw has a seed made of what it is for, so that results never depend on order.

The mask of image 17 in run 2 comes from ``generator(seed, "occlusion", 17, 2)``: the same bits for every model, batch
size, device and number of processes. Nothing here touches the global generators of Python, NumPy or torch, save
``reseed``, and ``preserved`` and ``isolated`` give them back.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def derive(*parts: int | str) -> int:
    """A 63-bit seed from any names and numbers; equal parts give equal seeds, on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded with ``derive(*parts)``."""
    return torch.Generator(device).manual_seed(derive(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded with ``derive(*parts)``."""
    return np.random.default_rng(derive(*parts))


def reseed(*parts: int | str) -> None:
    """Put the global CPU generators of Python, NumPy and torch at ``derive(*parts)``; only inside ``preserved``."""
    seed = derive(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """After the block the global CPU generators of Python, NumPy and torch stand where they stood before it.

    Keeping and giving back costs ten times as much as a seed: many small draws share one block (see ``isolated``).
    """
    kept = random.getstate(), np.random.get_state(), torch.random.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
        torch.random.set_rng_state(kept[2])


@contextlib.contextmanager
def isolated(*parts: int | str) -> Iterator[None]:
    """Inside, the global CPU generators of Python, NumPy and torch stand at ``derive(*parts)``; after, as before.

    For code of other libraries (data augmentations, weight initialisation) that draws from the global generators.
    """
    with preserved():
        reseed(*parts)
        yield
