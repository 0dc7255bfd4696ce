"""From checkpoints to files: what ``a2mim-analyze`` does, callable from Python.

Each function loads the checkpoints through the one loader, reads the same images for all of them, runs one analysis and
writes ``<output>/<analysis>.csv .json .png .pdf``. The measuring itself is in the analysis' own module.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from torch import nn

from a2mim import seeds
from a2mim.checkpoint import LoadReport, load_encoder, load_masked_model
from a2mim.data import ImageLoader, ImageSource, eval_transform, open_images
from a2mim.devices import pick_device
from a2mim.errors import InputError
from a2mim.figures import occlusion as occlusion_figure
from a2mim.figures import reconstruction as reconstruction_figure
from a2mim.methods import MaskedMethod, masked_method
from a2mim.model import MaskedImageModel

from . import occlusion, outputs, reconstruction

CLASSIFIERS = ("fashion-vit-a2mim", "fashion-resnet-a2mim")
PRETRAINED = ("fashion-vit-pretrained", "fashion-resnet-pretrained")


@dataclass(frozen=True)
class Subject:
    """A network under analysis."""

    name: str
    model: nn.Module
    report: LoadReport


@dataclass(frozen=True)
class Images:
    """Which images an analysis looks at; the same for all its subjects."""

    dataset: str = "fashion"
    data_dir: str | None = None
    split: str = "val"
    limit: int | None = None
    seed: int = 0
    batch_size: int = 64
    workers: int = 0

    def or_limit(self, limit: int) -> Images:
        """These images, and no more than ``limit`` where no number was given."""
        return self if self.limit else replace(self, limit=limit)

    def source(self) -> ImageSource:
        return open_images(self.dataset, self.data_dir, self.split)

    def loader(self, report: LoadReport) -> ImageLoader:
        """The images as this network takes them: its size and its normalisation."""
        transform = eval_transform(report.input_size[1:], report.mean, report.std)
        options: dict[str, Any] = dict(
            batch_size=self.batch_size, seed=self.seed, workers=self.workers, limit=self.limit
        )
        return ImageLoader(self.source(), transform, **options)


def name_of(path: str) -> str:
    """What a checkpoint is called in tables: its run's folder for a file that every run has, its own stem otherwise."""
    file = Path(path)
    stem = file.name.removesuffix(".tar").removesuffix(file.suffix if file.is_file() else "")
    stem = stem.removesuffix(".pth").removesuffix(".safetensors")
    return file.parent.name if stem in ("last", "model_best", "backbone") else stem


def load_subjects(
    checkpoints: Sequence[str],
    load: Callable[..., tuple[nn.Module, LoadReport]],
    *,
    names: Sequence[str] = (),
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[Subject]:
    """Load every checkpoint and give each a name of its own; ``echo`` gets what the loader remarks on them.

    Raises:
        InputError: what the loader raises, or names that are not one for each checkpoint and all different.
    """
    if names and len(names) != len(checkpoints):
        raise InputError(f"{len(names)} names given for {len(checkpoints)} checkpoints")
    called = list(names) or [name_of(path) for path in checkpoints]
    if len(set(called)) < len(called):
        called = [str(path) for path in checkpoints]
    if len(set(called)) < len(called):
        raise InputError("the same checkpoint is given twice; tell them apart with --name")
    place = pick_device(device)
    subjects = []
    for name, path in zip(called, checkpoints, strict=True):
        model, report = load(path, **options)
        for remark in report.remarks():
            echo(f"{name}: {remark}")
        # NHWC is up to four times faster for convolutions on a CPU, and makes no odds to the rest
        subjects.append(Subject(name, model.to(place).to(memory_format=torch.channels_last), report))
    return subjects


def auto_grid(img_size: Sequence[int]) -> tuple[int, int]:
    """The paper's 14x14 cells (16 pixels at 224) where 14 divides the image, else its largest divisor below 14."""
    rows, cols = (next(cells for cells in range(14, 0, -1) if side % cells == 0) for side in img_size)
    return rows, cols


def run_occlusion(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    grid: tuple[int, int] | None = None,
    ratios: Sequence[float] = occlusion.RATIOS,
    runs: int = 5,
    fill: str = "dataset-mean",
    seed: int = 0,
    device: str = "auto",
    names: Sequence[str] = (),
    progress: bool = True,
    **loading: Any,
) -> dict[str, Path]:
    """Occlusion robustness (section 3.1) of one or several classifiers; returns the files written."""
    started = time.perf_counter()
    subjects = load_subjects(checkpoints or CLASSIFIERS, load_encoder, names=names, device=device, **loading)
    grid = grid or auto_grid(subjects[0].report.input_size[1:])
    tables = {}
    for subject in subjects:
        check_classifier(subject, images.source())
        result = occlusion.sweep(
            subject.model,
            images.loader(subject.report),
            grid=grid,
            ratios=ratios,
            runs=runs,
            fill=fill,
            seed=seed,
            mean=subject.report.mean,
            std=subject.report.std,
            progress=subject.name if progress else None,
        )
        tables[subject.name] = result.to_frame()
    settings = dict(grid=grid, ratios=list(ratios), runs=runs, fill=fill, seed=seed, device=device)
    return _write(output, "occlusion", tables, subjects, images, settings, occlusion_figure.plot, started)


def run_reconstruct(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    mask_ratio: float | None = None,
    mask_patch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    names: Sequence[str] = (),
    **loading: Any,
) -> dict[str, Path]:
    """Reconstruction panels (Figures 5, A2) of one or several pre-trained models; returns the files written.

    Six images by default. Masks default to those that each model was trained with, the square of inpainting among them,
    and are random cells where a size of cells is given; image k has the same mask for all models of the same settings.
    """
    started = time.perf_counter()
    images = images.or_limit(6)
    subjects = load_subjects(checkpoints or PRETRAINED, load_masked_model, names=names, device=device, **loading)
    tables, pictures = {}, {}
    for subject in subjects:
        draw = _masks(subject.report, mask_ratio, mask_patch_size)
        batch = next(iter(replace(images, batch_size=images.limit or 6).loader(subject.report)))
        mask = torch.cat([draw(seeds.generator(seed, "mask", k)) for k in batch.indices.tolist()])
        model = cast(MaskedImageModel, subject.model)
        place = model.mask_token.device
        panels = reconstruction.panels(model, batch.images.to(place), mask.to(place))
        pictures[subject.name] = {field: value.permute(0, 2, 3, 1).numpy() for field, value in panels._asdict().items()}
        tables[subject.name] = reconstruction.scores(panels, mask)
    settings = dict(mask_ratio=mask_ratio, mask_patch_size=mask_patch_size, seed=seed, device=device)
    plot = lambda _: reconstruction_figure.plot(pictures)  # noqa: E731
    return _write(output, "reconstruct", tables, subjects, images, settings, plot, started)


def _masks(report: LoadReport, ratio: float | None, cell: int | None) -> Callable[[torch.Generator], torch.Tensor]:
    """What draws one mask (1, h, w) for a pre-trained model."""
    trained = report.args
    method = MaskedMethod if cell else masked_method(trained.get("method", "a2mim"))
    assert method is not None  # what reconstructs was trained to
    cell = cell or trained.get("mask_patch_size") or 32
    ratio = trained.get("mask_ratio", 0.6) if ratio is None else ratio
    rounding = trained.get("mask_round", "ceil")
    height, width = report.input_size[1:]
    return lambda generator: method.masks(1, (height, width), generator, ratio=ratio, cell=cell, rounding=rounding)


def check_classifier(subject: Subject, source: ImageSource) -> None:
    """Raise InputError unless the model has a classifier and the images have labels that fit it."""
    if not subject.report.has_classifier:
        raise InputError(
            f"{subject.report.path} has no classifier; fine-tune it first: a2mim-finetune {subject.report.path}"
        )
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and this analysis needs them: one sub-folder for each class")
    if len(source.classes) != subject.report.num_classes:
        raise InputError(
            f"{source.name} has {len(source.classes)} classes, {subject.name} tells {subject.report.num_classes} apart"
        )


def _write(
    output: str | Path,
    analysis: str,
    tables: Mapping[str, pd.DataFrame],
    subjects: Sequence[Subject],
    images: Images,
    settings: Mapping[str, Any],
    plot: Callable[[pd.DataFrame], Any],
    started: float,
) -> dict[str, Path]:
    table = pd.concat(dict(tables), names=["checkpoint"])
    table = table.reset_index(level="checkpoint").reset_index(drop=True)
    about = {
        "analysis": analysis,
        "settings": dict(settings),
        "images": asdict(images),
        "checkpoints": {subject.name: asdict(subject.report) for subject in subjects},
    }
    return outputs.save(output, analysis, table, about, plot(table), duration=time.perf_counter() - started)
