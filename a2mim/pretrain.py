"""Pre-training with A2MIM: hide cells of the image, reconstruct them (section 4)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2mim import engine, seeds
from a2mim.data import Batch, ImageLoader, open_images, train_transform
from a2mim.devices import pick_device
from a2mim.losses import MIMLoss
from a2mim.masking import mask_grid, random_mask
from a2mim.model import MaskedImageModel, create_model
from a2mim.optimisation import create_optimizer
from a2mim.runs import Run
from a2mim.settings import PretrainSettings

DEFAULT_MODEL = "vit_small_patch16_224"  # the smaller of the paper's two ViTs


class PretrainTask(engine.BaseTask):
    """One step of A2MIM: draw masks, reconstruct, compare (Eq. 6)."""

    best_metric: str | None = None  # a lower reconstruction loss is not a better encoder (section 3.3)

    def __init__(
        self, model: MaskedImageModel, criterion: MIMLoss, optimizer: torch.optim.Optimizer, cell: int, ratio: float
    ):
        self.model, self.criterion, self.optimizer = model, criterion, optimizer
        self.grid = mask_grid(model.img_size, cell)
        self.ratio = ratio

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        mask = random_mask(len(batch.images), self.grid, self.ratio, generator)
        prediction = self.model(batch.images, mask)
        parts = self.criterion(prediction, batch.images, mask)
        return parts["loss"], {name: parts[name].detach() for name in ("spatial", "frequency")}

    def evaluate(self) -> dict[str, float]:
        return {}

    def describe(self) -> dict[str, Any]:
        model = self.model
        return {
            "kind": "pretrain",
            "arch": model.arch,
            "model_args": model.model_args,
            "mim_args": model.mim_args,
            "num_classes": 0,
            "input_size": [3, *model.img_size],
            "mean": list(model.mean),
            "std": list(model.std),
            "state_dict": model.state_dict(),
        }


def pretrain(
    settings: PretrainSettings,
    *,
    output: str | Path = "runs",
    experiment: str = "pretrain",
    resume: Path | None = None,
    on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    echo: Callable[[str], None] = print,
) -> Run:
    """Pre-train an encoder; returns the run, whose folder holds the checkpoints.

    Args:
        settings: see ``PretrainSettings``; what is None there follows from the model and the data.
        output, experiment: the run's folder is ``output/experiment``, with a number where that exists.
        resume: folder of a run to go on with.
        on_epoch_end: called with (epoch, model, run).
        echo: receives the lines that say what happens.

    Raises:
        InputError: settings that cannot be used. RunError, OSError: the run had to end; what it saved is intact.
    """
    device = pick_device(settings.device)
    source = open_images(settings.dataset, settings.data_dir, "train")
    settings = dataclasses.replace(settings, mean=settings.mean or source.mean, std=settings.std or source.std)
    with seeds.isolated(settings.seed, "weights"):
        model = _model(settings, source.img_size)
    settings = dataclasses.replace(
        settings,
        model=model.arch,
        model_args=model.model_args,
        img_size=model.img_size[0],
        mask_layer=model.site.name,
        mask_patch_size=settings.mask_patch_size or auto_cell(model.img_size[0]),
    )
    criterion = MIMLoss.from_preset(settings.loss, **settings.loss_changes())
    lr, how = settings.learning_rate(settings.batch_size * settings.grad_accum_steps)
    model.to(device)
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    optimizer = create_optimizer(model, settings, lr, lr_scales=_lr_scales(model, settings.mask_token_lr_scale))
    task = PretrainTask(model, criterion, optimizer, settings.mask_patch_size or 0, settings.mask_ratio)
    transform = train_transform(model.img_size, model.mean, model.std, **settings.augmentation())
    loading = {**settings.loading(), "pin_memory": device.type == "cuda"}
    loader = ImageLoader(source, transform, shuffle=True, drop_last=True, limit=settings.limit, **loading)
    rows, cols = task.grid
    echo(
        f"{model.arch}, mask token at {model.site.name} ({model.site.channels} channels, "
        f"{model.site.grid[0]}x{model.site.grid[1]}), {settings.mask_ratio:.0%} of {rows}x{cols} cells hidden"
    )
    echo(how)
    return engine.train(
        task,
        loader,
        settings,
        output=output,
        experiment=experiment,
        resume=resume,
        on_epoch_end=on_epoch_end,
        echo=echo,
    )


def auto_cell(side: int) -> int:
    """Pixels of a mask cell when none are given: the divisor of the side nearest to a seventh of it (32 at 224)."""
    divisors = [cell for cell in range(1, side + 1) if side % cell == 0]
    return min(divisors, key=lambda cell: abs(math.log(cell * 7 / side)))


def _model(settings: PretrainSettings, native_size: int | None) -> MaskedImageModel:
    args = dict(settings.model_args)
    if settings.drop_path:
        args["drop_path_rate"] = settings.drop_path
    model = create_model(
        settings.model or DEFAULT_MODEL,
        mask_layer=settings.mask_layer,
        model_args=args,
        img_size=settings.img_size or settings.model_args.get("img_size") or native_size,
        fill=settings.fill,
        token=settings.token,
        gamma=settings.gamma,
        mean=settings.mean,
        std=settings.std,
        pretrained=settings.pretrained,
    )
    if settings.drop_path:  # of the training, not of the architecture
        del model.model_args["drop_path_rate"]
    return model


def _lr_scales(model: MaskedImageModel, token_scale: float | None) -> dict[str, float]:
    """The published recipes move the token at a tenth of the learning rate in CNNs, and gamma everywhere."""
    if token_scale is None:
        token_scale = 0.1 if model.site.layout.order == "NCHW" else 1.0
    return {"mask_token": token_scale, "gamma": 0.1}
