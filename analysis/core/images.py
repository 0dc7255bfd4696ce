"""Which images an analysis looks at; the same for all its subjects."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import torch

from a2mim.checkpoint import LoadReport
from a2mim.data import FileImages, ImageLoader, ImageSource, eval_transform, open_images
from a2mim.errors import InputError

from .choices import PORTION
from .class_map import mapped


@dataclass(frozen=True)
class Images:
    """Which images an analysis looks at; the same for all its subjects.

    Args:
        dataset, data_dir, split, classes, class_order, value_range, exif_rotate: see ``a2mim.data.open_images``.
        limit: number of images, as many of each class as possible; None takes all.
        seed: seed for choosing images.
        workers: processes that read; None takes four for files, none for the embedded images, which are in memory.
        class_map: which folder is which class of the classifier; see ``class_map``.
        given: image files, instead of a data set.
    """

    dataset: str = "fashion"
    data_dir: str | None = None
    split: str = "val"
    limit: int | None = None
    seed: int = 0
    workers: int | None = None
    class_map: str | None = None
    classes: str | None = None
    class_order: str | None = None
    value_range: tuple[float, ...] | None = None
    exif_rotate: bool = False
    given: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.given and (self.limit is not None or not self.embedded):
            asked = f"{self.limit} images" if self.limit is not None else self.data_dir or self.dataset
            raise InputError(f"image files are given, and {asked} of a data set too; choose one of the two")

    def or_limit(self, limit: int) -> Images:
        """These images, and at most ``limit`` of them where no number was given."""
        return self if self.limit or self.given else replace(self, limit=min(limit, len(self.source())))

    def source(self) -> ImageSource:
        """The images, with the labels that the map gives them.

        Raises:
            InputError: fewer images than ``limit``, or what the source or the map raises.
        """
        if self.given:
            return FileImages(self.given)
        reading: dict[str, Any] = {"classes": self.classes, **self._reading()}
        source = mapped(open_images(self.dataset, self.data_dir, self.split, **reading), self.class_map)
        if self.limit and self.limit > len(source):
            raise InputError(f"{self.limit} images asked for, {source.name} has {len(source)} ({self.split})")
        return source

    def _reading(self) -> dict[str, Any]:
        """How files are read, where it is not as usual."""
        reading = {name: getattr(self, name) for name in ("class_order", "value_range", "exif_rotate")}
        return {name: value for name, value in reading.items() if value}

    def loader(self, report: LoadReport, batch_size: int = PORTION) -> ImageLoader:
        """The images as this network takes them: its size and its normalisation."""
        transform = eval_transform(report.input_size[1:], report.mean, report.std)
        workers = self.workers
        if workers is None:
            workers = 0 if self.embedded or self.given else min(4, os.cpu_count() or 1)
        options: dict[str, Any] = dict(batch_size=batch_size, seed=self.seed, workers=workers, limit=self.limit)
        return ImageLoader(self.source(), transform, pin_memory=torch.cuda.is_available(), **options)

    @property
    def embedded(self) -> bool:
        """Whether they are those that come with the package."""
        return self.dataset == "fashion" and self.data_dir is None

    def describe(self) -> dict[str, Any]:
        """What identifies the images, whatever the speed at which they are read."""
        if self.given:
            return {"dataset": "files", "seed": self.seed, "given": list(self.given)}
        keys = ("dataset", "data_dir", "split", "limit", "seed", "class_map", "classes")
        return {**{key: getattr(self, key) for key in keys}, **self._reading()}
