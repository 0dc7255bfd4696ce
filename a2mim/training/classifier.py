"""A classifier to train or evaluate: labelled images, the network from a checkpoint or from scratch, and loaders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2mim import seeds
from a2mim.checkpoint import load_encoder
from a2mim.data import ImageLoader, ImageSource, check_labels, eval_transform, open_images, train_transform
from a2mim.encoders.build import build_encoder, default_img_size
from a2mim.encoders.sources import architecture
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings

Echo = Callable[[str], None]


def labelled_images(settings: FinetuneSettings, echo: Echo = print) -> tuple[ImageSource, ImageSource]:
    """The training and the validation images of a run.

    Raises:
        InputError: no images, or no labels.
    """
    source, validation = (
        open_images(settings.dataset, settings.data_dir, split, **settings.reading()) for split in ("train", "val")
    )
    check_labels(source)
    for note in dict.fromkeys((*source.notes, *validation.notes)):
        echo(f"note: {note}")
    if getattr(source, "split", "") == "all":
        echo(f"note: {source.name} has no folders train and val; accuracy is measured on the training images")
    return source, validation


def build_classifier(
    settings: FinetuneSettings,
    checkpoint: str | Path | None,
    source: ImageSource,
    echo: Echo = print,
    *,
    num_classes: int | None = None,
    **reading: Any,
) -> tuple[nn.Module, FinetuneSettings]:
    """The network, and the settings with values from the checkpoint and the images instead of None.

    Args:
        checkpoint: file, run folder or shipped name; None builds ``settings.model`` with random weights.
        source: training images; they give the number of classes, and what the checkpoint does not say.
        num_classes: outputs of the classifier; default: the classes of ``source``. 0 gives only the encoder.
        reading: ``which`` and ``trust`` of ``a2mim.load_encoder``.

    Raises:
        InputError: a checkpoint or settings that cannot be used, or a network for images of other channels.
    """
    classes = len(source.classes) if num_classes is None else num_classes
    with seeds.isolated(settings.seed, "weights"):
        if checkpoint is not None:
            model, found = _from_checkpoint(settings, checkpoint, classes, echo, **reading)
        else:
            model, found = _from_scratch(settings, classes, source.img_size)
        if settings.linear and classes:
            _freeze(model)
    size = found["img_size"]
    arch, args = architecture(found["arch"], found["model_args"])
    if (channels := args.get("in_chans", found.get("channels", 3))) != 3:
        raise InputError(f"{arch} takes images of {channels} channel(s) and the images have 3; give a network for 3")
    settings = dataclasses.replace(
        settings,
        model=arch,
        model_args={key: value for key, value in args.items() if key != "drop_path_rate"},
        img_size=size,
        mean=tuple(settings.mean or found.get("mean") or source.mean),
        std=tuple(settings.std or found.get("std") or source.std),
    )
    wanted = settings.test_img_size or size
    if settings.model_args.get("img_size", wanted) != wanted and not settings.model_args.get("dynamic_img_size"):
        raise InputError(
            f"{settings.model} is built for images of {size} pixels and cannot be tested at {wanted}: change "
            "--test-img-size"
        )
    return model, settings


def loaders(
    settings: FinetuneSettings,
    source: ImageSource,
    validation: ImageSource,
    device: torch.device,
    *,
    plain: bool = False,
) -> tuple[ImageLoader, ImageLoader]:
    """Loaders of training images, shuffled and augmented, and of validation images; each process gets its part.

    With ``plain``, training images come in order, without augmentation, and every process gets all of them.
    """
    mean, std = settings.mean or source.mean, settings.std or source.std
    size = settings.img_size or 224
    test = eval_transform(
        settings.test_img_size or size, mean, std, crop_pct=settings.crop_pct, interpolation=settings.interpolation
    )
    loading = {**settings.loading(), "pin_memory": device.type == "cuda"}
    validating = ImageLoader(validation, test, **loading)
    if plain:
        return ImageLoader(source, test, limit=settings.limit, **{**loading, "rank": 0, "world": 1}), validating
    augment = train_transform(size, mean, std, **settings.augmentation())
    loading = {**loading, "limit": settings.limit, "repeats": settings.aug_repeats}
    return ImageLoader(source, augment, shuffle=True, drop_last=True, **loading), validating


def _training_args(settings: FinetuneSettings) -> dict[str, Any]:
    """Arguments of the network that belong to its training, not to its architecture."""
    return {"drop_path_rate": settings.drop_path} if settings.drop_path else {}


def _from_checkpoint(
    settings: FinetuneSettings, checkpoint: str | Path, classes: int, echo: Echo, **reading: Any
) -> tuple[nn.Module, dict[str, Any]]:
    args = {**settings.model_args, **_training_args(settings)}
    model, report = load_encoder(checkpoint, settings.model, args, num_classes=classes, **reading)
    for line in report.remarks():
        echo(line)
    args, size = dict(report.model_args), settings.img_size
    if size and args.get("img_size", size) != size:
        raise InputError(f"{checkpoint} was built for images of {args['img_size']} pixels, not {size}")
    if settings.from_scratch:
        model, args = build_encoder(report.arch, args, num_classes=classes)
    size = size or report.input_size[1]
    return model, {
        "arch": report.arch,
        "model_args": args,
        "img_size": size,
        "channels": report.input_size[0],
        "mean": report.mean,
        "std": report.std,
    }


def _from_scratch(
    settings: FinetuneSettings, classes: int, native_size: int | None
) -> tuple[nn.Module, dict[str, Any]]:
    if settings.model is None:
        raise InputError("give a checkpoint to start from, or --model NAME to train from scratch")
    architecture(settings.model)  # an error here where the folder or the repository cannot be read
    size = settings.img_size or settings.model_args.get("img_size") or native_size
    args = {**settings.model_args, **_training_args(settings)}
    model, args = build_encoder(settings.model, args, num_classes=classes, img_size=(size, size) if size else None)
    return model, {"arch": settings.model, "model_args": args, "img_size": size or default_img_size(model)[0]}


def _freeze(model: Any) -> None:
    """Train only the classifier; it starts near zero, as in MoCo."""
    model.requires_grad_(False)
    heads = model.get_classifier()
    for head in heads if isinstance(heads, tuple) else (heads,):
        head.requires_grad_(True)
        for module in head.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=0.01)
                nn.init.zeros_(module.bias)
