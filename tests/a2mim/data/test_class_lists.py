"""Parts of an image folder by the names of its classes."""

import hashlib

import pytest
from small_data import relative_paths, write_images

from a2mim.data import open_images, read_class_list
from a2mim.errors import InputError


def test_imagenet_100_is_the_published_list():
    names = read_class_list("imagenet100")
    assert (len(set(names)), names[0], names[-1]) == (100, "n02869837", "n02090622")
    assert hashlib.sha256(" ".join(names).encode()).hexdigest().startswith("fa2b1926ad6f96fb")  # in the published order


def test_a_file_of_names_takes_these_folders_alone_numbered_by_name_in_both_splits(tmp_path):
    root = write_images(tmp_path / "data", *(f"{split}/{name}/1.png" for split in ("train", "val") for name in "abcd"))
    (tmp_path / "some.txt").write_text("d  # the last\n\nb\n")
    for split in ("train", "val"):
        source = open_images("folder", root, split, classes=tmp_path / "some.txt")
        assert source.classes == ("b", "d")
        assert relative_paths(source, root) == [f"{split}/b/1.png", f"{split}/d/1.png"]
        assert source.labels().tolist() == [0, 1]


def test_mistakes_are_named(tmp_path):
    root = write_images(tmp_path / "data", "train/a/1.png", "train/b/1.png", "val/a/1.png")
    (tmp_path / "two.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match=r"val lacks 1 of the 2 classes asked for, or they hold no images: b; found 1"):
        open_images("folder", root, "val", classes=tmp_path / "two.txt")
    with pytest.raises(InputError, match=r"lacks 100 of the 100 classes asked for.*n01558993, n01692333, n01729322"):
        open_images("fashion", root, classes="imagenet100")
    with pytest.raises(InputError, match="no list of classes 'imagenet1000': it must be a file or one of imagenet100"):
        open_images("folder", root, classes="imagenet1000")
    with pytest.raises(InputError, match="chooses sub-folders of --data-dir, and data set 'torch/cifar10' has none"):
        open_images("torch/cifar10", root, classes="imagenet100")
    (tmp_path / "twice.txt").write_text("a\na\n")
    with pytest.raises(InputError, match="names a twice"):
        read_class_list(tmp_path / "twice.txt")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(InputError, match="is empty"):
        read_class_list(tmp_path / "empty.txt")
