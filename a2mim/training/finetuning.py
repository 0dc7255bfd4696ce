"""Fine-tuning and linear probing: how good a pre-trained encoder is as a classifier (section 5.2 of the paper)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from timm.utils import ModelEmaV3
from torch import nn

from a2mim import distributed
from a2mim.data import Batch, ImageLoader
from a2mim.settings import FinetuneSettings
from a2mim.training import engine
from a2mim.training.classifier import build_classifier, labelled_images, loaders
from a2mim.training.devices import pick_device, place
from a2mim.training.evaluation import evaluate, write_confusion
from a2mim.training.mixing import create_criterion, create_mixing
from a2mim.training.optimisation import create_optimizer
from a2mim.training.runs import Run


class FinetuneTask(engine.BaseTask):
    """One step of supervised training: mixing of images (if any), logits, cross-entropy.

    Args:
        model: network with a classifier, on its device.
        optimizer: optimiser of the trained weights.
        validation: images to evaluate on after each epoch.
        description: what checkpoints say about the model.
        settings: settings of the run.
        ema_warmup: updates in which the decay of the moving average rises.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        validation: ImageLoader,
        description: dict[str, Any],
        settings: FinetuneSettings,
        ema_warmup: int = 0,
    ):
        self.model, self.optimizer, self.validation, self.description = model, optimizer, validation, description
        self.linear = settings.linear
        self.mixing = create_mixing(settings, description["num_classes"])
        self.criterion = create_criterion(settings)
        self.ema = None
        if settings.model_ema:
            self.ema = ModelEmaV3(model, decay=settings.model_ema_decay, use_warmup=settings.model_ema_warmup)
        self.ema_decay, self.ema_warmup = settings.model_ema_decay, ema_warmup
        self.val_interval = settings.val_interval
        self.best_metric = "top1_ema" if self.ema else "top1"
        self.updates = 0
        self.best = -1.0  # top-1 of the best epoch, and its confusion matrix
        self.confusion: torch.Tensor | None = None

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if self.linear:  # the frozen encoder keeps its running statistics
            self.model.eval()
        images, labels = batch.images, batch.labels
        targets = labels
        if self.mixing is not None:
            images, targets = self.mixing(images, labels, generator)
            labels = targets.argmax(1)  # the class with the larger share
        logits = self.model(images)
        loss = self.criterion(logits.float(), targets)
        return loss, {"train_top1": (logits.detach().argmax(1) == labels).float().mean() * 100}

    def after_update(self) -> None:
        self.updates += 1
        if self.ema is not None:
            self.ema.decay = decay_at(self.ema_decay, self.updates, self.ema_warmup)
            self.ema.update(self.model, step=self.updates)

    def evaluate(self) -> dict[str, float]:
        """Top-1 and top-5 accuracy in per cent and cross-entropy on the validation images; the average's too."""
        scores = evaluate(self.model, self.validation)
        metrics = scores.metrics()
        if self.ema is not None:
            distributed.share_buffers(self.ema.module)  # averages of running statistics, which differ by process
            scores = evaluate(self.ema.module, self.validation)
            metrics.update(scores.metrics("_ema"))
        if scores.top1 > self.best:
            self.best, self.confusion = scores.top1, scores.confusion
        return metrics

    def describe(self) -> dict[str, Any]:
        averaged = {} if self.ema is None else {"state_dict_ema": self.ema.module.state_dict()}
        return {**self.description, "state_dict": self.model.state_dict(), **averaged}

    def extra_state(self) -> dict[str, Any]:
        averaged = None if self.ema is None else self.ema.module.state_dict()
        return {"updates": self.updates, "ema": averaged, "best": self.best, "confusion": self.confusion}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.updates, self.best = state.get("updates", 0), state.get("best", -1.0)
        self.confusion = state.get("confusion")
        if self.ema is not None:
            self.ema.module.load_state_dict(state["ema"])


def decay_at(decay: float, update: int, warmup: int) -> float:
    """The decay of the moving average at an update: it rises linearly from 0.9·decay during ``warmup`` updates.

    Notes:
        The warm-up of the published fine-tuning of ViT-B.
    """
    return decay * (1 - 0.1 * max(0.0, 1 - update / warmup)) if warmup else decay


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
    command: str = "",
    recipe: str = "",
) -> Run:
    """Train a classifier from a checkpoint (any that ``load_encoder`` reads) or from scratch; returns the run.

    Args:
        settings: see ``FinetuneSettings``; size and normalisation of the images default to the checkpoint's.
        checkpoint: file, run folder or shipped name; None trains ``settings.model`` from scratch.
        output, experiment, resume, on_epoch_end, echo: as in ``a2mim.pretraining.pretrain``.
        which, trust: as in ``a2mim.load_encoder``.
        command, recipe: the command line and the recipe's name, kept in the log and in checkpoints.

    Raises:
        InputError: settings or a checkpoint that cannot be used, or a network that does not take these images.
        RunError, OSError: the run had to end; what it saved is intact.

    Example::

        settings = FinetuneSettings(model="resnet10t", epochs=1, warmup_epochs=0, limit=64, batch_size=32, workers=0)
        run = finetune(settings, output="runs")
    """
    device = pick_device(settings.device)
    source, validation = labelled_images(settings, echo)
    model, settings = build_classifier(settings, checkpoint, source, echo, which=which, trust=trust)
    place(model, device, settings)
    train_loader, val_loader = loaders(settings, source, validation, device)
    lr, how = settings.learning_rate(settings.batch_size * settings.grad_accum_steps * distributed.world())
    optimizer = create_optimizer(model, settings, lr, layer_decay=settings.layer_decay)
    warmup = round(settings.model_ema_warmup_epochs * math.ceil(len(train_loader) / settings.grad_accum_steps))
    task = FinetuneTask(model, optimizer, val_loader, _description(settings, source.classes), settings, warmup)
    origin = resume or (None if settings.from_scratch else checkpoint)
    start = "from scratch" if origin is None else f"from {origin}"
    echo(f"{settings.model} {start}, {len(source.classes)} classes" + (", classifier alone" if settings.linear else ""))
    echo(how)
    if warning := average_that_stays(settings, math.ceil(len(train_loader) / settings.grad_accum_steps)):
        echo(warning)
    run = engine.train(
        task,
        train_loader,
        settings,
        output=output,
        experiment=experiment,
        resume=resume,
        on_epoch_end=on_epoch_end,
        echo=echo,
        start=start,
        command=command,
        recipe=recipe,
    )
    if task.confusion is not None and run.writes:
        write_confusion(run.path / "confusion.csv", task.confusion, source.classes)
    return run


def average_that_stays(settings: FinetuneSettings, updates_per_epoch: int) -> str | None:
    """A warning if the moving average cannot leave the starting weights: 1 / (1 - decay) exceeds the run's updates."""
    updates = settings.epochs * updates_per_epoch
    if not settings.model_ema or settings.model_ema_warmup or settings.model_ema_warmup_epochs:
        return None
    horizon = 1 / (1 - settings.model_ema_decay) if settings.model_ema_decay < 1 else math.inf
    if horizon <= updates:
        return None
    kept = settings.model_ema_decay**updates
    return (
        f"warning: with model_ema_decay {settings.model_ema_decay:g} the average spans about {horizon:,.0f} updates, "
        f"and this run has {updates:,}: {kept:.0%} of it will be the starting weights; add --model-ema-warmup or "
        "lower --model-ema-decay"
    )


def _description(settings: FinetuneSettings, classes: tuple[str, ...]) -> dict[str, Any]:
    """What checkpoints say about the model; its input size is that of the validation images."""
    side = settings.test_img_size or settings.img_size
    return {
        "kind": "finetune",
        "num_classes": len(classes),
        "classes": list(classes),
        "arch": settings.model,
        "model_args": settings.model_args,
        "input_size": [3, side, side],
        "mean": list(settings.mean or ()),
        "std": list(settings.std or ()),
    }
