"""All other data sets: the names that ``timm.data.create_dataset`` understands, as sources of this package.

Numbered data sets (``""`` for timm's folder and tar reader, ``torch/...``, ``hfds/...``) behave as all sources do.
Streamed ones (``wds/...``, ``tfds/...``, ``hfids/...``) come in the order of timm's readers; an image has no number. So
order and augmentations follow the place in the stream, which is the same only for the same seed, batch size and number
of workers; a resumed epoch reads again what it skips; unreadable images are left to timm's reader.
"""

from __future__ import annotations

import copy
import importlib.util
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from PIL import Image
from timm.data import create_dataset
from torch.utils.data import IterableDataset
from torchvision.datasets import DatasetFolder

from a2mim.data.pixels import UnreadableError, read_image, to_rgb
from a2mim.data.sources import ImageSource
from a2mim.errors import InputError

# what timm imports for a prefix, and what provides it
_PACKAGES = {"hfds": "datasets", "hfids": "datasets", "tfds": "tensorflow_datasets", "wds": "webdataset"}
_TIMM_FOLDERS = ("", "imagefolder", "image_folder")
# the usual statistics of the small sets: mean, std, side of an image
_STATISTICS: dict[str, tuple[tuple[float, ...], tuple[float, ...], int]] = {
    "torch/cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 32),
    "torch/cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), 32),
    "torch/mnist": ((0.1307,) * 3, (0.3081,) * 3, 28),
    "torch/fashion_mnist": ((0.2860,) * 3, (0.3530,) * 3, 28),
}
# what a data set may call the split that we call val
_SYNONYMS = {"val": ("validation", "val", "test")}


def open_timm_images(
    dataset: str, data_dir: str | os.PathLike[str] | None = None, split: str = "train", **extras: Any
) -> ImageSource:
    """A data set by timm's name for it.

    Args:
        dataset: ``""``, ``torch/cifar10``, ``hfds/...``, ...: see ``timm.data.create_dataset``.
        data_dir: its folder (for ``hfds/`` and ``tfds/`` the cache; may be None there).
        split: ``train``, ``val`` (``validation``, ``val`` and ``test`` are tried), or a split name of the data set.
        extras: passed on to timm, for example ``input_key="img"`` or ``num_samples=1000``.
    """
    prefix = dataset.partition("/")[0].lower() if "/" in dataset else ""
    if prefix not in ("torch", *_PACKAGES) and dataset.lower() not in _TIMM_FOLDERS:
        # timm would take any other name for its folder reader
        raise InputError(
            f"unknown data set {dataset!r}: it can be fashion, folder, a timm name that starts with torch/, "
            f"{'/, '.join(_PACKAGES)}/, or '' for timm's folder and tar reader"
        )
    package = _PACKAGES.get(prefix)
    if package and importlib.util.find_spec(package) is None:
        raise InputError(
            f"data set {dataset!r} needs the package {package}, which is not installed: pip install {package}"
        )
    if not package:
        if data_dir is None or not os.path.exists(data_dir):
            where = "no --data-dir is given" if data_dir is None else f"--data-dir {data_dir} does not exist"
            raise InputError(f"data set {dataset!r} needs a folder, but {where}")
        return TimmImages(_create(dataset, data_dir, split, extras), dataset, split)
    names = _SYNONYMS.get(split, (split,))
    for name in names:
        try:
            found = _create(dataset, data_dir, name, extras)
            break
        except InputError as error:
            if name == names[-1] or "split" not in str(error.__cause__).lower():
                raise
    return (TimmStream if isinstance(found, IterableDataset) else TimmImages)(found, dataset, split)


def _create(dataset: str, data_dir: str | os.PathLike[str] | None, split: str, extras: dict[str, Any]) -> Any:
    root = None if data_dir is None else os.fspath(data_dir)
    try:
        return create_dataset(dataset, root=root, split=split, **extras)
    except Exception as error:  # whatever the libraries behind raise: a name, a folder or a package does not fit
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise InputError(f"timm cannot open data set {dataset!r} (folder {root}, split {split!r}): {reason}") from error


class TimmImages(ImageSource):
    """A numbered data set of timm or torchvision. An unreadable file is reported; timm would give the next one."""

    def __init__(self, dataset: Any, name: str, split: str):
        self.name = name
        self.split = split
        self.dataset = dataset
        if isinstance(dataset, DatasetFolder):
            dataset.loader = _read_file
        self.classes = _class_names(dataset)
        if name.lower() in _STATISTICS:
            self.mean, self.std, self.img_size = _STATISTICS[name.lower()]
        if not len(dataset):
            raise InputError(f"data set {name!r} has no images in the split {split!r}")

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        try:
            image, target = self._read(index)
        except (InputError, MemoryError):
            raise
        except UnreadableError as error:
            raise UnreadableError(self.path(index), error.reason) from error
        except Exception as error:  # as in read_image: decoders raise anything
            raise UnreadableError(self.path(index), str(error) or type(error).__name__) from error
        return image, self._label(target)

    def _read(self, index: int) -> tuple[Image.Image, Any]:
        if not hasattr(self.dataset, "reader"):
            image, target, *_ = self.dataset[index]
            return to_rgb(image), target
        file, target, *_ = self.dataset.reader[index]
        with file:
            return read_image(file, self.name), target

    def _label(self, target: Any) -> int:
        if target is None:
            return -1
        try:
            return int(target)
        except (TypeError, ValueError) as error:
            raise InputError(f"data set {self.name!r} has labels like {target!r}, not one class number") from error

    def path(self, index: int) -> str:
        for files in ("samples", "imgs"):  # torchvision's folders
            if files in vars(self.dataset):
                return str(getattr(self.dataset, files)[index][0])
        if hasattr(self.dataset, "filename"):
            return str(self.dataset.filename(index, absolute=True) or super().path(index))
        return super().path(index)

    def labels(self) -> np.ndarray | None:
        try:
            return np.asarray(_targets(self.dataset), dtype=np.int64)
        except (TypeError, ValueError):  # none, or several for an image
            return None


class TimmStream(ImageSource):
    """A streamed data set of timm: it can be read through, not looked up by number."""

    def __init__(self, dataset: Any, name: str, split: str):
        self.name = name
        self.split = split
        self.dataset = dataset
        self.classes = _class_names(dataset)
        if not len(dataset):
            raise InputError(
                f"the number of images of {name!r} (split {split!r}) is not known: its _info.json does not say it; "
                "pass num_samples"
            )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        raise InputError(f"{self.name!r} is a stream; its images have no numbers. Use a numbered data set or a folder")

    def reader(
        self, *, shuffle: bool, batch_size: int, seed: int, epoch: int, workers: int, rank: int = 0, world: int = 1
    ) -> tuple[Iterable, int]:
        """timm's data set set up for one epoch, to be read in ``workers`` processes, and the images each will give.

        Of ``world`` processes that train together this is number ``rank``; timm counts the workers and images of one.
        Shuffled, timm's readers fill up the last batch of every worker with images from the start of the stream.
        """
        dataset = copy.copy(self.dataset)
        dataset.reader = reader = copy.copy(self.dataset.reader)
        reader.is_training, reader.batch_size, reader.common_seed = shuffle, batch_size, seed
        reader.worker_seed = seed + epoch
        reader.dist_rank, reader.dist_num_replicas = rank, world
        dataset.set_loader_cfg(num_workers=max(workers, 1))
        dataset.set_epoch(epoch)
        return dataset, len(dataset) // max(workers, 1)


def _class_names(dataset: Any) -> tuple[str, ...]:
    if hasattr(dataset, "classes"):
        return tuple(str(name) for name in dataset.classes)
    reader = getattr(dataset, "reader", None)
    numbers = getattr(reader, "class_to_idx", None) or getattr(reader, "class_name_to_idx", None) or {}
    return tuple(str(name) for name in sorted(numbers, key=numbers.__getitem__))


def _targets(dataset: Any) -> Any:
    for holder in (dataset, getattr(dataset, "reader", None)):
        if (targets := getattr(holder, "targets", None)) is not None:
            return targets
        if read_targets := getattr(holder, "iter_targets", None):
            return list(read_targets())
        if samples := getattr(holder, "samples", None):
            return [target for _, target in samples]
    return None


def _read_file(path: str) -> Image.Image:
    return read_image(path, path)
