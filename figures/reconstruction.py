"""Panels of original, masked input, prediction and pasted prediction, as in Figures 5 and A2 of the paper."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from . import style

COLUMNS = {"original": "original", "masked": "masked", "prediction": "prediction", "pasted": "pasted"}
CELL = 0.62  # inches


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
    rows = max(len(panels["original"]) for panels in models.values())
    gap = 0.25  # between two models, in cells
    width = len(models) * len(COLUMNS) + gap * (len(models) - 1)
    with style.apply():
        figure = Figure(figsize=(CELL * width, CELL * rows + 0.42))
        top = 1 - 0.42 / figure.get_figheight()
        for number, (title, panels) in enumerate(models.items()):
            left = number * (len(COLUMNS) + gap)
            for column, (name, label) in enumerate(COLUMNS.items()):
                for row, image in enumerate(panels[name]):
                    box = ((left + column) / width, top * (1 - (row + 1) / rows), 1 / width, top / rows)
                    axes = figure.add_axes((box[0] + 0.02 / width, box[1], box[2] - 0.04 / width, box[3] * 0.96))
                    # small images stand on their pixels; large ones are smoothed
                    axes.imshow(
                        np.clip(image, 0, 1), interpolation="nearest" if image.shape[0] < 128 else "antialiased"
                    )
                    axes.set_axis_off()
                centre = (left + column + 0.5) / width
                figure.text(centre, top + 0.03 / figure.get_figheight(), label, ha="center", va="bottom", fontsize=7)
            limit = round(13 * CELL * len(COLUMNS))
            figure.text(
                (left + len(COLUMNS) / 2) / width,
                top + 0.2 / figure.get_figheight(),
                style.short_name(title, limit),
                ha="center",
                va="bottom",
                fontweight="bold",
            )
    return figure
