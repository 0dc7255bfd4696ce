"""Images of some of a classifier's classes: which folder is which class."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from timm.data import ImageNetInfo, infer_imagenet_subset

from a2mim.data import ImageSource
from a2mim.errors import InputError


class MappedSource(ImageSource):
    """A source whose labels are the classes of a classifier that knows more of them, or orders them otherwise.

    Args:
        source: with labels.
        numbers: class of the classifier for each of the source's classes.
        classes: names of the classifier's classes, as far as the map knows them.
        whole: whether these are all that the classifier may have.
    """

    def __init__(self, source: ImageSource, numbers: Mapping[str, int], classes: tuple[str, ...], whole: bool):
        self.source, self.classes, self._whole = source, classes, whole
        self.name, self.mean, self.std = source.name, source.mean, source.std
        self.img_size, self.split = source.img_size, source.split
        self._numbers = np.array([numbers[name] for name in source.classes])

    def check(self, num_classes: int, network: str) -> None:
        """Raise InputError, with the class that does not fit, unless the map is one to so many classes."""
        if self._whole and len(self.classes) != num_classes:
            raise InputError(f"the class map has {len(self.classes)} classes, {network} has {num_classes}")
        for name, number in zip(self.source.classes, self._numbers.tolist(), strict=True):
            if number >= num_classes:
                raise InputError(
                    f"the class map makes {name} class {number}, and {network} has {num_classes} "
                    f"(0 to {num_classes - 1})"
                )

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        image, label = self.source[index]
        return image, int(self._numbers[label])

    def path(self, index: int) -> str:
        return self.source.path(index)

    def labels(self) -> np.ndarray | None:
        labels = self.source.labels()
        return None if labels is None else self._numbers[labels]


def mapped(source: ImageSource, class_map: str | None) -> ImageSource:
    """The source with the labels of a classifier.

    Args:
        source: its ``classes`` are the names of its folders.
        class_map: None leaves it as it is; a JSON file {folder name: number of the class}; or the name of one of timm's
            lists of synsets (``imagenet-1k``, ``imagenet-21k``, ...) for folders that are named after them.

    Raises:
        InputError: images without labels, a map that cannot be read, or one that lacks a folder.
    """
    if class_map is None:
        return source
    if not source.classes:
        raise InputError(f"{source.name} has no labels, so that there is nothing to map")
    of_file = class_map.endswith(".json")
    numbers, classes = _from_file(Path(class_map)) if of_file else _from_timm(class_map)
    if lacking := [name for name in source.classes if name not in numbers]:
        raise InputError(
            f"class map {class_map} lacks {len(lacking)} of the {len(source.classes)} classes of {source.name}: "
            f"{', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}"
        )
    return MappedSource(source, numbers, classes, whole=not of_file)


def _from_file(path: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    try:
        numbers: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"class map {path} cannot be read: {error}") from error
    if not isinstance(numbers, dict) or not all(type(value) is int and value >= 0 for value in numbers.values()):
        raise InputError(f"class map {path}: it has to be an object of folder names and numbers from 0 on")
    names = {number: name for name, number in numbers.items()}
    return numbers, tuple(names.get(number, f"class {number}") for number in range(max(names, default=-1) + 1))


def _from_timm(name: str) -> tuple[dict[str, int], tuple[str, ...]]:
    subset = infer_imagenet_subset(name) or name
    try:
        synsets = ImageNetInfo(subset).label_names()
    except (AssertionError, FileNotFoundError, KeyError) as error:
        raise InputError(
            f"class map '{name}' is neither a .json file nor a list of synsets such as imagenet-1k"
        ) from error
    return {synset: number for number, synset in enumerate(synsets)}, tuple(synsets)
