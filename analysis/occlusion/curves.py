"""Robustness against occlusion (section 3.1 of the paper): accuracy when a share of the patches is hidden.

Sources: "Architecture-Agnostic Masked Image Modeling – From ViT back to CNN" (arXiv 2205.13943), section 3.1;
"Intriguing Properties of Vision Transformers" (arXiv 2105.10497), which measured it first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from a2mim import seeds
from a2mim.errors import InputError, RunError
from a2mim.masking import FILLS, paste, replacement

from ..core.arrays import Bools, Floats
from ..core.networks import check_logits, check_model, eval_mode, memory_format
from .masks import n_masked, occlusion_masks
from .settings import PATCHES, RATIOS

Saliency = Callable[[torch.Tensor], torch.Tensor]  # images (B, 3, H, W) -> (B, rows, cols), larger = more salient


@dataclass(frozen=True)
class OcclusionResult:
    """Whether each image was classified correctly, in each run and at each ratio, and how that was got.

    ``correct`` is bool (images, runs, ratios); ``accuracy`` (runs, ratios), 0 to 1, is its mean over the images.
    """

    ratios: tuple[float, ...]
    correct: Bools = field(repr=False)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def n_images(self) -> int:
        return len(self.correct)

    @property
    def accuracy(self) -> Floats:
        return self.correct.mean(axis=0)

    def to_frame(self) -> pd.DataFrame:
        """One row for each run and ratio: run, ratio, accuracy, n_images."""
        rows = [
            {"run": run, "ratio": ratio, "accuracy": value, "n_images": self.n_images}
            for run, values in enumerate(self.accuracy)
            for ratio, value in zip(self.ratios, values, strict=True)
        ]
        return pd.DataFrame(rows)


@dataclass(frozen=True)
class Occlusion:
    """How images are occluded; see ``sweep``."""

    grid: tuple[int, int]
    ratios: tuple[float, ...] = RATIOS
    runs: int = 5
    fill: str = "dataset-mean"
    patches: str = "random"
    nested: bool = False
    batch_shared_mask: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.grid) < 1:
            raise InputError(f"occlusion grid {self.grid[0]}x{self.grid[1]} has no cells")
        if not self.ratios or not all(0 <= ratio <= 1 for ratio in self.ratios):
            raise InputError(f"occlusion ratios {list(self.ratios)} must be one or more numbers from 0 to 1")
        if self.runs < 1:
            raise InputError(f"{self.runs} runs: at least one is needed")
        if self.fill not in FILLS:
            raise InputError(f"unknown fill '{self.fill}'; known: {', '.join(FILLS)}")
        if self.patches not in PATCHES:
            raise InputError(f"unknown choice of patches '{self.patches}'; known: {', '.join(PATCHES)}")

    def same(self, ratio: float) -> bool:
        """Whether all runs see the same images at this ratio: nothing is drawn for it."""
        cells = self.grid[0] * self.grid[1]
        hidden = n_masked(ratio, cells)
        return hidden == 0 or (self.fill != "noise" and (hidden == cells or self.patches != "random"))

    def masks(self, indices: Sequence[int], ratio: float, run: int, rank: torch.Tensor | None) -> torch.Tensor:
        """bool (B, rows, cols), True = masked; ``rank`` (B, rows·cols) are the places of cells that are not random."""
        if rank is not None:
            return (rank < n_masked(ratio, rank.shape[1])).view(-1, *self.grid)
        drawn_for = [0] if self.batch_shared_mask else indices
        drawn = occlusion_masks(drawn_for, self.grid, ratio, run=run, seed=self.seed, nested=self.nested)
        return drawn.expand(len(indices), -1, -1)


@torch.inference_mode()
def sweep(
    model: nn.Module,
    loader: Iterable[Any],
    *,
    grid: tuple[int, int],
    ratios: Sequence[float] = RATIOS,
    runs: int = 5,
    fill: str = "dataset-mean",
    patches: str = "random",
    nested: bool = False,
    batch_shared_mask: bool = False,
    saliency: Saliency | None = None,
    seed: int = 0,
    batch_size: int = 256,
    device: torch.device | str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    progress: str | None = None,
) -> OcclusionResult:
    """Top-1 accuracy under occlusion: the share of images with argmax f(x') = y (section 3.1).

    Each image is read once for all ratios and runs; nothing is kept but whether it was right.

    Args:
        model: classifier, images (B, 3, H, W) -> logits (B, classes).
        loader: batches (images, labels) or (images, labels, indices), images normalised. Without indices images count
            from 0 in the loader's order, so that order must not be shuffled.
        grid: (rows, cols) of patches; they divide H and W.
        ratios: shares of hidden patches, 0 to 1.
        runs: masks for each image and ratio.
        fill: what replaces hidden patches (see ``a2mim.masking.replacement``).
        patches: which to hide: ``random``, or those of the highest (``salient``) or lowest (``non-salient``) saliency
            first; these draw nothing, so that all runs are one.
        nested: hide at every ratio what was hidden at the smaller ones.
        batch_shared_mask: one mask for all images in a run and ratio, as the published code draws it for a batch.
        saliency: for ``patches``; see ``a2mim.analysis.occlusion.saliency``.
        seed: of the masks.
        batch_size: occluded images in one forward pass, over several ratios and runs; speed and memory only.
        device: where the model lies; without it, the device of its first parameter.
        mean, std: normalisation, for ``fill="black"``.
        progress: label of a progress bar; none without it.

    Returns:
        ``OcclusionResult``.

    Example:
        >>> import torch
        >>> seen = lambda images: torch.stack([0.5 - images[:, 0, 0, 0], images[:, 0, 0, 0] - 0.5], dim=1)
        >>> model = torch.nn.Module()
        >>> model.forward = seen  # class 1 where the first patch is visible
        >>> batch = torch.ones(8, 3, 4, 4), torch.ones(8, dtype=torch.long), torch.arange(8)
        >>> sweep(model, [batch], grid=(2, 2), ratios=(0.0, 1.0), runs=1).accuracy.tolist()
        [[1.0, 0.0]]

    Raises:
        InputError: ratios outside 0 to 1, a grid that does not divide the images, labels that the classifier lacks, a
            model without a classifier, no images. RunError: logits that are not finite.
    """
    question = Occlusion(grid, tuple(ratios), runs, fill, patches, nested, batch_shared_mask, seed)
    place = torch.device(device) if device is not None else next(model.parameters(), torch.empty(0)).device
    found: list[Bools] = []
    bar = tqdm(loader, desc=progress, unit="batch", disable=None if progress else True)
    with bar as batches:
        for batch in batches:
            images, labels, indices = _unpack(batch, sum(map(len, found)))
            found.append(
                correct(
                    model,
                    images.to(place),
                    labels,
                    indices,
                    question,
                    saliency=saliency,
                    batch_size=batch_size,
                    mean=mean,
                    std=std,
                )
            )
    if not found:
        raise InputError("no images to occlude: the loader is empty")
    return OcclusionResult(tuple(ratios), np.concatenate(found), asdict(question))


@torch.inference_mode()
def correct(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    indices: Sequence[int],
    question: Occlusion,
    *,
    saliency: Saliency | None = None,
    batch_size: int = 256,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> Bools:
    """Whether each image is classified correctly: bool (B, runs, ratios). See ``sweep``."""
    check_model(model)
    span = int(labels.min()), int(labels.max())
    labels = labels.to(images.device)
    images = images.contiguous(memory_format=memory_format(model))
    rank = _rank(images, saliency, question)
    base = None
    if question.fill not in ("noise", "visible-mean"):  # the others do not depend on the mask
        base = replacement(images, question.fill, mean=mean, std=std)
    jobs = [
        (run, column)
        for column, ratio in enumerate(question.ratios)
        for run in range(1 if question.same(ratio) else question.runs)
    ]
    right = torch.zeros(len(jobs), len(images), dtype=torch.bool, device=images.device)
    finite = torch.ones((), dtype=torch.bool, device=images.device)
    step = max(1, batch_size // len(images))
    with eval_mode(model):
        for start in range(0, len(jobs), step):
            some = jobs[start : start + step]
            shown = _joined([_occluded(images, indices, question, run, column, base, rank) for run, column in some])
            logits = _joined([model(part) for part in shown.split(batch_size)])
            check_logits(logits, span)
            # both stay on the device: to read them here would make it wait for every mask
            right[start : start + step] = (logits.argmax(1) == labels.repeat(len(some))).view(len(some), -1)
            finite &= logits.isfinite().all()
    if not finite:
        raise RunError("the model gave logits that are not finite; are its weights sound?")
    answer = np.empty((len(images), question.runs, len(question.ratios)), dtype=bool)
    for (run, column), row in zip(jobs, right.cpu().numpy(), strict=True):
        answer[:, run:, column] = row[:, None]  # where all runs are equal, the first one counts for all
    return answer


def _occluded(
    images: torch.Tensor,
    indices: Sequence[int],
    question: Occlusion,
    run: int,
    column: int,
    base: torch.Tensor | None,
    rank: torch.Tensor | None,
) -> torch.Tensor:
    mask = question.masks(indices, question.ratios[column], run, rank).to(images.device)
    if images.shape[-2] % mask.shape[-2] or images.shape[-1] % mask.shape[-1]:
        raise InputError(
            f"a mask of {mask.shape[-2]}x{mask.shape[-1]} cells does not divide images of "
            f"{images.shape[-2]}x{images.shape[-1]} pixels"
        )
    if base is None:
        noise = question.fill == "noise"
        base = _noise(images, indices, run, question.seed) if noise else replacement(images, question.fill, mask=mask)
    return paste(images, base, mask)


def _joined(parts: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat(parts) if len(parts) > 1 else parts[0]  # cat copies, of one part too


def _rank(images: torch.Tensor, saliency: Saliency | None, question: Occlusion) -> torch.Tensor | None:
    """The place of each cell in the order in which cells are hidden, (B, rows·cols); None where that is random."""
    if question.patches == "random":
        return None
    if saliency is None:
        raise InputError(
            f"to hide '{question.patches}' patches first, give a saliency (a2mim.analysis.occlusion.saliency)"
        )
    found = saliency(images)
    check_saliency(found, question.grid)
    order = found.flatten(1).argsort(dim=1, descending=question.patches == "salient", stable=True)
    return order.argsort(dim=1)


def check_saliency(found: torch.Tensor, grid: tuple[int, int]) -> None:
    """Raise InputError unless a saliency (B, rows, cols) has the grid of the occlusion."""
    if tuple(found.shape[1:]) != tuple(grid):
        raise InputError(
            f"the saliency has a grid of {found.shape[1]}x{found.shape[2]}, the occlusion one of "
            f"{grid[0]}x{grid[1]}; give both the same grid"
        )


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
