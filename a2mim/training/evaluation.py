"""How good a classifier is: top-1, top-5, cross-entropy, and the confusion matrix."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from a2mim import distributed, files
from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.training import failures

CONFUSION_CLASSES = 50  # more give a table with too many cells to read


@dataclass(frozen=True)
class Scores:
    """top1 and top5 in per cent, cross-entropy in nats, ``images`` evaluated.

    ``confusion`` int64 (classes, classes): images of the row's class that were predicted as the column's; None with
    more than ``CONFUSION_CLASSES`` classes.
    """

    top1: float
    top5: float
    cross_entropy: float
    images: int
    confusion: torch.Tensor | None

    def metrics(self, ending: str = "") -> dict[str, float]:
        """The scores named as in logs and summary.csv, with ``ending`` after each name."""
        return {f"top1{ending}": self.top1, f"top5{ending}": self.top5, f"val_loss{ending}": self.cross_entropy}


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterable[Batch]) -> Scores:
    """The scores of a classifier on labelled images, over all processes; each process gives its part of the images.

    With fewer than five classes ``top5`` counts all of them.

    Raises:
        InputError: no images, or images that the network does not take.
    """
    model.eval()
    device = next(model.parameters()).device
    first = five = images = classes = 0
    nats = 0.0
    confusion: torch.Tensor | None = None
    for batch in batches:
        with failures.explained(batch.images.shape, failures.name_of(model)):
            logits, labels = model(batch.images.to(device)).float(), batch.labels.to(device)
        classes = logits.shape[1]
        ranked = logits.topk(min(5, classes), dim=1).indices == labels[:, None]
        first, five, images = first + int(ranked[:, 0].sum()), five + int(ranked.sum()), images + len(labels)
        nats += F.cross_entropy(logits, labels, reduction="sum").item()
        if classes <= CONFUSION_CLASSES:
            cells = torch.bincount(labels * classes + logits.argmax(1), minlength=classes**2).cpu()
            confusion = cells if confusion is None else confusion + cells
    all_first, all_five, count, all_nats = distributed.total(first, five, images, nats)
    if not count:
        raise InputError("there are no images to evaluate on: the validation part is empty or unreadable")
    classes = distributed.largest(classes)  # a process may have had no images
    if classes <= CONFUSION_CLASSES:
        own = torch.zeros(classes**2, dtype=torch.int64) if confusion is None else confusion
        confusion = torch.tensor(distributed.total(*own.tolist())).long().view(classes, classes)
    return Scores(100 * all_first / count, 100 * all_five / count, all_nats / count, int(count), confusion)


def write_confusion(path: str | Path, confusion: torch.Tensor, classes: Sequence[str]) -> None:
    """Write a confusion matrix as a tidy table: label, predicted, images; one row per pair of classes."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["label", "predicted", "images"])
    for label, row in zip(classes, confusion.tolist(), strict=True):
        writer.writerows([label, predicted, count] for predicted, count in zip(classes, row, strict=True))
    files.write_text(path, text.getvalue())
