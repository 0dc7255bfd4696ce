"""Which folder of images is which class of a classifier: by the names of the classes, or by a map."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from timm.data import ImageNetInfo, infer_imagenet_subset

from a2mim.data import FolderImages, ImageSource
from a2mim.data.class_names import are_names, order_is_ambiguous, some_names, sort_classes
from a2mim.errors import InputError


class MappedSource(ImageSource):
    """A source whose labels are the numbers of a classifier that has more classes, or another order of them.

    Args:
        source: with labels.
        numbers: class of the classifier for each of the source's classes.
        classes: names of the classifier's classes, as far as they are known.
        whole: whether these are all that the classifier may have.
        indices: the images of the source that are left; None keeps all.
    """

    def __init__(
        self,
        source: ImageSource,
        numbers: Mapping[str, int],
        classes: tuple[str, ...],
        whole: bool,
        indices: np.ndarray | None = None,
    ):
        self.source, self.classes, self._whole = source, classes, whole
        self.name, self.mean, self.std = source.name, source.mean, source.std
        self.img_size, self.split = source.img_size, source.split
        self.skipped, self.notes = source.skipped, source.notes
        self.indices = indices
        self._names = tuple(name for name in source.classes if name in numbers)
        self._numbers = np.array([numbers.get(name, -1) for name in source.classes], np.int64)

    def check(self, num_classes: int, network: str) -> None:
        """Raise InputError, with the class that does not fit, unless the map fits a network of ``num_classes``."""
        if self._whole and len(self.classes) != num_classes:
            raise InputError(f"the class map has {len(self.classes)} classes, {network} has {num_classes}")
        for name in self._names:
            number = self._numbers[self.source.classes.index(name)]
            if number >= num_classes:
                raise InputError(
                    f"the class map makes {name} class {number}, and {network} has {num_classes} "
                    f"(0 to {num_classes - 1})"
                )

    def __len__(self) -> int:
        return len(self.source) if self.indices is None else len(self.indices)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        image, label = self.source[self._index(index)]
        return image, int(self._numbers[label]) if label >= 0 else -1

    def path(self, index: int) -> str:
        return self.source.path(self._index(index))

    def labels(self) -> np.ndarray | None:
        labels = self.source.labels()
        if labels is None:
            return None
        mine = np.where(labels >= 0, self._numbers[labels], -1)
        return mine if self.indices is None else mine[self.indices]

    def _index(self, index: int) -> int:
        return index if self.indices is None else int(self.indices[index])


class Outputs(NamedTuple):
    """What a classifier says of its outputs: the names of the classes (empty where it has none), and their number."""

    classes: Sequence[str]
    num_classes: int


def match_classes(
    source: ImageSource, networks: Mapping[str, Outputs]
) -> tuple[dict[str, ImageSource], tuple[str, ...]]:
    """The same images for every network, each with the labels of its classifier, matched by the names of classes.

    A class that one of the networks does not have is left out for all of them, so that they see the same images. A
    network without names of classes takes folder k for its output k, which is refused where torchvision and timm would
    number the folders differently. A source with a class map is taken as it is.

    Args:
        source: labelled images.
        networks: name of each network and its outputs.

    Returns:
        The source for each network, and lines for the user: what was left out, and what could not be compared.

    Raises:
        InputError: images without labels, no class in common, another number of classes, or an order that is not known.
    """
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and this analysis needs them: one sub-folder for each class")
    if isinstance(source, MappedSource):
        for network, outputs in networks.items():
            source.check(outputs.num_classes, network)
        return dict.fromkeys(networks, source), ()
    maps, notes = {}, []
    for network, outputs in networks.items():
        maps[network], lines = _numbers_by_name(source, network, outputs)
        notes += lines
    kept = [name for name in source.classes if all(name in numbers for numbers in maps.values())]
    if not kept:
        raise InputError(
            f"no class of {source.name} is in every network ({some_names(source.classes)}); measure each alone"
        )
    indices, lines = _indices_of(source, kept)
    found = {}
    for network, outputs in networks.items():
        numbers = {name: maps[network][name] for name in kept}
        as_it_is = indices is None and list(numbers.values()) == list(range(outputs.num_classes))
        names = tuple(outputs.classes) if _named(outputs) else source.classes
        found[network] = source if as_it_is else MappedSource(source, numbers, names, True, indices)
    return found, (*notes, *lines)


def _numbers_by_name(source: ImageSource, network: str, outputs: Outputs) -> tuple[dict[str, int], list[str]]:
    """The network's number of each of the source's classes that it has, and lines about what does not fit."""
    if not _named(outputs):
        _check_order(source, network, outputs)
        line = f"{network} does not name its classes: folder number k of {source.name} is taken for its output k"
        return {name: number for number, name in enumerate(source.classes)}, [line]
    names = list(outputs.classes)
    numbers = {name: names.index(name) for name in source.classes if name in set(names)}
    if not numbers:
        raise InputError(
            f"{network} has none of the {len(source.classes)} classes of {source.name} ({some_names(source.classes)}): "
            f"its {len(names)} are {some_names(names)}; if they are the same under other names, give --class-map FILE "
            "(JSON, folder name -> number of the class), or --class-map imagenet-1k for folders named after synsets"
        )
    if twice := [name for name in numbers if names.count(name) > 1]:
        raise InputError(f"{network} has {names.count(twice[0])} classes called {twice[0]}; give --class-map FILE")
    lines = []
    if unknown := [name for name in source.classes if name not in numbers]:
        lines.append(
            f"{network} has {len(numbers)} of the {len(source.classes)} classes of {source.name}; it lacks "
            f"{some_names(unknown)}"
        )
    if absent := len(names) - len(numbers):
        lines.append(f"{absent} of the {len(names)} classes of {network} have no images in {source.name}")
    if list(numbers.values()) != sorted(numbers.values()):
        lines.append(f"{network} numbers its classes in another order than the folders: labels follow the names")
    return numbers, lines


def _named(outputs: Outputs) -> bool:
    return len(outputs.classes) == outputs.num_classes and are_names(outputs.classes)


def _check_order(source: ImageSource, network: str, outputs: Outputs) -> None:
    """Raise InputError where outputs without names cannot be given to folders by their number."""
    if len(source.classes) != outputs.num_classes:
        raise InputError(
            f"{source.name} has {len(source.classes)} classes, {network} has {outputs.num_classes}; "
            "if the images are of some of its classes, say which: --class-map FILE (JSON, folder name -> number of the "
            "class), or --class-map imagenet-1k for folders named after synsets"
        )
    asked = isinstance(source, FolderImages) and source.class_order is None
    if asked and order_is_ambiguous(source.classes):
        by_name, by_number = (sort_classes(source.classes, order) for order in ("name", "number"))
        raise InputError(
            f"{network} does not name its classes, and their order depends on who trained it: {some_names(by_name)} "
            f"(by name, torchvision) or {some_names(by_number)} (by number, timm); give --class-order name or number"
        )


def _indices_of(source: ImageSource, kept: Sequence[str]) -> tuple[np.ndarray | None, list[str]]:
    """The images of the classes that are kept, None for all of them, and a line about the others."""
    left_out = [name for name in source.classes if name not in set(kept)]
    labels = source.labels()
    if not left_out:
        return None, []
    if labels is None:
        raise InputError(f"{some_names(left_out)}: {source.name} cannot leave out the images of a class")
    known = np.isin(labels, [source.classes.index(name) for name in kept])
    if known.all():
        return None, []
    if not known.any():
        raise InputError(f"{source.name} has no images of the classes that are left: {some_names(kept)}")
    classes = "class" if len(left_out) == 1 else "classes"
    line = f"left out {int((~known).sum())} images of {len(left_out)} {classes}: {some_names(left_out)}"
    return np.flatnonzero(known), [line]


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
        raise InputError(f"{source.name} has no labels, so there is nothing to map")
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
        raise InputError(f"class map {path}: it must be an object of folder names and numbers from 0 on")
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
