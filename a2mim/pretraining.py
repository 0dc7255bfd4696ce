"""Pre-training: from settings to a method, images and training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from torch import nn

from a2mim import distributed, seeds
from a2mim.data import ImageLoader, open_images
from a2mim.methods import METHODS
from a2mim.settings import PretrainSettings
from a2mim.training import engine
from a2mim.training.devices import pick_device, place
from a2mim.training.runs import Run


def pretrain(
    settings: PretrainSettings,
    *,
    output: str | Path = "runs",
    experiment: str = "pretrain",
    resume: Path | None = None,
    on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    echo: Callable[[str], None] = print,
    command: str = "",
    recipe: str = "",
) -> Run:
    """Pre-train an encoder; returns the run, whose folder holds the checkpoints.

    Args:
        settings: see ``PretrainSettings``; None follows from the model and the data.
        output, experiment: the run's folder is ``output/experiment``, with a number if that exists.
        resume: folder of a run to continue.
        on_epoch_end: called with (epoch, model, run) after each epoch.
        echo: receives the lines that say what happens.
        command, recipe: the command line and the recipe's name, kept in the log and in checkpoints.

    Raises:
        InputError: settings that cannot be used. RunError, OSError: the run had to end; what it saved is intact.
    """
    device = pick_device(settings.device)
    source = open_images(settings.dataset, settings.data_dir, "train", **settings.reading())
    given = settings
    for note in source.notes:
        echo(f"note: {note}")
    settings = dataclasses.replace(settings, mean=settings.mean or source.mean, std=settings.std or source.std)
    method = METHODS[settings.method]
    with seeds.isolated(settings.seed, "weights"):
        model = method.create_model(settings, source.img_size)
    settings = method.resolved(settings, model)
    place(model, device, settings)
    transform = method.transform(settings, model)
    loading = {**settings.loading(), "pin_memory": device.type == "cuda"}
    loader = ImageLoader(source, transform, shuffle=True, drop_last=True, limit=settings.limit, **loading)
    lr, how = settings.learning_rate(settings.batch_size * settings.grad_accum_steps * distributed.world())
    updates = settings.epochs * math.ceil(len(loader) / settings.grad_accum_steps)
    task = method(model, settings, lr, updates)
    echo(task.summary())
    echo(how)
    for line in task.remarks(given):
        echo(line)
    return engine.train(
        task,
        loader,
        settings,
        output=output,
        experiment=experiment,
        resume=resume,
        on_epoch_end=on_epoch_end,
        echo=echo,
        command=command,
        recipe=recipe,
    )
