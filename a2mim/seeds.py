"""Random numbers by name: the seed of every draw is made from its purpose, so results never depend on the order.

The mask of image 17 in run 2 comes from ``generator(seed, "occlusion", 17, 2)``: the same bits for every model, batch
size, device and number of processes. Only ``reseed`` changes the global generators of Python, NumPy and torch;
``preserved`` and ``isolated`` restore them.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def derive(*parts: int | str) -> int:
    """A 63-bit seed from names and numbers; equal parts give equal seeds, on every machine."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator seeded with ``derive(*parts)``."""
    return torch.Generator(device).manual_seed(derive(*parts))


def numpy_generator(*parts: int | str) -> np.random.Generator:
    """A NumPy generator seeded with ``derive(*parts)``."""
    return np.random.default_rng(derive(*parts))


def reseed(*parts: int | str) -> None:
    """Seed the global CPU generators of Python, NumPy and torch with ``derive(*parts)``; use inside ``preserved``."""
    seed = derive(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Restore the global CPU generators of Python, NumPy and torch after the block.

    This takes ten times as long as a seed, so many small draws should share one block (see ``isolated``).
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
    """Seed the global CPU generators of Python, NumPy and torch inside the block, and restore them after it.

    For code of other libraries (data augmentations, weight initialisation) that draws from the global generators.
    """
    with preserved():
        reseed(*parts)
        yield
