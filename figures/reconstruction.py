"""Panels of original, masked input, prediction and pasted prediction, as in Figures 5 and A2 of the paper."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from . import style

COLUMNS = ("original", "masked", "prediction", "pasted")
MODELS_IN_LINE = 3  # as many as fit a page; more go below
# inches
CELL = 0.56
SPACE = 0.02  # between two cells
GAP = 0.14  # between two models
HEAD = 0.45  # titles above each line of models


def plot(models: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """One row for each image; for each model, side by side, original, masked input, prediction and pasted prediction.

    Args:
        models: title -> {"original", "masked", "prediction", "pasted"} -> (n, H, W, 3), pixels in 0..1.

    Raises:
        ValueError: no model, no image, or a panel that is missing.
    """
    if not models:
        raise ValueError("reconstruction figure: no models, so there is nothing to draw")
    for title, panels in models.items():
        missing = [name for name in COLUMNS if name not in panels]
        if missing or len(panels["original"]) == 0:
            raise ValueError(f"reconstruction figure: '{title}' lacks {', '.join(missing) or 'images'}")
    lines = math.ceil(len(models) / MODELS_IN_LINE)
    beside = math.ceil(len(models) / lines)
    width = beside * len(COLUMNS) * CELL + (beside - 1) * GAP
    height = HEAD + CELL * max(len(panels["original"]) for panels in models.values())
    with style.apply():
        figure = Figure(figsize=(width, height * lines))
        for number, (title, panels) in enumerate(models.items()):
            line, place = divmod(number, beside)
            _draw(figure, title, panels, left=place * (len(COLUMNS) * CELL + GAP), top=line * height)
    return figure


def _draw(figure: Figure, title: str, panels: Mapping[str, np.ndarray], left: float, top: float) -> None:
    """One model, at ``left`` and ``top`` inches from the figure's upper left corner."""
    width, height = figure.get_size_inches()

    def write(x: float, y: float, text: str, **font: Any) -> None:
        figure.text(x / width, 1 - y / height, text, ha="center", va="baseline", **font)

    whole = CELL * len(COLUMNS)
    write(left + whole / 2, top + 0.19, style.short_name(title, limit=round(12 * whole)), fontweight="bold")
    for column, name in enumerate(COLUMNS):
        x = left + column * CELL
        write(x + CELL / 2, top + HEAD - 0.08, name, fontsize=7)
        for row, image in enumerate(panels[name]):
            y, side = top + HEAD + (row + 1) * CELL - SPACE / 2, CELL - SPACE
            axes = figure.add_axes(((x + SPACE / 2) / width, 1 - y / height, side / width, side / height))
            # small images stand on their pixels; large ones are smoothed
            axes.imshow(np.clip(image, 0, 1), interpolation="nearest" if image.shape[0] < 128 else "antialiased")
            axes.set_axis_off()
