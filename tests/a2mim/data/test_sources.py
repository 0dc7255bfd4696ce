"""Fashion-MNIST, embedded and as original files; balanced subsets."""

import gzip
import pickle
from importlib import resources

import numpy as np
import pytest
from small_data import idx, write_fashion

from a2mim.data import sources
from a2mim.data.sources import FashionImages, balanced_subset
from a2mim.errors import InputError


def test_the_embedded_part_is_balanced_padded_and_small():
    for split, n in (("train", 10_000), ("val", 2_000)):
        source = FashionImages(split=split)
        assert len(source) == n
        assert np.bincount(source.labels()).tolist() == [n // 10] * 10
    image, label = source[7]
    pixels = np.asarray(image)
    assert image.mode == "RGB"
    assert pixels.shape == (32, 32, 3)
    assert label == source.labels()[7]
    assert (pixels == pixels[..., :1]).all()
    assert pixels[:2].max() == pixels[-2:].max() == pixels[:, :2].max() == pixels[:, -2:].max() == 0
    assert pixels.max() > 100
    assert (source.img_size, len(source.classes), source.classes[1]) == (32, 10, "Trouser")
    assert len((resources.files("a2mim.assets") / "fashion.npz").read_bytes()) < 6e6
    assert "MIT License" in (resources.files("a2mim.assets") / "fashion.LICENSE.txt").read_text()


def test_mean_and_std_are_those_of_the_images_without_their_border():
    source = FashionImages()
    pixels = np.stack([np.asarray(source[i][0])[2:30, 2:30] for i in range(0, 10_000, 10)]) / 255
    assert pixels.mean() == pytest.approx(source.mean[0], abs=0.01)
    assert pixels.std() == pytest.approx(source.std[0], abs=0.01)


@pytest.mark.parametrize("place", [".", "raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("zipped", [False, True])
def test_original_files_are_read_where_people_have_them(tmp_path, place, zipped):
    write_fashion(tmp_path / place, "train", 12, zipped=zipped)
    images, labels = write_fashion(tmp_path / place, "t10k", 11, zipped=zipped, seed=1)
    source = FashionImages(tmp_path, "val")
    assert len(source) == 11
    image, label = source[10]
    assert np.array_equal(np.asarray(image)[2:30, 2:30, 1], images[10])
    assert label == labels[10]


def test_what_is_wrong_with_original_files_is_said(tmp_path):
    write_fashion(tmp_path, "train", 12)
    with pytest.raises(InputError, match=r"no t10k-images.*'val'.*found train-images-idx3-ubyte, train-labels"):
        FashionImages(tmp_path, "val")
    path = tmp_path / "train-images-idx3-ubyte"
    good = path.read_bytes()
    for bad, message in (
        (good[:-1], r"should hold 9408 values \(12, 28, 28\), but 9407"),
        (b"\x00\x00\x08\x01" + good[4:], "not an idx file of bytes with 3 dimensions"),
        (good[:9], "not an idx file"),
        (idx(np.zeros((11, 28, 28), np.uint8)), "11, 28, 28.* and 12 labels"),
        (idx(np.zeros((12, 32, 32), np.uint8)), "28x28"),
    ):
        path.write_bytes(bad)
        with pytest.raises(InputError, match=message):
            FashionImages(tmp_path)
    path.unlink()
    path.with_suffix(".gz").write_bytes(gzip.compress(good)[:-20])
    with pytest.raises(InputError, match=r"cannot read .*ubyte.gz"):
        FashionImages(tmp_path)


def test_a_source_can_be_sent_to_another_process():
    source = pickle.loads(pickle.dumps(FashionImages(split="val")))
    assert source.path(3) == "fashion/val[3]"
    assert len(source) == 2000


def test_find_fashion_files_of_a_folder_without_any(tmp_path):
    assert sources.find_fashion_files(tmp_path) == []
    assert sources.find_fashion_files(tmp_path / "gone") == []


def test_a_subset_takes_as_many_of_each_class_and_always_the_same():
    labels = np.repeat([0, 1, 2], [50, 30, 4])
    small, large = (balanced_subset(labels, 84, limit, seed=0) for limit in (9, 40))
    assert np.bincount(labels[small]).tolist() == [3, 3, 3]
    assert np.bincount(labels[large]).tolist() == [18, 18, 4]
    assert set(small) < set(large)
    assert np.array_equal(small, balanced_subset(labels, 84, 9, seed=0))
    assert not np.array_equal(small, balanced_subset(labels, 84, 9, seed=1))
    assert len(set(balanced_subset(None, 84, 20, seed=0))) == 20
