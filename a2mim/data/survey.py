"""What kind of pictures a folder holds: a look at a sample of its files before all of them are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from a2mim import seeds

from .pixels import Range, ValueRangeError, declared_range, deep_values, kind_of, orientation_of, range_of

SAMPLE = 1000  # files whose header is read
DECODED = 64  # of these, files above 8 bits whose values are read


@dataclass(frozen=True)
class Survey:
    """What a seeded sample of ``files`` files of ``n_images`` showed.

    Attributes:
        rotated: files with an EXIF orientation other than upright.
        kinds: number of files for each ``kind_of`` above 8 bits.
        extremes: smallest and largest value seen for each such kind.
        ranges: values that become black and white, for each kind that says so.
    """

    n_images: int
    files: int
    rotated: int
    kinds: dict[str, int]
    extremes: dict[str, Range]
    ranges: dict[str, Range]

    def with_values_of(self, other: Survey) -> Survey:
        """This survey, with ranges that hold for the images of another too."""
        extremes = dict(self.extremes)
        for kind, (least, greatest) in other.extremes.items():
            seen = extremes.get(kind, (least, greatest))
            extremes[kind] = min(seen[0], least), max(seen[1], greatest)
        kinds = {kind: self.kinds.get(kind, 0) for kind in (*self.kinds, *other.kinds)}
        return replace(self, kinds=kinds, extremes=extremes, ranges=_ranges(extremes))

    def notes(self, value_range: Range | None, exif_rotate: bool) -> list[str]:
        """Lines for the user on rotation and value ranges; none where all files are upright with 8 bits."""
        of = f"{self.files} images" if self.files == self.n_images else f"a sample of {self.files} images"
        lines = []
        for kind, (low, high) in () if value_range else self.ranges.items():
            if not self.kinds.get(kind):
                continue
            least, greatest = self.extremes[kind]
            lines.append(
                f"{self.kinds[kind]} of {of} have {kind} values, seen from {least:g} to {greatest:g}: {low:g} becomes "
                f"black and {high:g} white (--value-range changes it)"
            )
        if self.rotated:
            done = "applied" if exif_rotate else "not applied, as in timm and torchvision (--exif-rotate applies it)"
            lines.append(f"{self.rotated} of {of} have an EXIF rotation: {done}")
        return lines


def survey(n_images: int, path: Callable[[int], str], seed: int = 0) -> Survey:
    """Read the headers of at most 1,000 images, and the values of at most 64 that have more than 8 bits.

    Args:
        n_images: number of images.
        path: file of an image by its number. Files that cannot be read are skipped: the loader reports them.
        seed: of the sample.
    """
    chosen = np.arange(n_images)
    if n_images > SAMPLE:
        chosen = np.sort(seeds.numpy_generator(seed, "survey").permutation(n_images)[:SAMPLE])
    rotated, kinds, seen = 0, dict[str, int](), dict[str, list[float]]()
    for index in chosen.tolist():
        try:
            with Image.open(path(index)) as image:
                rotated += orientation_of(image) > 1
                kind = kind_of(image)
                if kind == "8-bit" or declared_range(image):
                    continue
                kinds[kind] = kinds.get(kind, 0) + 1
                if kinds[kind] <= DECODED:
                    values = deep_values(image)
                    finite = values[np.isfinite(values)]
                    seen.setdefault(kind, []).extend([finite.min(), finite.max()] if finite.size else [])
        except Exception:  # Pillow's parsers raise anything; the loader will name the file
            continue
    extremes = {kind: (float(min(values)), float(max(values))) for kind, values in seen.items() if values}
    return Survey(n_images, len(chosen), int(rotated), kinds, extremes, _ranges(extremes))


def _ranges(extremes: dict[str, Range]) -> dict[str, Range]:
    ranges = {}
    for kind, (least, greatest) in extremes.items():
        try:
            ranges[kind] = range_of(least, greatest, kind)
        except ValueRangeError:
            continue  # the caller refuses, unless a range was given
    return ranges
