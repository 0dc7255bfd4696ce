"""Robustness against occlusion (section 3.1): accuracy when a share of the patches is hidden at random."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from a2mim import seeds
from a2mim.errors import InputError, RunError
from a2mim.masking import FILLS, fill_masked

RATIOS = tuple(round(0.1 * step, 1) for step in range(11))


@dataclass(frozen=True)
class OcclusionResult:
    """Accuracy (0 to 1) for each run and ratio, and how it was got.

    ``accuracy`` is float64 (runs, ratios), over the same ``n_images`` images.
    """

    ratios: tuple[float, ...]
    accuracy: npt.NDArray[np.float64]
    n_images: int
    settings: dict[str, Any] = field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row for each run and ratio: run, ratio, accuracy, n_images."""
        rows = [
            {"run": run, "ratio": ratio, "accuracy": value, "n_images": self.n_images}
            for run, values in enumerate(self.accuracy)
            for ratio, value in zip(self.ratios, values, strict=True)
        ]
        return pd.DataFrame(rows)


def n_masked(ratio: float, n_patches: int) -> int:
    """M = round(ratio·N), halves up."""
    return math.floor(round(ratio * n_patches, 9) + 0.5)


def occlusion_masks(
    indices: Sequence[int], grid: tuple[int, int], ratio: float, *, run: int, seed: int = 0
) -> torch.Tensor:
    """Masks of single images: M = round(ratio·N) patches each, drawn without replacement.

    The mask of image k in run r at a ratio is a function of (seed, k, r, ratio) alone, hence the same for every model,
    batch size, device and number of processes.

    Args:
        indices: k of each image, B numbers of 0 or more.

    Returns:
        bool (B, rows, cols), True = masked.
    """
    patches = grid[0] * grid[1]
    key = seeds.derive(seed, "occlusion", run, f"{ratio:.6f}")
    cells = np.asarray(indices, dtype=np.uint64)[:, None] * np.uint64(patches) + np.arange(patches).astype(np.uint64)
    rank = _mix(cells, key).argsort(axis=1, kind="stable").argsort(axis=1)
    return torch.from_numpy(rank < n_masked(ratio, patches)).view(len(indices), *grid)


@torch.inference_mode()
def sweep(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    grid: tuple[int, int],
    ratios: Sequence[float] = RATIOS,
    runs: int = 5,
    fill: str = "dataset-mean",
    seed: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    progress: str | None = None,
) -> OcclusionResult:
    """Top-1 accuracy under random occlusion: the share of images with argmax f(x') = y (section 3.1).

    Each image is read once for all ratios and runs; nothing is kept but counts.

    Args:
        model: classifier, images (B, 3, H, W) -> logits (B, classes).
        loader: batches (images, labels) or (images, labels, indices), images normalised. Without indices images count
            from 0 in the loader's order, so that order must not be shuffled.
        grid: (rows, cols) of patches; they divide H and W.
        ratios: shares of hidden patches, 0 to 1.
        runs: masks for each image and ratio.
        fill: what replaces hidden patches (see ``a2mim.masking.replacement``).
        seed: of the masks.
        mean, std: normalisation, for ``fill="black"``.
        progress: label of a progress bar; none without it.

    Returns:
        ``OcclusionResult``.

    Raises:
        InputError: ratios outside 0 to 1, a grid that does not divide the images, labels that the classifier lacks, a
            model without a classifier, no images. RunError: logits that are no numbers.
    """
    _check(ratios, runs, fill)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    right = np.zeros((runs, len(ratios)), dtype=np.int64)
    images_seen = 0
    training = model.training
    model.eval()
    try:
        with tqdm(loader, desc=progress, unit="batch", disable=None if progress else True) as batches:
            for batch in batches:
                images, labels = batch[0].to(device), batch[1].to(device)
                indices = batch[2].tolist() if len(batch) > 2 else range(images_seen, images_seen + len(images))
                for column, ratio in enumerate(ratios):
                    for run in range(1 if _one_mask(ratio, grid, fill) else runs):
                        mask = occlusion_masks(list(indices), grid, ratio, run=run, seed=seed).to(device)
                        filling = _noise(images, indices, run, seed) if fill == "noise" else fill
                        occluded = fill_masked(images, mask, filling, mean=mean, std=std)
                        right[run, column] += _count_correct(model(occluded), labels)
                images_seen += len(images)
    finally:
        model.train(training)
    if not images_seen:
        raise InputError("no images to occlude: the loader is empty")
    for column, ratio in enumerate(ratios):
        if _one_mask(ratio, grid, fill):
            right[:, column] = right[0, column]
    settings = dict(grid=tuple(grid), ratios=tuple(ratios), runs=runs, fill=fill, seed=seed)
    return OcclusionResult(tuple(ratios), right / images_seen, images_seen, settings)


def _check(ratios: Sequence[float], runs: int, fill: str) -> None:
    if not ratios or not all(0 <= ratio <= 1 for ratio in ratios):
        raise InputError(f"occlusion ratios {list(ratios)} must be one or more numbers from 0 to 1")
    if runs < 1:
        raise InputError(f"{runs} runs: at least one is needed")
    if fill not in FILLS:
        raise InputError(f"unknown fill '{fill}'; known: {', '.join(FILLS)}")


def _one_mask(ratio: float, grid: tuple[int, int], fill: str) -> bool:
    """Whether all runs see the same images: nothing is hidden, or all is, by a fill that draws nothing."""
    patches = grid[0] * grid[1]
    hidden = n_masked(ratio, patches)
    return hidden == 0 or (hidden == patches and fill != "noise")


def _noise(images: torch.Tensor, indices: Iterable[int], run: int, seed: int) -> torch.Tensor:
    """White noise that belongs to the image and the run, not to the batch."""
    draws = [torch.randn(images.shape[1:], generator=seeds.generator(seed, "noise", k, run)) for k in indices]
    return torch.stack(draws).to(images)


def _count_correct(logits: torch.Tensor, labels: torch.Tensor) -> int:
    if logits.dim() != 2:
        raise InputError(f"the model gives {tuple(logits.shape)}, not logits (B, classes); has it a classifier?")
    if not bool(((labels >= 0) & (labels < logits.shape[1])).all()):
        raise InputError(
            f"labels {int(labels.min())} to {int(labels.max())} do not fit the model's {logits.shape[1]} classes"
        )
    if not bool(torch.isfinite(logits).all()):
        raise RunError("the model gave logits that are not finite; are its weights sound?")
    return int((logits.argmax(1) == labels).sum())


def _mix(counter: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): one well-mixed number for each counter, without a generator's state."""
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
