"""Fine-tuning and linear probing: what a pre-trained encoder is worth as a classifier (section 5.2)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2mim import engine, seeds
from a2mim.checkpoint import load_encoder
from a2mim.data import Batch, ImageLoader, eval_transform, open_images, train_transform
from a2mim.devices import pick_device
from a2mim.encoders import build_encoder, default_img_size
from a2mim.errors import InputError
from a2mim.optimisation import create_optimizer
from a2mim.runs import Run
from a2mim.settings import FinetuneSettings


class FinetuneTask(engine.BaseTask):
    """One step of supervised training: cross-entropy with smoothed labels."""

    best_metric: str | None = "top1"

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        validation: ImageLoader,
        description: dict[str, Any],
        *,
        smoothing: float = 0.0,
        linear: bool = False,
    ):
        self.model, self.optimizer, self.validation, self.description = model, optimizer, validation, description
        self.smoothing, self.linear = smoothing, linear

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if self.linear:  # the frozen encoder keeps its running statistics
            self.model.eval()
        logits = self.model(batch.images)
        loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=self.smoothing)
        return loss, {"train_top1": (logits.detach().argmax(1) == batch.labels).float().mean() * 100}

    @torch.inference_mode()
    def evaluate(self) -> dict[str, float]:
        """Top-1 accuracy in per cent, and the cross-entropy, of the validation images."""
        self.model.eval()
        device = next(self.model.parameters()).device
        right, nats, images = 0, 0.0, 0
        for batch in self.validation:
            logits, labels = self.model(batch.images.to(device)).float(), batch.labels.to(device)
            right += int((logits.argmax(1) == labels).sum())
            nats += F.cross_entropy(logits, labels, reduction="sum").item()
            images += len(labels)
        return {"top1": 100 * right / images, "val_loss": nats / images}

    def describe(self) -> dict[str, Any]:
        return {**self.description, "state_dict": self.model.state_dict()}


def finetune(
    settings: FinetuneSettings,
    checkpoint: str | Path | None = None,
    *,
    output: str | Path = "runs",
    experiment: str = "finetune",
    resume: Path | None = None,
    which: str | None = None,
    trust: bool = False,
    on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    echo: Callable[[str], None] = print,
) -> Run:
    """Train a classifier from a checkpoint (any that ``load_encoder`` reads) or from scratch; returns the run.

    Args:
        settings: see ``FinetuneSettings``; size and normalisation of the images default to the checkpoint's.
        checkpoint: file, run folder or shipped name; None trains ``settings.model`` from scratch.
        output, experiment, resume, on_epoch_end, echo: as in ``a2mim.pretrain.pretrain``.
        which, trust: of a checkpoint; as in ``a2mim.load_encoder``.

    Raises:
        InputError: settings or a checkpoint that cannot be used. RunError, OSError: the run had to end.
    """
    device = pick_device(settings.device)
    source = open_images(settings.dataset, settings.data_dir, "train")
    validation = open_images(settings.dataset, settings.data_dir, "val")
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and fine-tuning needs them: one sub-folder for each class")
    if getattr(source, "split", "") == "all":
        echo(f"note: {source.name} has no folders train and val; accuracy is measured on the training images")
    with seeds.isolated(settings.seed, "weights"):
        model, found = _model(
            settings, checkpoint, len(source.classes), source.img_size, echo, which=which, trust=trust
        )
    settings = dataclasses.replace(
        settings,
        model=found["arch"],
        model_args=found["model_args"],
        img_size=found["input_size"][1],
        mean=settings.mean or found["mean"] or source.mean,
        std=settings.std or found["std"] or source.std,
    )
    if settings.linear:
        _freeze(model)
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    lr, how = settings.learning_rate(settings.batch_size * settings.grad_accum_steps)
    decay = None if settings.linear else settings.layer_decay
    optimizer = create_optimizer(model, settings, lr, layer_decay=decay)
    pixels: Any = found["input_size"][1:], settings.mean, settings.std
    augment = train_transform(*pixels, **settings.augmentation())
    plain = eval_transform(*pixels, crop_pct=settings.crop_pct, interpolation=settings.interpolation)
    loading = {**settings.loading(), "pin_memory": device.type == "cuda"}
    train_loader = ImageLoader(source, augment, shuffle=True, drop_last=True, limit=settings.limit, **loading)
    val_loader = ImageLoader(validation, plain, **loading)
    description = {
        "kind": "finetune",
        "num_classes": len(source.classes),
        "classes": list(source.classes),
        **found,
        "mean": list(settings.mean or ()),
        "std": list(settings.std or ()),
    }
    task = FinetuneTask(model, optimizer, val_loader, description, smoothing=settings.smoothing, linear=settings.linear)
    start = "from scratch" if checkpoint is None or settings.from_scratch else f"from {checkpoint}"
    echo(f"{settings.model} {start}, {len(source.classes)} classes" + (", classifier alone" if settings.linear else ""))
    echo(how)
    return engine.train(
        task,
        train_loader,
        settings,
        output=output,
        experiment=experiment,
        resume=resume,
        on_epoch_end=on_epoch_end,
        echo=echo,
        start=start,
    )


def _model(
    settings: FinetuneSettings,
    checkpoint: str | Path | None,
    classes: int,
    native_size: int | None,
    echo: Callable[[str], None],
    **reading: Any,
) -> tuple[nn.Module, dict[str, Any]]:
    """The classifier, and what a checkpoint says of it."""
    training = {"drop_path_rate": settings.drop_path} if settings.drop_path else {}
    size = settings.img_size
    mean = std = None
    if checkpoint is not None:
        model, report = load_encoder(
            checkpoint, settings.model, {**settings.model_args, **training}, num_classes=classes, **reading
        )
        for line in report.remarks():
            echo(line)
        arch, args, mean, std = report.arch, dict(report.model_args), report.mean, report.std
        if size and args.get("img_size", size) != size:
            raise InputError(f"{checkpoint} was built for images of {args['img_size']} pixels, not {size}")
        size = size or report.input_size[1]
        if settings.from_scratch:
            model, args = build_encoder(arch, args, num_classes=classes)
    elif settings.model is None:
        raise InputError("give a checkpoint to start from, or --model NAME to train from scratch")
    else:
        arch, size = settings.model, size or settings.model_args.get("img_size") or native_size
        pair = (size, size) if size else None
        model, args = build_encoder(arch, {**settings.model_args, **training}, num_classes=classes, img_size=pair)
    args = {key: value for key, value in args.items() if key not in training}
    height, width = (size, size) if size else default_img_size(model)
    return model, {"arch": arch, "model_args": args, "input_size": [3, height, width], "mean": mean, "std": std}


def _freeze(model: Any) -> None:
    """Leave gradients to the classifier alone."""
    model.requires_grad_(False)
    heads = model.get_classifier()
    for head in heads if isinstance(heads, tuple) else (heads,):
        head.requires_grad_(True)
