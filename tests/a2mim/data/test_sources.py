"""Any picture becomes a sane RGB image, a broken one an error with its path; Fashion-MNIST embedded and original."""

import gzip
import io
import pickle
from importlib import resources

import numpy as np
import pytest
from PIL import Image
from small_data import idx, write_fashion

from a2mim.data import sources
from a2mim.data.sources import FashionImages, UnreadableError, balanced_subset, read_image, to_rgb
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


def _saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return Image.open(io.BytesIO(buffer.getvalue()))


def test_16_bit_grey_keeps_its_grey_levels():
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for form in ("PNG", "TIFF"):
        pixels = np.asarray(to_rgb(_saved(Image.fromarray(grey), form)))
        assert np.array_equal(pixels, np.repeat(np.round(grey / 257)[..., None], 3, axis=2))
    assert np.array_equal(np.asarray(to_rgb(Image.fromarray(grey.astype(np.int32)))), pixels)


def test_float_grey_is_scaled_when_it_lies_between_0_and_1():
    grey = np.array([[0, 0.5, 1]], np.float32)
    assert np.asarray(to_rgb(Image.fromarray(grey)))[0, :, 0].tolist() == [0, 128, 255]
    assert np.asarray(to_rgb(Image.fromarray(grey * 300 - 20)))[0, :, 0].tolist() == [0, 130, 255]
    assert np.asarray(to_rgb(Image.fromarray(grey * np.nan)))[0, :, 0].tolist() == [0, 0, 0]


def test_transparent_pixels_are_white_and_half_transparent_ones_half_white():
    rgba = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [200, 0, 0, 128]]], np.uint8)
    pixels = np.asarray(to_rgb(_saved(Image.fromarray(rgba), "PNG")))[0]
    assert pixels[0].tolist() == [200, 0, 0]
    assert pixels[1].tolist() == [255, 255, 255]
    assert np.allclose(pixels[2], [227, 127, 127], atol=1)
    palette = _saved(Image.fromarray(rgba[..., :3]).quantize(4), "PNG", transparency=0)
    assert palette.mode == "P"
    assert (np.asarray(to_rgb(palette)) == 255).any(axis=2).all()
    grey = Image.fromarray(np.array([[[10, 255], [10, 0]]], np.uint8), "LA")
    assert np.asarray(to_rgb(grey))[0, :, 0].tolist() == [10, 255]


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "HSV", "RGBX", "RGB"])
def test_every_other_mode_becomes_rgb(mode):
    image = Image.new("RGB", (5, 4), "white").convert(mode)
    result = to_rgb(image)
    assert (result.mode, result.size) == ("RGB", (5, 4))
    assert np.asarray(result).min() > 240


def test_a_broken_file_is_named(tmp_path):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    for form in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP", "PPM"):
        whole, cut = tmp_path / f"whole.{form}", tmp_path / f"cut.{form}"
        noise.save(whole, form)
        cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
        assert read_image(whole, "x").size == (64, 64)
        with pytest.raises(UnreadableError, match=r"cannot read image .*/cut") as caught:
            read_image(cut, str(cut))
        assert caught.value.path == str(cut)
        assert caught.value.reason
    for content in (b"", b"just words"):
        cut.write_bytes(content)
        with pytest.raises(UnreadableError, match=r"not an image$"):
            read_image(cut, str(cut))
    with pytest.raises(UnreadableError, match="No such file"):
        read_image(tmp_path / "gone.png", "gone.png")


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
