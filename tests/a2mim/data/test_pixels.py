"""Any picture becomes 8-bit RGB, whatever its depth and bands; a broken one becomes an error with its path."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image
from small_data import png16, tiff

from a2mim.data.pixels import (
    UnreadableError,
    ValueRangeError,
    check_value_range,
    deep_values,
    image_endings,
    kind_of,
    read_image,
    to_rgb,
)
from a2mim.errors import InputError

NOISE = np.random.default_rng(0)


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
    assert np.asarray(to_rgb(Image.fromarray(grey * 200)))[0, :, 0].tolist() == [0, 100, 200]
    with pytest.raises(ValueRangeError, match=r"float values, from -20 to 280, do not say .*--value-range -20,280"):
        to_rgb(Image.fromarray(grey * 300 - 20))
    grey = np.array([[np.nan, 0, np.inf, 1]], np.float32)
    assert np.asarray(to_rgb(Image.fromarray(grey)))[0, :, 0].tolist() == [0, 0, 0, 255]
    with pytest.raises(ValueRangeError, match="no finite value"):
        to_rgb(Image.fromarray(grey * np.nan))


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


def pixels(data, **options):
    return np.asarray(read_image(io.BytesIO(data), "x", **options)).astype(int)


def scaled(values, low, high):
    return np.round((values - low) * 255 / (high - low)).clip(0, 255).astype(int)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("dtype", ["u2", "u4", "i4", "f4"])
def test_a_depth_is_told_from_the_values_whatever_holds_them(bits, dtype):
    values = NOISE.integers(0, 2**bits, (8, 9))
    values[0, 0] = 2**bits - 1
    data = tiff(values.astype(f"<{dtype}"), 1, {"u": 1, "i": 2, "f": 3}[dtype[0]])
    assert np.array_equal(pixels(data), np.repeat(scaled(values, 0, 2**bits - 1)[..., None], 3, axis=2))


@pytest.mark.parametrize("write", [tiff, png16])
@pytest.mark.parametrize("bits", [12, 16])
def test_16_bit_colour_keeps_its_low_byte(write, bits):
    values = NOISE.integers(0, 2**bits, (8, 9, 3)).astype("<u2")
    values[0, 0] = 2**bits - 1
    data = write(values)
    image = Image.open(io.BytesIO(data))
    assert kind_of(image) == "16-bit colour"
    assert np.array_equal(deep_values(image), values)
    assert np.array_equal(pixels(data), scaled(values.astype(int), 0, 2**bits - 1))


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate"])
def test_compressed_16_bit_grey(compression, tmp_path):
    values = NOISE.integers(0, 4096, (8, 9)).astype(np.uint16)
    values[0, 0] = 4095
    Image.fromarray(values).save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(np.asarray(read_image(tmp_path / "a.tif", "a"))[..., 0], scaled(values.astype(int), 0, 4095))


def test_a_pgm_says_its_range():
    data = b"P5 3 1 4095\n" + np.array([0, 1000, 4095], ">u2").tobytes()
    assert pixels(data)[0, :, 0].tolist() == [0, 62, 255]
    assert pixels(data, value_range=(0, 100))[0, :, 0].tolist() == [0, 62, 255]


def test_a_fourth_band_is_transparency_only_where_the_file_says_so():
    values = NOISE.integers(0, 256, (4, 5, 4)).astype(np.uint8)
    for extra in (None, [0]):
        read = pixels(tiff(values, extra=extra))
        assert read.shape == (4, 5, 3)
    assert np.array_equal(pixels(tiff(values)), values[..., :3])
    alpha = values[..., 3:].astype(float) / 255
    over_white = values[..., :3] * alpha + 255 * (1 - alpha)
    assert np.abs(pixels(tiff(values, extra=[2])) - over_white).max() <= 1
    deep = NOISE.integers(0, 65536, (4, 5, 4)).astype("<u2")
    deep[0, 0] = 65535
    assert np.array_equal(pixels(tiff(deep)), scaled(deep[..., :3].astype(int), 0, 65535))
    alpha = deep[..., 3:] / 65535
    over_white = deep[..., :3] / 257 * alpha + 255 * (1 - alpha)
    assert np.abs(pixels(png16(deep)) - over_white).max() <= 2
    grey = deep[..., :2]
    over_white = grey[..., :1] / 257 * alpha + 255 * (1 - alpha)
    grey = np.concatenate([deep[..., :1], deep[..., 3:]], axis=2)
    assert np.abs(pixels(png16(grey)) - over_white).max() <= 2


@pytest.mark.parametrize(
    ("values", "form", "reason"),
    [
        (np.arange(-8, 8, dtype="<i2").reshape(4, 4), 2, "16-bit values, from -8 to 7, .*--value-range -8,7"),
        (
            np.arange(16, dtype="<u4").reshape(4, 4) * 10000,
            1,
            "32-bit values, from 0 to 150000, .*range 0,150000",
        ),
        (np.linspace(-1, 1, 16, dtype="<f4").reshape(4, 4), 3, "float values, from -1 to 1, .*--value-range -1,1"),
        (np.arange(-8, 8, dtype="i1").reshape(4, 4), 2, "signed 8-bit values"),
        (np.zeros((4, 4, 3), "<f4"), 3, "a TIFF of 3 bands of 32 bits, which Pillow does not read"),
    ],
)
def test_values_without_a_known_range_are_refused(values, form, reason):
    with pytest.raises(UnreadableError, match=reason):
        pixels(tiff(values, 1, form))


def test_a_given_range_maps_and_clips_but_does_not_blacken_an_image():
    data = tiff(np.array([[-1000, 0, 500, 1000, 4000]], "<i2"), 1, 2)
    assert pixels(data, value_range=(0, 1000))[0, :, 0].tolist() == [0, 0, 128, 255, 255]
    with pytest.raises(UnreadableError, match="from -1000 to 4000, lie outside the range 5000 to 9000"):
        pixels(data, value_range=(5000, 9000))
    eight = tiff(np.array([[0, 100, 255]], np.uint8), 1)
    assert pixels(eight, value_range=(0, 1000))[0, :, 0].tolist() == [0, 100, 255]


def test_a_range_of_other_images_is_not_left():
    data = tiff(np.array([[0, 2000]], "<u2"), 1)
    assert pixels(data, ranges={"16-bit": (0, 65535)})[0, :, 0].tolist() == [0, 8]
    with pytest.raises(UnreadableError, match="outside the range 0 to 1023 of the other images"):
        pixels(data, ranges={"16-bit": (0, 1023)})


@pytest.mark.parametrize("value_range", [(1, 1), (5, 2), (0, float("inf")), (1,), (0, 1, 2)])
def test_what_is_not_a_range(value_range):
    with pytest.raises(InputError, match="must be two numbers, the lower first"):
        check_value_range(value_range)


def test_endings_are_those_that_pillow_decodes():
    assert {".jpg", ".jfif", ".jpe", ".jp2", ".png", ".tif", ".webp"} <= image_endings()
    assert not {".pdf", ".txt", ".eps", ".h5", ".mpg"} & image_endings()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_exif_rotation_is_applied_only_when_asked_for(form):
    image, buffer = Image.new("RGB", (8, 4)), io.BytesIO()
    image.paste((255, 255, 255), (0, 0, 4, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # turn by 90 degrees: left becomes top
    image.save(buffer, form, exif=exif)
    assert pixels(buffer.getvalue()).shape == (4, 8, 3)
    turned = pixels(buffer.getvalue(), exif_rotate=True)
    assert turned.shape == (8, 4, 3)
    assert turned[:3].min() > 200
    assert turned[5:].max() < 50


def test_an_unreadable_image_can_be_sent_to_another_process():
    error = pickle.loads(pickle.dumps(UnreadableError("a.png", "broken")))
    assert (error.path, error.reason) == ("a.png", "broken")
