"""Which source a name and a folder lead to, and that one import has everything."""

import re

import pytest
from small_data import write_fashion, write_images

import a2mim.data as data
from a2mim.data import FashionImages, FolderImages, ImageLoader, TimmImages, open_images, train_transform
from a2mim.errors import InputError


def test_everything_is_here():
    assert all(hasattr(data, name) for name in data.__all__)


def test_the_default_is_the_embedded_images():
    source = open_images()
    assert isinstance(source, FashionImages)
    assert (source.name, source.split, len(source), len(open_images(split="val"))) == (
        "fashion",
        "train",
        10_000,
        2_000,
    )
    loader = ImageLoader(source, train_transform(32, source.mean, source.std), batch_size=8, shuffle=True, limit=20)
    assert next(iter(loader)).images.shape == (8, 3, 32, 32)


def test_a_folder_alone_is_enough(tmp_path):
    write_fashion(tmp_path / "idx", "train", 12)
    write_images(tmp_path / "images", "cat/1.png", "dog/1.png")
    assert isinstance(open_images(data_dir=tmp_path / "idx"), FashionImages)
    assert isinstance(open_images(data_dir=tmp_path / "images"), FolderImages)
    assert isinstance(open_images("folder", str(tmp_path / "images"), "val"), FolderImages)
    assert isinstance(open_images("torch/image_folder", tmp_path / "images"), TimmImages)


def test_mistakes(tmp_path):
    for arguments, message in (
        (dict(split="tset"), "split 'tset' must be one of train, val"),
        (dict(dataset="folder"), "'folder' needs --data-dir"),
        (dict(input_key="img"), "takes no settings input_key"),
        (dict(data_dir=tmp_path), "is not an image folder: looked for .*; found nothing"),
        (dict(data_dir=tmp_path / "gone"), "the image folder .*gone does not exist"),
        (dict(dataset="fasion"), "unknown data set 'fasion'"),
    ):
        with pytest.raises(InputError, match=message):
            open_images(**arguments)


def test_a_folder_with_no_idx_files_says_both_things_it_could_have_held(tmp_path):
    with pytest.raises(InputError, match=re.escape("train-images-idx3-ubyte")):
        open_images(data_dir=tmp_path)
