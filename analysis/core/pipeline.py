"""What all analyses share on the way from checkpoints to files: networks, images, settings, shares of the work.

Each ``*_pipeline`` module holds the functions behind commands of ``a2mim-analyze``: they load the checkpoints through
the one loader, read the same images for all of them, run one analysis and write
``<output>/<analysis>.csv .json .png .pdf``. The measuring itself is in the analysis' own module.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from a2mim import files
from a2mim.checkpoint import LoadReport, load_encoder
from a2mim.data import ImageLoader, ImageSource, eval_transform, open_images
from a2mim.errors import InputError
from a2mim.training.devices import pick_device

from . import speed
from .class_map import MappedSource, mapped

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
    workers: int | None = None  # None: four for files, none for the embedded images, which are in memory
    class_map: str | None = None  # see ``class_map``
    classes: str | None = None  # these sub-folders of data_dir alone; see ``open_images``

    def or_limit(self, limit: int) -> Images:
        """These images, and no more than ``limit`` where no number was given."""
        return self if self.limit else replace(self, limit=limit)

    def source(self) -> ImageSource:
        """The images, with the labels that the map gives them.

        Raises:
            InputError: fewer images than ``limit``, or what the source or the map raises.
        """
        source = mapped(open_images(self.dataset, self.data_dir, self.split, classes=self.classes), self.class_map)
        if self.limit and self.limit > len(source):
            raise InputError(f"{self.limit} images asked for, {source.name} has {len(source)} ({self.split})")
        return source

    def loader(self, report: LoadReport, batch_size: int = 64) -> ImageLoader:
        """The images as this network takes them: its size and its normalisation."""
        transform = eval_transform(report.input_size[1:], report.mean, report.std)
        workers = self.workers
        if workers is None:
            workers = 0 if self.embedded else min(4, os.cpu_count() or 1)
        options: dict[str, Any] = dict(batch_size=batch_size, seed=self.seed, workers=workers, limit=self.limit)
        return ImageLoader(self.source(), transform, pin_memory=torch.cuda.is_available(), **options)

    @property
    def embedded(self) -> bool:
        """Whether they are those that come with the package."""
        return self.dataset == "fashion" and self.data_dir is None

    def describe(self) -> dict[str, Any]:
        """What names the images, whatever the speed at which they are read."""
        return {key: value for key, value in vars(self).items() if key != "workers"}


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


def load_classifiers(checkpoints: Sequence[str], images: Images, **options: Any) -> list[Subject]:
    """``load_subjects``, the shipped classifiers without checkpoints; raises InputError unless the labels fit all."""
    subjects = load_subjects(checkpoints or CLASSIFIERS, load_encoder, **options)
    source = images.source()
    for subject in subjects:
        check_classifier(subject, source)
    return subjects


def auto_grid(img_size: Sequence[int]) -> tuple[int, int]:
    """The paper's 14x14 cells (16 pixels at 224) where 14 divides the image, else its largest divisor below 14."""
    rows, cols = (next(cells for cells in range(14, 0, -1) if side % cells == 0) for side in img_size)
    return rows, cols


def check_classifier(subject: Subject, source: ImageSource) -> None:
    """Raise InputError unless the model has a classifier and the images have labels that fit it."""
    if not subject.report.has_classifier:
        raise InputError(
            f"{subject.report.path} has no classifier; fine-tune it first: a2mim-finetune {subject.report.path}"
        )
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and this analysis needs them: one sub-folder for each class")
    if isinstance(source, MappedSource):
        source.check(subject.report.num_classes, subject.name)
    elif len(source.classes) != subject.report.num_classes:
        raise InputError(
            f"{source.name} has {len(source.classes)} classes, {subject.name} tells {subject.report.num_classes} apart"
            "; where the images are of some of its classes, say which: --class-map FILE (JSON, folder name -> number "
            "of the class), or --class-map imagenet-1k for folders named after synsets"
        )


def place_of(subject: Subject) -> torch.device:
    """Where the network lies."""
    return next(subject.model.parameters()).device


def share(shard: tuple[int, int] | None, device: str) -> tuple[tuple[int, int], str]:
    """Which share (k, n) of the work is this process's, and its device; torchrun says it in the environment."""
    if shard is not None:
        if not 0 <= shard[0] < shard[1]:
            raise InputError(f"there is no shard {shard[0] + 1} of {shard[1]}")
        return shard, device
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and device == "auto" and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return (rank, world), device


def unfinished(count: int, what: str, shard: tuple[int, int], echo: Callable[[str], None]) -> bool:
    """Whether other shards have work to do before there are results; says so."""
    if count:
        echo(f"shard {shard[0] + 1}/{shard[1]} is done; {count} {what} of other shards are not there yet")
    return count > 0


def parts_folder(output: str | Path, analysis: str, name: str) -> Path:
    """Where the parts of a network lie."""
    safe = "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)
    return Path(output, f"{analysis}.parts", safe)


def tuned(
    subject: Subject,
    output: str | Path,
    analysis: str,
    batch_size: int | None,
    amp: bool = False,
    dry_run: bool = False,
) -> speed.Speed:
    """The network's format and batch size: those found when its parts were begun, so that their bits stay the same."""
    place = place_of(subject)
    path = parts_folder(output, analysis, subject.name) / f"speed-{place.type}-{batch_size or 'auto'}.json"
    found = None if path.exists() else speed.tune(subject.model, subject.report.input_size, place, batch_size, amp)
    if found and dry_run:
        return found
    found = speed.Speed.from_json(files.agree_json(path, found and found.to_json()))
    subject.model.to(memory_format=found.memory_format)
    return found


def digest(model: nn.Module) -> str:
    """A short name for the weights: parts of another network are not taken for this one's."""
    found = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return found.hexdigest()


def about(subjects: Sequence[Subject], device: str, started: float) -> dict[str, Any]:
    """What the settings file says beside the settings: the loader's reports, device, seconds since ``started``."""
    reports = {subject.name: subject.report.to_dict() for subject in subjects}
    return {"checkpoints": reports, "device": str(pick_device(device)), "duration": time.perf_counter() - started}


def described(analysis: str, settings: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    """The settings file of an analysis, from the settings of its parts and ``about``."""
    own = ("images", "name", "network", "chosen", "portions")
    return {
        "analysis": analysis,
        "settings": {key: value for key, value in settings[0].items() if key not in own},
        "images": settings[0]["images"],
        **({"chosen": settings[0]["chosen"]} if "chosen" in settings[0] else {}),
        "networks": {one["name"]: one["network"] for one in settings},
        **{key: value for key, value in about.items() if key != "duration"},
    }


def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several networks', with a first column ``checkpoint``."""
    table = pd.concat(dict(tables), names=["checkpoint"])
    return table.reset_index(level="checkpoint").reset_index(drop=True)
