"""Pictures of the page: figures rebuilt from the tables, as small PNG files."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from PIL import Image

from a2mim.errors import InputError
from a2mim.figures import bands, interactions, occlusion, spectrum, style, variance

from . import reading
from .model import Picture, listed

RESOLUTION = 200  # dots per inch
SCALES = (0.75, 0.6, 0.45, 0.3, 0.2)  # of the pictures, tried in turn where there is too much of them
LATER = 60  # seconds between a table and its picture that are no accident
Drawn = list[tuple[Callable[[], Figure], str, str]]  # how it is drawn, what it shows, its caption


def of(kind: str, rows: pd.DataFrame, path: Path, gist: str) -> tuple[list[Picture], list[str]]:
    """The pictures of an analysis, drawn from its tables, and a line for each that could not be drawn.

    Args:
        gist: what the numbers say, in a clause; it ends the first picture's description.
    """
    pictures: list[Picture] = []
    notes: list[str] = []
    for draw, shows, caption in _figures(kind, rows, path):
        try:
            picture = Picture(png(draw()), f"{shows}{'; ' + gist if gist and not pictures else ''}.", caption)
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            notes.append(f"A picture could not be drawn from {path.name}: {' '.join(str(error).split())[:200]}.")
            continue
        pictures.append(picture)
    for name, shows, caption in _EMBEDDED.get(kind, ()):
        file = path.with_name(f"{path.stem}{name}.png")
        if file.is_file():
            found, note = embedded(file, f"{shows} {_names(rows)}.", caption, path)
            pictures += [found] if found else []
            notes += [note] if note else []
    return pictures, notes


def _figures(kind: str, rows: pd.DataFrame, path: Path) -> Drawn:
    names = _names(rows)
    if kind == "occlusion":
        shows = f"Lines of top-1 accuracy against the share of hidden patches, of {names}"
        return [(lambda: occlusion.plot(rows), shows, "Accuracy against the share of hidden patches")]
    if kind == "shuffle":
        shows = f"Lines of top-1 accuracy against the number of shuffled cells, of {names}"
        return [(lambda: occlusion.plot_shuffle(rows), shows, "Accuracy against the grid that is shuffled")]
    if kind == "interactions":
        shows = f"Lines of the interaction strength J(m) against the order m, of {names}"
        return [(lambda: interactions.plot(rows), shows, "J(m) against the order m")]
    if kind == "spectrum":
        columns = ("checkpoint", "layer", *reading.KINDS["spectrum"].numbers)
        at, _ = reading.read_beside(path, "at", columns)
        whole = f"Lines of log amplitude against frequency, one for each layer, in a panel for each of {names}"
        depth = f"Lines of the log amplitude of high frequencies against depth, of {names}"
        return [
            (lambda: spectrum.plot(rows, at), depth, "Amplitude of high frequencies by depth"),
            (lambda: spectrum.plot_full(rows), whole, "All frequencies, layer by layer"),
        ]
    if kind == "variance":
        shows = f"Lines of the spatial variance of feature maps against depth, of {names}"
        return [(lambda: variance.plot(rows), shows, "Variance by depth")]
    if kind == "reconstruct":
        table, _ = reading.read_beside(path, "bands", bands.NEEDED)
        shows = f"Energy of error and of prediction against frequency, relative to the original's, of {names}"
        return [(lambda: bands.plot(table), shows, "Error and energy by frequency")] if table is not None else []
    return []


_EMBEDDED = {
    "reconstruct": [
        (
            "",
            "Images with hidden cells, predictions, and predictions in their place, of",
            "Images and what was made of them",
        )
    ],
    "interactions": [
        (
            "_map",
            "Images with the patches and pairs that interact most, by order, of",
            "Which patches interact, by order",
        )
    ],
}


def png(figure: Figure) -> bytes:
    """A figure as a PNG of at most 256 colours."""
    file = io.BytesIO()
    with style.apply():
        figure.savefig(file, format="png", dpi=RESOLUTION)
    with Image.open(file) as image:
        return _smallest(image.convert("RGB"), file.getvalue())


def embedded(file: Path, shows: str, caption: str, table: Path | None = None) -> tuple[Picture | None, str]:
    """A PNG that cannot be drawn again, as it was written; a note where it is broken, or not as new as its table."""
    try:
        data = file.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            found = Picture(_smallest(image.convert("RGB"), data), shows, f"{caption} (as written, {file.name})")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return None, f"{file.name} is no picture ({' '.join(str(error).split())[:80]}); it is left out."
    older = table is not None and file.stat().st_mtime < table.stat().st_mtime - LATER
    return found, f"{file.name} is older than {table.name}: it may show another measurement." if older and table else ""


def fit(pictures: Sequence[Picture], allowed: int) -> tuple[list[Picture], str]:
    """The pictures within so many bytes in all: made smaller, all alike, where they are more; says so.

    Raises:
        InputError: they do not fit at any size.
    """
    if sum(len(one.png) for one in pictures) <= allowed:
        return list(pictures), ""
    for scale in SCALES:
        smaller = [replace(one, png=_scaled(one.png, scale)) for one in pictures]
        if sum(len(one.png) for one in smaller) <= allowed:
            note = f"The {len(pictures)} pictures are shown at {scale:.0%} of their size, so that the page stays small."
            return smaller, f"{note} Those beside the tables are whole."
    raise InputError(f"{len(pictures)} pictures do not fit a page; report on fewer runs and results at a time")


def _scaled(data: bytes, scale: float) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        size = [max(1, round(side * scale)) for side in image.size]
        return _smallest(image.convert("RGB").resize((size[0], size[1]), Image.Resampling.LANCZOS), data)


def _smallest(image: Image.Image, data: bytes) -> bytes:
    """The image with a palette, or ``data`` where that takes fewer bytes."""
    file = io.BytesIO()
    image.quantize(256, dither=Image.Dither.NONE).save(file, format="PNG", optimize=True)
    return min(file.getvalue(), data, key=len)


def _names(rows: pd.DataFrame) -> str:
    return listed(dict.fromkeys(rows["checkpoint"])) if "checkpoint" in rows else ""
