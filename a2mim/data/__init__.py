"""Images by name, and batches of them: sources, transforms and the loader.

For example::

    source = open_images("fashion")
    transform = train_transform(32, source.mean, source.std)
    loader = ImageLoader(source, transform, batch_size=128, shuffle=True, drop_last=True)
    for batch in loader.epoch(0):
        ...
"""

from __future__ import annotations

import os
from typing import Any

from a2mim.data.class_lists import read_class_list
from a2mim.data.class_names import check_same_classes
from a2mim.data.folders import FileImages, FolderImages, check_labels
from a2mim.data.loading import Batch, ImageLoader
from a2mim.data.pixels import Range, UnreadableError, read_image, to_rgb
from a2mim.data.preprocessing import Preprocessing, evaluation_preprocessing, evaluation_transform
from a2mim.data.sources import SPLITS, FashionImages, ImageSource, balanced_subset, find_fashion_files
from a2mim.data.timm_sources import TimmImages, TimmStream, open_timm_images
from a2mim.data.transforms import ImageTransform, eval_transform, train_transform, two_views
from a2mim.errors import InputError

__all__ = [
    "Batch",
    "FashionImages",
    "FileImages",
    "FolderImages",
    "ImageLoader",
    "ImageSource",
    "ImageTransform",
    "Preprocessing",
    "TimmImages",
    "TimmStream",
    "UnreadableError",
    "balanced_subset",
    "check_labels",
    "check_same_classes",
    "eval_transform",
    "evaluation_preprocessing",
    "evaluation_transform",
    "open_images",
    "read_class_list",
    "read_image",
    "to_rgb",
    "train_transform",
    "two_views",
]


def open_images(
    dataset: str = "fashion",
    data_dir: str | os.PathLike[str] | None = None,
    split: str = "train",
    *,
    classes: str | os.PathLike[str] | None = None,
    class_order: str | None = None,
    value_range: Range | None = None,
    exif_rotate: bool = False,
    **timm_extras: Any,
) -> ImageSource:
    """The images of one split of a data set.

    Args:
        dataset: ``fashion``: the embedded part of Fashion-MNIST; with ``data_dir`` the original files there, and when
            there are none, the same as ``folder``. ``folder``: images in ``data_dir`` (see ``FolderImages``). Every
            other name is timm's: ``torch/cifar10``, ``hfds/...``, ``wds/...``, ... (see ``timm.data.create_dataset``).
        data_dir: folder of the data.
        split: ``train`` or ``val``; for timm's names also a split name of the data set.
        classes: use only these classes of a folder: ``imagenet100``, or a file that lists them (``read_class_list``).
        class_order: how class folders are numbered: ``name`` (torchvision) or ``number`` (timm), see ``sort_classes``.
        value_range: values that become black and white in images with more than 8 bits, see ``read_image``.
        exif_rotate: turn images as their EXIF orientation says; timm and torchvision do not.
        timm_extras: passed on to timm, for timm's names only (``input_key``, ``num_samples``, ...).

    Raises ``InputError`` with what was looked for and what was found.
    """
    only = None if classes is None else read_class_list(classes)
    reading: dict[str, Any] = dict(class_order=class_order, value_range=value_range, exif_rotate=exif_rotate)
    given = [name for name, value in reading.items() if value not in (None, False)]
    if only and (dataset not in ("fashion", "folder") or data_dir is None):
        raise InputError(f"classes={classes} chooses sub-folders of --data-dir, and data set {dataset!r} has none")
    if dataset not in ("fashion", "folder"):
        if given:
            raise InputError(f"{', '.join(given)}: only image folders take this, and the data set is {dataset!r}")
        return open_timm_images(dataset, data_dir, split, **timm_extras)
    if split not in SPLITS:
        raise InputError(f"split {split!r} must be one of {', '.join(SPLITS)} for the data set {dataset!r}")
    if timm_extras:
        raise InputError(f"data set {dataset!r} takes no settings {', '.join(timm_extras)}")
    if dataset == "fashion" and (data_dir is None or (not only and find_fashion_files(data_dir))):
        if given:
            raise InputError(f"{', '.join(given)}: only image folders take this, and the data set is 'fashion'")
        return FashionImages(data_dir, split)
    if data_dir is None:
        raise InputError("data set 'folder' needs --data-dir: the folder with the images")
    try:
        return FolderImages(data_dir, split, only=only, **reading)
    except InputError as error:
        if dataset == "folder" or only:
            raise
        raise InputError(f"{error} (and no files of Fashion-MNIST: train-images-idx3-ubyte[.gz], ...)") from error
