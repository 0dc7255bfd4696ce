"""Accuracy of the nearest neighbours among an encoder's features: a quick check that trains nothing."""

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
from a2mim.training.classifier import Echo, build_classifier, labelled_images, loaders
from a2mim.training.devices import pick_device


def nearest_neighbours(
    settings: FinetuneSettings,
    checkpoint: str | Path | None = None,
    *,
    folder: str | Path | None = None,
    echo: Echo = print,
    **reading: Any,
) -> dict[str, Any]:
    """Classify the validation images by their neighbours among the training images (all of them, or ``limit``).

    The encoder is what the checkpoint holds, without its classifier; both sets are looked at without augmentation.

    Args:
        settings, checkpoint, reading: as in ``finetuning.finetune``; ``knn_k`` and ``knn_temperature`` count.
        folder: where knn.json is written, with the result and every setting.

    Returns:
        top1 and top5 in per cent, and what they rest on.

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
        about = {"checkpoint": None if checkpoint is None else str(checkpoint), "settings": settings.as_values()}
        files.write_json(Path(folder) / "knn.json", {**result, **about})
    echo(
        f"k-NN top-1 {top1:.2f} %, top-5 {top5:.2f} % of {images} images, from {len(bank[0])} "
        f"(k {settings.knn_k}, T {settings.knn_temperature:g}, {bank[0].shape[1]} features of {settings.model})"
    )
    return result


@torch.inference_mode()
def normalised_features(model: nn.Module, batches: Iterable[Batch]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of an encoder scaled to length one, float32 (n, width), and their labels (n,), on the model's device."""
    model.eval()
    device = next(model.parameters()).device
    features, labels = [], []
    for batch in batches:
        features.append(F.normalize(model(batch.images.to(device)).flatten(1).float(), dim=1))
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
    """What the k most similar features of the bank say of each query: Σ exp(similarity / T) by class (Wu et al., 2018).

    The bank is gone through in chunks, so that no matrix of all similarities is ever held.

    Args:
        queries: (Q, width), length one. bank: (n, width), length one; labels: int64 (n,).
        k: neighbours that vote; all when the bank has fewer.
        temperature: T.
        chunk: features of the bank compared at once.

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
    """Top-1 and top-5 in per cent, and the number, of the queries, which come batch by batch: (B, width) and (B,).

    Processes give each its own queries. ``options`` are those of ``votes``; with fewer than five classes top-5 counts
    as many as there are.

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
        raise InputError("there is no image to evaluate on")
    return 100 * all_first / all_images, 100 * all_five / all_images, int(all_images)
