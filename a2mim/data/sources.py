"""Where images come from: what every source offers, and the embedded Fashion-MNIST."""

from __future__ import annotations

import abc
import gzip
import math
import os
import zlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD

from a2mim import seeds
from a2mim.data.pixels import UnreadableError as UnreadableError
from a2mim.errors import InputError

SPLITS = ("train", "val")
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_FASHION_FILES = {"train": "train", "val": "t10k"}
_FASHION_FOLDERS = (".", "raw", "FashionMNIST/raw")


class ImageSource(abc.ABC):
    """A numbered set of images: ``source[i]`` -> (PIL image in RGB, label), ``len(source)``.

    Attributes:
        name: what the user asked for, for logs and reports.
        classes: class names in the order of the labels; empty when there are no labels.
        mean, std: of each channel, pixels in [0, 1].
        img_size: side of the (square) images in pixels; None when they differ or are not square.
        split: ``train`` or ``val``; ``all`` when the source has no splits and gives every image for each of them.
        skipped: what was found beside the images and skipped, by kind: ``{".txt": 5, "broken link": 1}``.
        notes: what a user should know of how the images were read, one line each, for console, JSON and page.
    """

    name: str = ""
    classes: tuple[str, ...] = ()
    mean: tuple[float, ...] = IMAGENET_DEFAULT_MEAN
    std: tuple[float, ...] = IMAGENET_DEFAULT_STD
    img_size: int | None = None
    split: str = "train"
    skipped: Mapping[str, int] = MappingProxyType({})
    notes: tuple[str, ...] = ()

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        """Image ``index`` in RGB and its label, -1 without one; raises ``UnreadableError`` for a broken file."""

    def path(self, index: int) -> str:
        """The file of image ``index``, or a name for it where it has no file."""
        return f"{self.name}/{self.split}[{index}]"

    def labels(self) -> np.ndarray | None:
        """All labels, int64 (n,), without reading an image; None when there are none or they cannot be had so."""
        return None


class FashionImages(ImageSource):
    """Fashion-MNIST (Xiao et al., 2017, MIT licence): grey 28x28, served as RGB 32x32 inside a border of zeros.

    Without a folder the balanced part that ships with the package: 10,000 train and 2,000 test images (split ``val``).
    With one, the original idx files (60,000 and 10,000), plain or gzipped, in it or where torchvision puts them.
    mean and std are those of the 28x28 training images, as everybody's.
    """

    name = "fashion"
    classes = FASHION_CLASSES
    mean = (0.2860,) * 3
    std = (0.3530,) * 3
    img_size = 32

    def __init__(self, data_dir: str | os.PathLike[str] | None = None, split: str = "train"):
        self.split = split
        images, labels = _read_embedded(split) if data_dir is None else read_fashion_files(data_dir, split)
        self._pixels = np.pad(images, ((0, 0), (2, 2), (2, 2)))
        self._labels = labels.astype(np.int64)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self._pixels[index]).convert("RGB"), int(self._labels[index])

    def labels(self) -> np.ndarray:
        return self._labels


def _read_embedded(split: str) -> tuple[np.ndarray, np.ndarray]:
    asset = resources.files("a2mim.assets") / "fashion.npz"
    with asset.open("rb") as handle, np.load(handle) as arrays:
        return arrays[f"{split}_images"], arrays[f"{split}_labels"]


def balanced_subset(labels: np.ndarray | None, n_images: int, limit: int, seed: int) -> np.ndarray:
    """Sorted indices of ``limit`` images, balanced over classes; without labels a plain random choice.

    A larger limit keeps the images of a smaller one.
    """
    shuffled = seeds.numpy_generator(seed, "limit").permutation(n_images)
    if labels is None:
        return np.sort(shuffled[:limit])
    turn = np.empty(n_images, dtype=np.int64)  # the first of its class, the second, ...
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        turn[members] = np.arange(len(members))
    return np.sort(shuffled[np.argsort(turn[shuffled], kind="stable")[:limit]])


def find_fashion_files(data_dir: str | os.PathLike[str]) -> list[Path]:
    """The idx files of Fashion-MNIST in ``data_dir``, ``raw/`` or ``FashionMNIST/raw/``: the first that has any."""
    for folder in _FASHION_FOLDERS:
        names = [f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
        paths = [Path(data_dir, folder, name + suffix) for name in names for suffix in ("", ".gz")]
        if found := [path for path in paths if path.is_file()]:
            return found
    return []


def read_fashion_files(data_dir: str | os.PathLike[str], split: str = "train") -> tuple[np.ndarray, np.ndarray]:
    """Original images, uint8 (n, 28, 28), and labels, uint8 (n,), of the split ``train`` or ``val`` (t10k)."""
    found = find_fashion_files(data_dir)
    arrays = []
    for kind, ndim in (("images-idx3", 3), ("labels-idx1", 1)):
        wanted = f"{_FASHION_FILES[split]}-{kind}-ubyte"
        paths = [path for path in found if path.name in (wanted, f"{wanted}.gz")]
        if not paths:
            names = ", ".join(path.name for path in found) or "none of the four files"
            raise InputError(
                f"no {wanted}[.gz] for the split {split!r} in {data_dir} or its {_FASHION_FOLDERS[1]}/, "
                f"{_FASHION_FOLDERS[2]}/; found {names}"
            )
        arrays.append(_read_idx(paths[0], ndim))
    images, labels = arrays
    if images.shape[1:] != (28, 28) or len(images) != len(labels) or labels.max(initial=0) >= len(FASHION_CLASSES):
        raise InputError(
            f"{data_dir}: images {images.shape} and {len(labels)} labels up to {labels.max(initial=0)} are not "
            f"Fashion-MNIST (28x28 pixels, one label from 0 to {len(FASHION_CLASSES) - 1} each)"
        )
    return images, labels


def _read_idx(path: Path, ndim: int) -> np.ndarray:
    """An idx file of bytes: 0, 0, type 8, number of dimensions, sizes as big-endian uint32, then the values."""
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    start = 4 + 4 * ndim
    if data[:4] != bytes((0, 0, 8, ndim)) or len(data) < start:
        raise InputError(f"{path} is not an idx file of bytes with {ndim} dimensions (its first bytes: {data[:4]!r})")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, offset=4))
    if len(data) - start != math.prod(shape):
        raise InputError(f"{path} should hold {math.prod(shape)} values {shape}, but {len(data) - start} are there")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
