"""Original, masked input, prediction and pasted prediction of a user's own checkpoints, as in Figures 5, A2 and A3."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import style

COLUMNS = ("original", "masked", "prediction", "pasted")
SHARED, OWN = COLUMNS[:2], COLUMNS[2:]  # equal for all models on the same images and masks; different
# All lengths are in pixels of the figure, so that each pixel of a small image covers a whole number of them.
PER_INCH = 200
PAGE = round(style.PAGE_WIDTH * PER_INCH)
SMALL, SMALL_CELL, LARGE_CELL, LEAST_CELL = 128, 128, 224, 96  # images of fewer pixels than SMALL are small
SPACE = 4  # between two cells
GAP = 28  # between two models
LINE, CHARACTER = 24, 13  # height of a title's line, width of its characters
COLUMN_NAME = 26
CAPTION = 18
BELOW = 16  # between two lines of models

Panel = Mapping[str, np.ndarray]


def plot(models: Mapping[str, Panel], captions: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """One row per image; models side by side, as many as fit on a page, the others below.

    If all models have the same originals and masked inputs, these are drawn once, on the left, followed by each model's
    prediction and pasted prediction; otherwise each model has all four columns.

    Args:
        models: title -> {"original", "masked", "prediction", "pasted"} -> (n, H, W, 3), pixels in 0..1.
        captions: title -> one line of text per image, written below its prediction.

    Raises:
        ValueError: no models, no images, or a missing panel.
    """
    if not models:
        raise ValueError("reconstruction figure: no models, so there is nothing to draw")
    for title, panels in models.items():
        missing = [name for name in COLUMNS if name not in panels]
        if missing or len(panels["original"]) == 0:
            raise ValueError(f"reconstruction figure: '{title}' lacks {', '.join(missing) or 'images'}")
    layout = _layout(models, captions is not None)
    with style.apply():
        figure = Figure(figsize=(layout.width / PER_INCH, layout.height / PER_INCH))
        for number, (title, panels) in enumerate(models.items()):
            line, place = divmod(number, layout.beside)
            top, left = line * (layout.line_height + BELOW), layout.lead
            if layout.lead and place == 0:
                _draw(figure, layout, panels, SHARED, 0, top)
            left += place * (len(layout.columns) * (layout.cell[1] + SPACE) + GAP)
            _draw(figure, layout, panels, layout.columns, left, top)
            _title(figure, layout, title, left, top)
            for row, text in enumerate((captions or {}).get(title, ())):
                _caption(figure, layout, text, left, top, row)
    return figure


@dataclass(frozen=True)
class _Layout:
    """Where things are: ``cell`` (height, width); ``lead`` is the width of the shared columns and of the gap after."""

    columns: tuple[str, ...]
    cell: tuple[int, int]
    beside: int
    lead: int
    titles: Mapping[str, list[str]]
    row: int
    head: int
    line_height: int
    width: int
    height: int


def _layout(models: Mapping[str, Panel], captions: bool) -> _Layout:
    first = next(iter(models.values()))
    shared = len(models) > 1 and all(
        np.array_equal(panels[name], first[name]) for panels in models.values() for name in SHARED
    )
    columns = OWN if shared else COLUMNS
    common = len(SHARED) if shared else 0
    fitting = (PAGE + GAP - common * (LEAST_CELL + SPACE) - GAP * shared) // (len(columns) * (LEAST_CELL + SPACE) + GAP)
    lines = math.ceil(len(models) / fitting)
    beside = math.ceil(len(models) / lines)
    gaps = (beside - 1 + shared) * GAP
    room = (PAGE - gaps) // (common + beside * len(columns)) - SPACE
    height, width = cell = _cell(first["original"].shape[1:3], room)
    block = len(columns) * (width + SPACE)
    titles = {title: _wrapped(title, block) for title in models}
    row = height + SPACE + CAPTION * captions
    head = LINE * max(map(len, titles.values())) + COLUMN_NAME + 14
    line_height = head + row * max(len(panels["original"]) for panels in models.values())
    lead = common * (width + SPACE) + GAP if shared else 0
    total = lead + beside * block + (beside - 1) * GAP, lines * (line_height + BELOW) - BELOW
    return _Layout(columns, cell, beside, lead, titles, row, head, line_height, *total)


def _cell(size: Sequence[int], room: int) -> tuple[int, int]:
    """Height and width of a drawn image; an enlarged image is scaled by a whole number."""
    longest = max(size)
    target = min(LARGE_CELL if longest >= SMALL else SMALL_CELL, room)
    scale = target // longest if longest <= target else target / longest
    height, width = (max(1, round(side * scale)) for side in size)
    return height, width


def _wrapped(title: str, block: int) -> list[str]:
    """The title wrapped to a block of this width, in at most four lines."""
    lines = textwrap.wrap(title, block // CHARACTER) or [""]
    return lines if len(lines) <= 4 else [*lines[:3], " ".join(lines[3:])]  # shortened when drawn


def _draw(figure: Figure, layout: _Layout, panels: Panel, columns: Sequence[str], left: int, top: int) -> None:
    """Draw columns of a model; ``left`` and ``top`` are distances from the figure's upper left corner."""
    height, width = layout.cell
    for column, name in enumerate(columns):
        x = left + column * (width + SPACE) + SPACE // 2
        _write(figure, layout, x + width / 2, top + layout.head - 10, name, fontsize=min(7, width / 14))
        for row, image in enumerate(panels[name]):
            bottom = top + layout.head + row * layout.row + height
            box = (x / layout.width, 1 - bottom / layout.height, width / layout.width, height / layout.height)
            axes = figure.add_axes(box)
            enlarged = image.shape[0] <= height
            axes.imshow(np.clip(image, 0, 1), interpolation="nearest" if enlarged else "antialiased", aspect="auto")
            axes.set_axis_off()


def _title(figure: Figure, layout: _Layout, title: str, left: int, top: int) -> None:
    middle = left + len(layout.columns) * (layout.cell[1] + SPACE) / 2
    lines = layout.titles[title]
    above = layout.head - COLUMN_NAME - 14 - LINE * (len(lines) - 1)  # the last line is right above the column names
    for number, line in enumerate(lines):
        text = style.short_name(line, len(layout.columns) * (layout.cell[1] + SPACE) // CHARACTER)
        _write(figure, layout, middle, top + above + LINE * number, text, fontsize=7, fontweight="bold")


def _caption(figure: Figure, layout: _Layout, text: str, left: int, top: int, row: int) -> None:
    own = len(layout.columns) - len(OWN)
    middle = left + (own + len(OWN) / 2) * (layout.cell[1] + SPACE)
    baseline = top + layout.head + (row + 1) * layout.row - SPACE - 2
    _write(figure, layout, middle, baseline, text, fontsize=5.5, color="0.3")


def _write(figure: Figure, layout: _Layout, x: float, y: float, text: str, **font: Any) -> None:
    figure.text(x / layout.width, 1 - y / layout.height, text, ha="center", va="baseline", **font)
