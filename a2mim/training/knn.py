"""k-nearest-neighbour accuracy on an encoder's features: a quick check without training.

Weighted votes as in "Unsupervised Feature Learning via Non-Parametric Instance Discrimination" (Wu et al., 2018,
arXiv:1805.01978).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2mim import distributed, files
from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings
from a2mim.training import failures
from a2mim.training.classifier import Echo, build_classifier, labelled_images, loaders
from a2mim.training.devices import pick_device


def nearest_neighbours(
    settings: FinetuneSettings,
    checkpoint: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    echo: Echo = print,
    command: str = "",
    recipe: str = "",
    **reading: Any,
) -> dict[str, Any]:
    """Classify the validation images by their nearest training images (all of them, or ``limit``).

    The encoder is the checkpoint's, without its classifier; neither set is augmented.

    Args:
        settings, checkpoint, reading: as in ``finetuning.finetune``; ``knn_k`` and ``knn_temperature`` set the votes.
        folder: where knn.json is written, with the result and every setting.
        command, recipe: the command line and the recipe's name, kept in knn.json.

    Returns:
        top1 and top5 in per cent, and the numbers of images, neighbours and features behind them.

    Raises:
        InputError: settings or a checkpoint that cannot be used.
    """
    device = pick_device(settings.device)
    source, validation = labelled_images(settings, echo)
    model, settings = build_classifier(settings, checkpoint, source, echo, num_classes=0, **reading)
    model.to(device)
    bank_loader, query_loader = loaders(settings, source, validation, device, plain=True)
    options = {"k": settings.knn_k, "temperature": settings.knn_temperature}
    with distributed.group(device):
        bank = normalised_features(model, bank_loader)
        queries = (normalised_features(model, [batch]) for batch in query_loader)
        top1, top5, images = accuracy(bank, queries, len(source.classes), **options)
    result = {"top1": top1, "top5": top5, "images": images, "bank": len(bank[0]), "width": bank[0].shape[1], **options}
    if folder is not None and distributed.is_main():
        about = {
            "checkpoint": None if checkpoint is None else str(checkpoint),
            "command": command,
            "recipe": recipe,
            "settings": settings.as_values(),
        }
        files.write_json(Path(folder) / "knn.json", {**result, **about})
    echo(
        f"k-NN top-1 {top1:.2f} %, top-5 {top5:.2f} % of {images} images, from {len(bank[0])} "
        f"(k {settings.knn_k}, T {settings.knn_temperature:g}, {bank[0].shape[1]} features of {settings.model})"
    )
    return result


@torch.inference_mode()
def normalised_features(model: nn.Module, batches: Iterable[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of an encoder scaled to length 1, float32 (n, width), and labels (n,), on the model's device."""
    model.eval()
    device = next(model.parameters()).device
    features, labels = [], []
    for batch in batches:
        with failures.explained(batch.images.shape, failures.name_of(model)):
            found = model(batch.images.to(device))
        features.append(F.normalize(found.flatten(1).float(), dim=1))
        labels.append(batch.labels.to(device))
    return torch.cat(features), torch.cat(labels)


@torch.inference_mode()
def votes(
    queries: torch.Tensor,
    bank: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    *,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 16384,
) -> torch.Tensor:
    """Votes of the k most similar features of the bank for each query: Σ exp(similarity / T) by class.

    The bank is compared in chunks, so the matrix of all similarities is never held in memory.

    Args:
        queries: (Q, width), length 1. bank: (n, width), length 1; labels: int64 (n,).
        k: neighbours that vote; all if the bank has fewer.
        temperature: T, above 0.
        chunk: number of the bank's features compared at once.

    Returns:
        float32 (Q, num_classes).
    """
    best = queries.new_empty(len(queries), 0)
    classes = labels.new_empty(len(queries), 0)
    for part, part_labels in zip(bank.split(chunk), labels.split(chunk), strict=True):
        best = torch.cat([best, queries @ part.T], dim=1)
        classes = torch.cat([classes, part_labels.expand(len(queries), -1)], dim=1)
        best, places = best.topk(min(k, best.shape[1]), dim=1)
        classes = classes.gather(1, places)
    counted = queries.new_zeros(len(queries), num_classes)
    return counted.scatter_add_(1, classes, (best / temperature).exp())


def accuracy(
    bank: tuple[torch.Tensor, torch.Tensor],
    queries: Iterable[tuple[torch.Tensor, torch.Tensor]],
    num_classes: int,
    **options: Any,
) -> tuple[float, float, int]:
    """Top-1 and top-5 in per cent, and the number of queries, which come in batches: (B, width) and (B,).

    Each process gives its own queries. ``options`` are those of ``votes``; with fewer than five classes top-5 counts
    all of them.

    Raises:
        InputError: no query.
    """
    first = five = images = 0
    for features, labels in queries:
        counted = votes(features, *bank, num_classes, **options)
        ranked = counted.topk(min(5, num_classes), dim=1).indices == labels[:, None]
        first, five, images = first + int(ranked[:, 0].sum()), five + int(ranked.sum()), images + len(labels)
    all_first, all_five, all_images = distributed.total(first, five, images)
    if not all_images:
        raise InputError("there are no images to evaluate on: the validation part is empty or unreadable")
    return 100 * all_first / all_images, 100 * all_five / all_images, int(all_images)
