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

from .games import _eval_mode

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
    order = _mix(cells, key).argsort(axis=1, kind="stable")
    hidden = np.zeros(cells.shape, dtype=bool)
    np.put_along_axis(hidden, order[:, : n_masked(ratio, patches)], True, axis=1)
    return torch.from_numpy(hidden).view(len(indices), *grid)


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
    device: torch.device | str | None = None,
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
        device: where the model lies; without it, the device of its first parameter.
        mean, std: normalisation, for ``fill="black"``.
        progress: label of a progress bar; none without it.

    Returns:
        ``OcclusionResult``.

    Raises:
        InputError: ratios outside 0 to 1, a grid that does not divide the images, labels that the classifier lacks, a
            model without a classifier, no images. RunError: logits that are no numbers.
    """
    _check(model, grid, ratios, runs, fill)
    place = torch.device(device) if device is not None else next(model.parameters(), torch.empty(0)).device
    same = [_one_mask(ratio, grid, fill) for ratio in ratios]
    right = torch.zeros(runs, len(ratios), dtype=torch.int64, device=place)
    images_seen = 0
    bar = tqdm(loader, desc=progress, unit="batch", disable=None if progress else True)
    with _eval_mode(model), bar as batches:
        for batch in batches:
            images, labels, indices = _unpack(batch, images_seen)
            span = int(labels.min()), int(labels.max())
            images, labels = images.to(place), labels.to(place)
            finite = torch.ones((), dtype=torch.bool, device=place)
            for column, ratio in enumerate(ratios):
                for run in range(1 if same[column] else runs):
                    mask = occlusion_masks(indices, grid, ratio, run=run, seed=seed).to(place)
                    filling = _noise(images, indices, run, seed) if fill == "noise" else fill
                    logits = model(fill_masked(images, mask, filling, mean=mean, std=std))
                    _check_logits(logits, span)
                    # both stay on the device: to read them here would make it wait for every mask
                    right[run, column] += (logits.argmax(1) == labels).sum()
                    finite &= logits.isfinite().all()
            if not finite:
                raise RunError("the model gave logits that are not finite; are its weights sound?")
            images_seen += len(images)
    if not images_seen:
        raise InputError("no images to occlude: the loader is empty")
    counts = right.cpu().numpy()
    counts[:, same] = counts[0, same]
    settings = dict(grid=tuple(grid), ratios=tuple(ratios), runs=runs, fill=fill, seed=seed)
    return OcclusionResult(tuple(ratios), counts / images_seen, images_seen, settings)


def _check(model: nn.Module, grid: tuple[int, int], ratios: Sequence[float], runs: int, fill: str) -> None:
    if getattr(model, "num_classes", None) == 0:  # timm's word for features without a classifier
        raise InputError("the model has no classifier (its num_classes is 0); fine-tune it first")
    if min(grid) < 1:
        raise InputError(f"occlusion grid {grid[0]}x{grid[1]} has no cells")
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


def _unpack(batch: Sequence[torch.Tensor], images_seen: int) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Images, labels (B,) and the images' numbers."""
    if len(batch) < 2:
        raise InputError("the loader gives images alone; occlusion needs batches (images, labels)")
    images, labels = batch[0], batch[1]
    if labels.shape != images.shape[:1]:
        raise InputError(f"labels must be one number for each of {len(images)} images, got {tuple(labels.shape)}")
    indices = batch[2].tolist() if len(batch) > 2 else list(range(images_seen, images_seen + len(images)))
    return images, labels, indices


def _check_logits(logits: torch.Tensor, labels: tuple[int, int]) -> None:
    """Shapes alone; ``labels`` are the lowest and the highest of the batch."""
    if logits.dim() != 2:
        raise InputError(f"the model gives {tuple(logits.shape)}, not logits (B, classes); has it a classifier?")
    if labels[0] < 0 or labels[1] >= logits.shape[1]:
        raise InputError(f"labels {labels[0]} to {labels[1]} do not fit the model's {logits.shape[1]} classes")


def _mix(counter: npt.NDArray[np.uint64], key: int) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood 2014): one well-mixed number for each counter, without a generator's state."""
    with np.errstate(over="ignore"):
        z = (counter + np.uint64(key)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
