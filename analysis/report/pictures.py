"""Pictures of the page: figures rebuilt from the tables, as small PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure
from PIL import Image

from a2mim.errors import InputError
from a2mim.figures import style

from ..core.numbers import Tables, listed
from .model import Picture

if TYPE_CHECKING:
    from ..core.analysis import Analysis

RESOLUTION = 200  # dots per inch
SCALES = (0.75, 0.6, 0.45, 0.3, 0.2)  # of the pictures, tried in turn where they are too large
LATER = 60  # seconds that a picture may be older than its table


def of(record: Analysis[Any], tables: Tables, path: Path, gist: str) -> tuple[list[Picture], list[str]]:
    """The pictures of an analysis, and a line for each that could not be drawn.

    Figures are drawn again from the tables. Pictures that need more than the tables, such as images, are shown as they
    were written.

    Args:
        tables: those that could be read; a figure of a table that is not there is left out.
        path: of the main table.
        gist: what the numbers say, in a clause; it ends the alternative text of the first figure.
    """
    pictures: list[Picture] = []
    notes: list[str] = []
    names = listed(dict.fromkeys(tables[""]["checkpoint"])) if "checkpoint" in tables[""] else path.stem
    for key, plot in record.figures.items():
        caption, shows = record.captions.get(key, (record.title, f"{record.title}: {key or 'figure'}"))
        alt = f"{shows}, of {names}{'; ' + gist if gist and not pictures else ''}."
        try:
            pictures.append(Picture(png(plot(tables)), alt, caption))
        except (ValueError, KeyError, TypeError, ArithmeticError) as error:
            if isinstance(error, KeyError) and error.args[0] in record.columns.keys() - tables.keys():
                continue
            notes.append(f"A picture could not be drawn from {path.name}: {' '.join(str(error).split())[:200]}.")
    for key in record.pictures:
        caption, shows = record.captions.get(key, (record.title, f"{record.title}: {key or 'picture'}"))
        file = path.with_name(f"{path.stem}{'_' if key else ''}{key}.png")
        if file.is_file():
            found, note = embedded(file, f"{shows}, of {names}.", caption, path)
            pictures += [found] if found else []
            notes += [note] if note else []
    return pictures, notes


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
        return None, f"{file.name} is not a picture ({' '.join(str(error).split())[:80]}); it is left out."
    older = table is not None and file.stat().st_mtime < table.stat().st_mtime - LATER
    return (
        found,
        f"{file.name} is older than {table.name}: it may be from another measurement." if older and table else "",
    )


def fit(pictures: Sequence[Picture], allowed: int) -> tuple[list[Picture], str]:
    """The pictures within ``allowed`` bytes in total, if needed all made smaller by one factor; a note says so.

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
