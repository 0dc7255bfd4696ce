"""Which patches are hidden: at random, the same for every network, or the most and the least salient first."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from a2mim import seeds


def n_masked(ratio: float, n_patches: int) -> int:
    """M = round(ratio·N), halves up."""
    return math.floor(round(ratio * n_patches, 9) + 0.5)


def occlusion_masks(
    indices: Sequence[int],
    grid: tuple[int, int],
    ratio: float,
    *,
    run: int,
    seed: int = 0,
    nested: bool = False,
) -> torch.Tensor:
    """Masks of single images: M = round(ratio·N) patches each, drawn without replacement.

    The mask of image k in run r at a ratio is a function of (seed, k, r, ratio) alone, hence the same for every model,
    batch size, device and number of processes. ``nested`` draws one order of the patches for all ratios, so that the
    patches hidden at one ratio stay hidden at every larger one.

    Args:
        indices: k of each image, B numbers of 0 or more.

    Returns:
        bool (B, rows, cols), True = masked.
    """
    patches = grid[0] * grid[1]
    count = n_masked(ratio, patches)
    drawn = draws(indices, patches, seeds.derive(seed, "occlusion", run, "nested" if nested else f"{ratio:.6f}"))
    hidden = np.full(drawn.shape, count == patches)
    if 0 < count < patches:
        np.put_along_axis(hidden, np.argpartition(drawn, count - 1, axis=1)[:, :count], True, axis=1)
    return torch.from_numpy(hidden).view(len(indices), *grid)


def draws(indices: Sequence[int], cells: int, key: int) -> npt.NDArray[np.uint64]:
    """A random number for each cell of each image, (B, cells)."""
    counter = np.asarray(indices, dtype=np.uint64)[:, None] * np.uint64(cells) + np.arange(cells).astype(np.uint64)
    return _mix(counter, key)


def _mix(counter: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): one well-mixed number for each counter, without a generator's state."""
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
