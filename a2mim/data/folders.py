"""Images in folders: class sub-folders or a flat folder without labels, with or without train/ and val/ above them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from a2mim.data.sources import ImageSource, read_image
from a2mim.errors import InputError

EXTENSIONS = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
# the first name that is there counts
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
_WANTED = "class sub-folders of images, or images without sub-folders (then without labels)"


class FolderImages(ImageSource):
    """The images below a folder, sorted by class and name; the class of an image is the first sub-folder on its path.

    Layouts: ``class/**/image``, or ``image`` (flat, no labels, -1), each directly in ``data_dir`` or in its split
    folders (``train`` or ``training``; ``val``, ``valid``, ``validation`` or ``test``). Without split folders every
    image belongs to every split (``.split`` is ``all``). Classes are numbered by sorted name; those of ``train`` count
    for both splits. Hidden files and folders, and files with other endings than ``EXTENSIONS``, are passed over.

    ``only`` takes the class folders of these names alone, and each must be there; they are numbered by sorted name.
    """

    def __init__(self, data_dir: str | os.PathLike[str], split: str = "train", *, only: Collection[str] | None = None):
        if not os.path.isdir(data_dir):
            problem = "is a file, not a folder" if os.path.exists(data_dir) else "does not exist"
            raise InputError(f"the image folder {data_dir} {problem}")
        splits = _find_splits(Path(data_dir))
        if splits and split not in splits:
            raise InputError(
                f"{data_dir} has no images for the split {split!r}: looked for {'/, '.join(SPLIT_FOLDERS[split])}/, "
                f"found {', '.join(f'{folder.name}/' for folder in splits.values())}"
            )
        self.name = str(data_dir)
        self.split = split if splits else "all"
        self.root = splits.get(split, Path(data_dir))
        names = _class_names(self.root) if only is None else _chosen(self.root, only)
        self.classes = _reference_classes(splits, split, names) if only is None else names
        paths, labels = self._list(names)
        # one array of bytes: a list of a million strings would be copied, page by page, into every worker process
        self._paths = np.array([os.fsencode(path) for path in paths])
        self._labels = np.array(labels, dtype=np.int64)

    def _list(self, names: tuple[str, ...]) -> tuple[list[str], list[int]]:
        loose = [entry.name for entry in _entries(self.root) if _is_image(entry)]
        if (loose and names) or not (loose or names):
            raise InputError(f"{self.root} is no image folder: looked for {_WANTED}; found {describe(self.root)}")
        paths, labels = loose, [-1] * len(loose)
        number = {name: label for label, name in enumerate(self.classes)}
        for name in names:
            found = [os.path.join(name, path) for path in _images_below(self.root / name)]
            paths += found
            labels += [number[name]] * len(found)
        return paths, labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        path = self.path(index)
        return read_image(path, path), int(self._labels[index])

    def path(self, index: int) -> str:
        return os.path.join(self.root, os.fsdecode(self._paths[index]))

    def labels(self) -> np.ndarray | None:
        return self._labels if self.classes else None


class FileImages(ImageSource):
    """The given image files, in the order given, without labels and splits."""

    def __init__(self, paths: Sequence[str | os.PathLike[str]]):
        for path in paths:
            if not os.path.isfile(path):
                problem = "is a folder; give it as --data-dir" if os.path.isdir(path) else "does not exist"
                raise InputError(f"the image {path} {problem}")
        self.name = f"{len(paths)} given image{'s' if len(paths) > 1 else ''}"
        self.split = "all"
        self._paths = [os.fspath(path) for path in paths]

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return read_image(self._paths[index], self._paths[index]), -1

    def path(self, index: int) -> str:
        return self._paths[index]


def describe(folder: Path) -> str:
    """What is in a folder, in words for an error: numbers of sub-folders, images and other files, with examples."""
    entries = _entries(folder)
    folders = [f"{entry.name}/" for entry in entries if entry.is_dir()]
    images = [entry.name for entry in entries if _is_image(entry)]
    others = [entry.name for entry in entries if not entry.is_dir() and not _is_image(entry)]
    parts = []
    for names, kind in ((folders, "sub-folder"), (images, "image"), (others, "other file")):
        if names:
            shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
            parts.append(f"{len(names)} {kind}{'s' if len(names) > 1 else ''} ({shown})")
    return " and ".join(parts) or "nothing"


def _find_splits(root: Path) -> dict[str, Path]:
    """The folder of each split that is there; empty when ``root`` has no split folders."""
    names = {entry.name.lower(): entry.name for entry in _entries(root) if entry.is_dir()}
    splits = {
        split: root / names[synonyms[0]]
        for split, wanted in SPLIT_FOLDERS.items()
        if (synonyms := [name for name in wanted if name in names])
    }
    if len(splits) == 1:
        known = {name for wanted in SPLIT_FOLDERS.values() for name in wanted}
        if any(name not in known and _holds_images(root / names[name]) for name in names):
            return {}  # "train" among other classes: a picture of a train
    return splits


def _reference_classes(splits: dict[str, Path], split: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """The classes by which labels are numbered: those of the train folder, so that both splits agree."""
    if split == "train" or "train" not in splits or not names:
        return names
    known = _class_names(splits["train"])
    unknown = [name for name in names if name not in set(known)]
    if known and unknown:
        raise InputError(
            f"{splits[split]} has {len(unknown)} class folders that {splits['train']} lacks: "
            f"{', '.join(unknown[:3])}{', ...' if len(unknown) > 3 else ''} (it has {len(known)}: "
            f"{', '.join(known[:3])}{', ...' if len(known) > 3 else ''}); both need the same names"
        )
    return known or names


def _chosen(root: Path, only: Collection[str]) -> tuple[str, ...]:
    """The class folders named in ``only``, sorted; an error that names those that are not there."""
    there = {entry.name for entry in _entries(root) if entry.is_dir()}
    missing = sorted(set(only) - there)
    if not missing:
        missing = [name for name in sorted(only) if not _holds_images(root / name)]
    if missing:
        raise InputError(
            f"{root} lacks {len(missing)} of the {len(only)} classes asked for, or they hold no images: "
            f"{', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''}; found {describe(root)}"
        )
    return tuple(sorted(only))


def _class_names(root: Path) -> tuple[str, ...]:
    return tuple(entry.name for entry in _entries(root) if entry.is_dir() and _holds_images(root / entry.name))


def _holds_images(folder: Path) -> bool:
    return next(_images_below(folder), None) is not None


def _images_below(folder: Path) -> Iterator[str]:
    """Paths of the images at any depth, relative to ``folder``; links are followed, save back to a folder above."""
    pending = [""]
    while pending:
        inner = pending.pop()
        here = os.path.join(folder, inner)
        subfolders = []
        for entry in _entries(here):
            if _is_image(entry):
                yield os.path.join(inner, entry.name)
            elif entry.is_dir() and not (entry.is_symlink() and _leads_up(entry.path, here)):
                subfolders.append(os.path.join(inner, entry.name))
        pending += reversed(subfolders)


def _leads_up(link: str, folder: str) -> bool:
    target = os.path.realpath(link)
    return os.path.commonpath([target, os.path.realpath(folder)]) == target


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(EXTENSIONS) and entry.is_file()


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without hidden entries."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {os.fspath(folder)}: {error.strerror}") from error
