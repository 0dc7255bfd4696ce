"""Images in folders: class sub-folders or a flat folder without labels, with or without train/ and val/ above them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from a2mim.data.class_names import some_names, sort_classes
from a2mim.data.pixels import Range, check_value_range, image_endings, range_of, read_image
from a2mim.data.sources import ImageSource
from a2mim.data.survey import survey
from a2mim.errors import InputError

# the first name that is there counts
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation", "test")}
_WANTED = "class sub-folders of images, or images without sub-folders (then without labels)"
_COUNTABLE = ("broken link", "circular link", "special file")
_KINDS = 6  # kinds of skipped files that a line names


class PathImages(ImageSource):
    """Images that are files: how their pixels are read, and what a look at a sample of them showed."""

    def _look(
        self, value_range: Range | None, exif_rotate: bool, others: Callable[[], Sequence[str]] = lambda: ()
    ) -> None:
        """Find the value ranges of images above 8 bits, count EXIF rotations, and write ``notes``.

        ``others`` lists images of other splits, which have to be scaled by the same ranges.
        """
        self.value_range, self.exif_rotate = check_value_range(value_range), exif_rotate
        self.survey = survey(len(self), self.path)
        if self.survey.kinds and (paths := others()):
            self.survey = self.survey.with_values_of(survey(len(paths), paths.__getitem__))
        for kind, (least, greatest) in self.survey.extremes.items():
            if self.value_range is None and kind not in self.survey.ranges:
                try:
                    range_of(least, greatest, kind)
                except ValueError as error:
                    raise InputError(f"{self.name}: {error}") from error
        lines = [skipped_line(self.skipped)] if self.skipped else []
        self.notes = (*lines, *self.survey.notes(self.value_range, exif_rotate))

    def _read(self, path: str) -> Image.Image:
        ranges = self.survey.ranges
        return read_image(path, path, value_range=self.value_range, ranges=ranges, exif_rotate=self.exif_rotate)


class FolderImages(PathImages):
    """The images below a folder, sorted by class and name; the class of an image is the first sub-folder on its path.

    Layouts: ``class/**/image``, or ``image`` (flat, no labels, -1), each directly in ``data_dir`` or in its split
    folders (``train`` or ``training``; ``val``, ``valid``, ``validation`` or ``test``). Without split folders every
    image belongs to every split (``.split`` is ``all``). Classes are numbered in the order of ``sort_classes``; those
    of ``train`` count for both splits. Hidden files and folders do not count. Files that Pillow does not decode, links
    that lead nowhere and sub-folders without images are skipped and counted in ``skipped``.

    Args:
        data_dir: the folder.
        split: ``train`` or ``val``.
        only: names of class folders; the others are left out, and each must be there.
        class_order: ``name`` or ``number``, see ``sort_classes``.
        value_range: values that become black and white in images with more than 8 bits, see ``read_image``.
        exif_rotate: turn images as their EXIF orientation says.

    Raises:
        InputError: no such folder, a layout that is not one of these, or values whose range is not known.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str],
        split: str = "train",
        *,
        only: Collection[str] | None = None,
        class_order: str | None = None,
        value_range: Range | None = None,
        exif_rotate: bool = False,
    ):
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
        skipped: Counter[str] = Counter()
        found = _images_by_folder(self.root, skipped, only)
        loose = found.pop("", [])
        if only is not None:
            _check_chosen(self.root, only, found)
        if bool(loose) == bool(found):
            raise InputError(f"{self.root} is not an image folder: looked for {_WANTED}; found {describe(self.root)}")
        names = sort_classes(found, class_order)
        self.classes = _reference_classes(splits, split, names, class_order) if only is None else names
        self.class_order = class_order
        self.skipped = dict(skipped)
        number = {name: label for label, name in enumerate(self.classes)}
        # one array of bytes: a list of a million strings would be copied, page by page, into every worker process
        self._paths = np.array([os.fsencode(path) for path in (loose or (path for n in names for path in found[n]))])
        counts = [len(found[name]) for name in names]
        self._labels = np.repeat(np.array([number[name] for name in names], np.int64), counts)
        if loose:
            self._labels = np.full(len(loose), -1, np.int64)
        self._look(value_range, exif_rotate, partial(_paths_below, set(splits.values()) - {self.root}))
        if question := self.question():
            self.notes = (question, *self.notes)

    def question(self) -> str:
        """What is doubtful in the labels, in one line: a single class, or a folder one level too deep; else empty."""
        if len(self.classes) != 1:
            return ""
        only = self.classes[0]
        inner = [f"{entry.name}/" for entry in _entries(self.root / only) if _is_folder(entry)]
        inner = [name for name in inner if holds_images(self.root / only / name)]
        if len(inner) > 1 or any(name[:-1].lower() in ("train", "val") for name in inner):
            return (
                f"{self.root} has one sub-folder, {only}/, which holds {len(inner)} sub-folders of images "
                f"({some_names(inner)}): if these are the classes, give {self.root / only} as --data-dir"
            )
        return f"{self.root} has one class alone, {only}"

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self._read(self.path(index)), int(self._labels[index])

    def path(self, index: int) -> str:
        return os.path.join(self.root, os.fsdecode(self._paths[index]))

    def names(self) -> list[str]:
        """Paths of all images, relative to ``root``."""
        return [os.fsdecode(path) for path in self._paths.tolist()]

    def labels(self) -> np.ndarray | None:
        return self._labels if self.classes else None


def check_labels(source: ImageSource) -> None:
    """Refuse images that no classifier can be trained on.

    Raises:
        InputError: no labels, one class alone, or a folder whose classes lie one level deeper.
    """
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and fine-tuning needs them: one sub-folder for each class")
    if len(source.classes) == 1:
        question = source.question() if isinstance(source, FolderImages) else f"{source.name} has one class alone"
        raise InputError(f"{question}; a classifier needs at least two classes")


class FileImages(PathImages):
    """The given image files, in the order given, without labels and splits; settings as in ``FolderImages``."""

    def __init__(
        self,
        paths: Sequence[str | os.PathLike[str]],
        *,
        value_range: Range | None = None,
        exif_rotate: bool = False,
    ):
        for path in paths:
            if not os.path.isfile(path):
                problem = "is a folder; give it as --data-dir" if os.path.isdir(path) else "does not exist"
                raise InputError(f"the image {path} {problem}")
        self.name = f"{len(paths)} given image{'s' if len(paths) > 1 else ''}"
        self.split = "all"
        self._paths = [os.fspath(path) for path in paths]
        self._look(value_range, exif_rotate)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self._read(self._paths[index]), -1

    def path(self, index: int) -> str:
        return self._paths[index]


def skipped_line(skipped: Mapping[str, int]) -> str:
    """What was skipped, in one line.

    >>> skipped_line({".txt": 5, ".pdf": 4, "broken link": 1})
    'skipped 10 files: 5 .txt, 4 .pdf, 1 broken link'
    """

    def counted(kind: str, count: int) -> str:
        return f"{count} {kind}{'s' if count > 1 and kind in _COUNTABLE else ''}"

    kinds = sorted(skipped.items(), key=lambda item: (-item[1], item[0]))
    total = sum(skipped.values())
    shown = [counted(kind, count) for kind, count in kinds[:_KINDS]]
    shown += [f"{sum(count for _, count in kinds[_KINDS:])} of other kinds"] if kinds[_KINDS:] else []
    return f"skipped {total} file{'s' if total > 1 else ''}: {', '.join(shown)}"


def describe(folder: Path) -> str:
    """What is in a folder, in words for an error: numbers of sub-folders, images and other files, with examples."""
    entries = _entries(folder)
    folders = [f"{entry.name}/" for entry in entries if _is_folder(entry)]
    images = [entry.name for entry in entries if _is_image(entry)]
    others = [entry.name for entry in entries if not _is_folder(entry) and not _is_image(entry)]
    parts = []
    for names, kind in ((folders, "sub-folder"), (images, "image"), (others, "other file")):
        if names:
            parts.append(f"{len(names)} {kind}{'s' if len(names) > 1 else ''} ({some_names(names)})")
    return " and ".join(parts) or "nothing"


def _find_splits(root: Path) -> dict[str, Path]:
    """The folder of each split that is there; empty when ``root`` has no split folders."""
    names = {entry.name.lower(): entry.name for entry in _entries(root) if _is_folder(entry)}
    splits = {
        split: root / names[synonyms[0]]
        for split, wanted in SPLIT_FOLDERS.items()
        if (synonyms := [name for name in wanted if name in names])
    }
    if len(splits) == 1:
        known = {name for wanted in SPLIT_FOLDERS.values() for name in wanted}
        if any(name not in known and holds_images(root / names[name]) for name in names):
            return {}  # "train" among other classes: a picture of a train
    return splits


def _reference_classes(
    splits: dict[str, Path], split: str, names: tuple[str, ...], class_order: str | None
) -> tuple[str, ...]:
    """The classes by which labels are numbered: those of the train folder, so that both splits agree."""
    if split == "train" or "train" not in splits or not names:
        return names
    root = splits["train"]
    folders = [entry.name for entry in _entries(root) if _is_folder(entry)]
    known = sort_classes((name for name in folders if holds_images(root / name)), class_order)
    unknown = [name for name in names if name not in set(known)]
    if known and unknown:
        raise InputError(
            f"{splits[split]} has {len(unknown)} class folders that {root} lacks: {some_names(unknown)} (it has "
            f"{len(known)}: {some_names(known)}); both need the same names"
        )
    return known or names


def _check_chosen(root: Path, only: Collection[str], found: Collection[str]) -> None:
    """Raise InputError with the class folders named in ``only`` that are not there, or hold no images."""
    missing = sorted(set(only) - set(found))
    if missing:
        raise InputError(
            f"{root} lacks {len(missing)} of the {len(only)} classes asked for, or they hold no images: "
            f"{some_names(missing)}; found {describe(root)}"
        )


def _images_by_folder(root: Path, skipped: Counter[str], only: Collection[str] | None) -> dict[str, list[str]]:
    """Paths of the images in each sub-folder that has any, relative to ``root``; "" stands for ``root`` itself."""
    found: dict[str, list[str]] = {}
    for entry in _entries(root):
        if _is_folder(entry):
            if only is None or entry.name in only:
                inner = [os.path.join(entry.name, path) for path in _images_below(root / entry.name, skipped)]
                found |= {entry.name: inner} if inner else {}
        elif _is_image(entry):
            found.setdefault("", []).append(entry.name)
        else:
            skipped[_kind(entry)] += 1
    return found


def holds_images(folder: str | os.PathLike[str]) -> bool:
    """Whether there is an image at any depth below a folder."""
    return next(_images_below(Path(folder), Counter()), None) is not None


def _images_below(folder: Path, skipped: Counter[str]) -> Iterator[str]:
    """Paths of the images at any depth, relative to ``folder``; links are followed, except to a folder above."""
    pending = [""]
    while pending:
        inner = pending.pop()
        here = os.path.join(folder, inner)
        subfolders = []
        for entry in _entries(here):
            if _is_image(entry):
                yield os.path.join(inner, entry.name)
            elif not _is_folder(entry):
                skipped[_kind(entry)] += 1
            elif entry.is_symlink() and _leads_up(entry.path, here):
                skipped["circular link"] += 1
            else:
                subfolders.append(os.path.join(inner, entry.name))
        pending += reversed(subfolders)


def _paths_below(folders: Collection[Path]) -> list[str]:
    return [os.path.join(folder, path) for folder in sorted(folders) for path in _images_below(folder, Counter())]


def _leads_up(link: str, folder: str) -> bool:
    target = os.path.realpath(link)
    return os.path.commonpath([target, os.path.realpath(folder)]) == target


def _is_image(entry: os.DirEntry[str]) -> bool:
    return os.path.splitext(entry.name)[1].lower() in image_endings() and _is_file(entry)


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link to itself
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _kind(entry: os.DirEntry[str]) -> str:
    """What a skipped entry is counted as: its ending, or what keeps it from being a file."""
    if not os.path.exists(entry.path):
        return "broken link"
    if not os.path.isfile(entry.path):
        return "special file"
    return os.path.splitext(entry.name)[1].lower() or "without ending"


def _entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """What a folder holds, sorted by name, without hidden entries."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(f"cannot read the folder {os.fspath(folder)}: {error.strerror}") from error
