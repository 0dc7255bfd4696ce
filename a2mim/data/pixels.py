"""From an image file to 8-bit RGB: which files are read, and which value becomes black and which white."""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from a2mim.errors import InputError, RunError

Range = tuple[float, float]
DEPTHS = (8, 10, 12, 14, 16)  # usual bits of a value, whatever the container
ORIENTATION = 0x0112  # EXIF
_BITS, _SAMPLES, _ALPHA, _SAMPLE_FORMAT = 258, 277, 338, 339  # TIFF tags
# Pillow knows these endings without decoding them by itself: containers of other data, films, page descriptions
_NOT_DECODED = {".bufr", ".emf", ".eps", ".grib", ".h5", ".hdf", ".mpeg", ".mpg", ".ps", ".wmf"}


class UnreadableError(RunError):
    """One image of a source that cannot be read: its ``path`` and the ``reason``."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"cannot read image {path}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return UnreadableError, (self.path, self.reason)


class ValueRangeError(ValueError):
    """Values from which no range follows; what to do is in the message."""


@functools.cache
def image_endings() -> frozenset[str]:
    """File name endings, in lower case with the dot, of the formats that the installed Pillow decodes."""
    Image.init()
    known = {ending for ending, form in Image.registered_extensions().items() if form in Image.OPEN}
    return frozenset(known - _NOT_DECODED)


def check_value_range(value_range: Range | None) -> Range | None:
    """The range as two floats.

    Raises:
        InputError: not two finite numbers, the lower first.
    """
    if value_range is None:
        return None
    numbers = [float(number) for number in value_range]
    if len(numbers) != 2 or not np.isfinite(numbers).all() or numbers[0] >= numbers[1]:
        raise InputError(f"value range {','.join(map(str, value_range))} must be two numbers, the lower first: 0,4095")
    return numbers[0], numbers[1]


def read_image(
    file: str | os.PathLike[str] | BinaryIO,
    path: str,
    *,
    value_range: Range | None = None,
    ranges: Mapping[str, Range] | None = None,
    exif_rotate: bool = False,
) -> Image.Image:
    """Decode an image file completely and convert it to 8-bit RGB.

    Args:
        file: a path or an open file; the first frame counts.
        path: what errors call the image.
        value_range: values that become black and white, for images with more than 8 bits; values outside are clipped.
        ranges: the same for each ``kind_of`` image, found by a survey; an image with values outside is refused.
            Without both, each file is scaled by ``told_range`` of its values.
        exif_rotate: turn the image as its EXIF orientation says. timm and torchvision do not.

    Raises:
        UnreadableError: a file that cannot be decoded, or values whose range is not known.
    """
    try:
        with Image.open(file) as image:
            orientation = orientation_of(image) if exif_rotate else 1
            result = to_rgb(image, value_range=value_range, ranges=ranges)
            return ImageOps.exif_transpose(_with_orientation(result, orientation)) if orientation > 1 else result
    except MemoryError:
        raise
    except UnidentifiedImageError as error:  # Pillow puts the path, or a buffer's address, into this one message
        raise UnreadableError(path, _unknown(file)) from error
    except Exception as error:  # on broken files Pillow's parsers raise whatever they trip over, not only OSError
        raise UnreadableError(path, str(error) or type(error).__name__) from error


def to_rgb(
    image: Image.Image, *, value_range: Range | None = None, ranges: Mapping[str, Range] | None = None
) -> Image.Image:
    """Any Pillow image as 8-bit RGB; ``value_range`` and ``ranges`` as in ``read_image``.

    Transparent pixels are laid over white (dropping the alpha channel would show what the author hid). A fourth band
    of a TIFF that the file does not call alpha is left out. Deeper values v become 255 (v - low) / (high - low).

    Raises:
        ValueRangeError: values whose range is not known, or outside a range that was found in other files.
    """
    kind = kind_of(image)
    if kind == "8-bit":
        return _from_8_bits(image)
    alpha = image.mode == "RGBA" and _has_alpha(image)
    declared = declared_range(image)
    values = deep_values(image)
    low, high = declared or value_range or (ranges or {}).get(kind) or told_range(values, kind)
    pixels = Image.fromarray(_scaled(values, low, high, clip=declared is None and value_range is not None))
    if alpha:
        over = Image.new("RGB", pixels.size, "white")
        over.paste(pixels, mask=image.getchannel("A"))
        return over
    return pixels.convert("RGB")


def kind_of(image: Image.Image) -> str:
    """How an image stores its values: ``8-bit``, ``16-bit``, ``32-bit`` (grey), ``float``, or ``16-bit colour``.

    A file with 16 bits in each colour has to be undecoded (as ``Image.open`` gives it): Pillow keeps 8 of them.
    """
    if image.mode == "F":
        return "float"
    if image.mode.startswith("I;16"):
        return "16-bit"
    if image.mode == "I":
        # Pillow opens PGM files above 8 bits, and signed 16-bit TIFFs, in this mode
        return "32-bit" if _tiff_tag(image, _BITS, (32,))[0] == 32 and image.format != "PPM" else "16-bit"
    deep = any(re.match("(RGB[AX]?|LA);16[LBN]", raw) for raw in _raw_modes(image))
    return "16-bit colour" if deep else "8-bit"


def declared_range(image: Image.Image) -> Range | None:
    """The range that the file's header gives: of PGM (which Pillow scales to 16 bits), and of a TIFF with 12 bits."""
    if image.format == "PPM" and any(tile[0] == "ppm" for tile in getattr(image, "tile", [])):
        return 0.0, 65535.0
    bits = _tiff_tag(image, _BITS, (0,))[0]
    return (0.0, float(2**bits - 1)) if 8 < bits < 16 else None


def deep_values(image: Image.Image) -> np.ndarray:
    """Values of an image with more than 8 bits, as the file holds them: float64 (H, W), or (H, W, 3) in colour."""
    if kind_of(image) != "16-bit colour":
        return np.asarray(image, dtype=np.float64)
    high, low = (np.asarray(half, dtype=np.float64)[..., :3] for half in _both_bytes(image))
    return high * 256 + low


def told_range(values: np.ndarray, kind: str) -> Range:
    """The range that values suggest: 0 to 1 for floats that fit, else 0 to 2^b - 1 for the smallest usual b that fits.

    b is 8, 10, 12, 14 or 16, and 31 for 32-bit values of at least 2^30: cameras and scanners store 12 bits in 16.

    Raises:
        ValueRangeError: negative values, no finite value, or values between the usual depths.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueRangeError("it has no finite value")
    return range_of(float(finite.min()), float(finite.max()), kind)


def range_of(least: float, greatest: float, kind: str) -> Range:
    """``told_range`` of values from ``least`` to ``greatest``."""
    if kind == "float" and least >= 0 and greatest <= 1:
        return 0.0, 1.0
    depths = (*DEPTHS, 31) if kind == "32-bit" and greatest >= 2**30 else DEPTHS
    for bits in depths:
        if least >= 0 and greatest <= 2**bits - 1:
            return 0.0, float(2**bits - 1)
    raise ValueRangeError(
        f"its {kind} values, from {least:g} to {greatest:g}, do not say what is black and white; give the range: "
        f"--value-range {least:g},{greatest:g}"
    )


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) to 8; 1 where the file has none, or where Pillow turns it by itself (TIFF)."""
    if image.format == "TIFF" or not {"exif", "Raw profile type exif"} & set(image.info):
        return 1
    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block says nothing; the pixels may be fine
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _with_orientation(image: Image.Image, orientation: int) -> Image.Image:
    image.getexif()[ORIENTATION] = orientation
    return image


def _from_8_bits(image: Image.Image) -> Image.Image:
    if _tiff_tag(image, _SAMPLE_FORMAT, (1,))[0] == 2:
        raise ValueRangeError("it has signed 8-bit values, which Pillow reads as unsigned; convert it to 16 bits")
    if image.mode == "RGBA" and not _has_alpha(image):
        return image.convert("RGB")
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    image.load()  # convert() returns RGB images as they are, not yet decoded
    return image.convert("RGB")


def _scaled(values: np.ndarray, low: float, high: float, clip: bool) -> np.ndarray:
    """uint8, low -> 0 and high -> 255; values that are not finite become 0."""
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueRangeError("it has no finite value")
    least, greatest = float(values[finite].min()), float(values[finite].max())
    # a range that was asked for may cut off some values, but not all of an image that has several
    outside = (least < greatest and (greatest <= low or least >= high)) if clip else (least < low or greatest > high)
    if outside:
        raise ValueRangeError(
            f"its values, from {least:g} to {greatest:g}, lie outside the range {low:g} to {high:g}"
            + ("" if clip else " of the other images; give the range of all: --value-range LOW,HIGH")
        )
    scaled = (np.where(finite, values, low) - low) * (255 / (high - low))
    return scaled.round().clip(0, 255).astype(np.uint8)


def _raw_modes(image: Image.Image) -> list[str]:
    """How the undecoded values lie in the file, by Pillow's names ("RGB;16L"); empty once it is decoded."""
    args = [tile[3] for tile in getattr(image, "tile", [])]
    return [raw for one in args for raw in (one[:1] if isinstance(one, tuple) else [one]) if isinstance(raw, str)]


def _both_bytes(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """The high and the low byte of every value of 16-bit colour.

    Pillow keeps the high byte; reading the same data in the other byte order gives the low one.
    """
    file = cast(BinaryIO, image.fp)  # type: ignore[attr-defined]
    file.seek(0)
    low = Image.open(io.BytesIO(file.read()))
    raw = _raw_modes(image)[0]
    other = raw[:-1] + ("L" if raw[-1] == "B" or (raw[-1] == "N" and not np.little_endian) else "B")
    grey = raw.startswith("LA")  # Pillow has no other order for these: their four bytes are read as four bands
    other = "RGBA" if grey else other
    low.tile = [tile._replace(args=_with_raw_mode(tile.args, other)) for tile in low.tile]
    low.load()
    image.load()
    return image, low.getchannel("G").convert("RGB") if grey else low


def _with_raw_mode(args: tuple[Any, ...] | str | None, raw: str) -> tuple[Any, ...] | str:
    return (raw, *args[1:]) if isinstance(args, tuple) else raw


def _has_alpha(image: Image.Image) -> bool:
    """Whether the fourth band is transparency: always, but in a TIFF that does not say so (ExtraSamples 1 or 2)."""
    return image.format != "TIFF" or _tiff_tag(image, _ALPHA, (0,))[0] in (1, 2)


def _tiff_tag(image: Image.Image, tag: int, default: tuple[int, ...]) -> tuple[int, ...]:
    tags = getattr(image, "tag_v2", None)
    value = default if tags is None else tags.get(tag, default)
    return value if isinstance(value, tuple) and value else (value,) if isinstance(value, int) else default


def _unknown(file: str | os.PathLike[str] | BinaryIO) -> str:
    """Why Pillow does not know a file: a TIFF of another kind than it reads, or not an image."""
    try:
        data = open(file, "rb") if isinstance(file, str | os.PathLike) else file  # noqa: SIM115
        with data:
            data.seek(0)
            tags = ImageFileDirectory_v2(data.read(8))
            data.seek(tags.next)
            tags.load(data)
            bits = tags.get(_BITS, (1,))
            return f"a TIFF of {tags.get(_SAMPLES, 1)} bands of {bits[0]} bits, which Pillow does not read"
    except Exception:  # whatever a file that is not a TIFF makes of its tags
        return "not an image"
