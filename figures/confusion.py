"""Which classes a classifier takes for which; not in the paper, drawn for a user's own runs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn
from matplotlib.figure import Figure

from . import style

NUMBERED = 15  # with more classes the cells are too small for numbers


def plot(table: pd.DataFrame) -> Figure:
    """The percentage of the images of each class (row) that is classified as each class (column).

    Args:
        table: confusion.csv of a run: label, predicted, images; a row for each pair of classes.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, ("label", "predicted", "images"), "confusion")
    names = list(dict.fromkeys(table["label"]))
    counts = table.pivot(index="label", columns="predicted", values="images").loc[names, names].to_numpy(dtype=float)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    numbers = np.where(shares.round() > 0, np.char.mod("%.0f", shares), "") if len(names) <= NUMBERED else False
    side = min(style.PAGE_WIDTH, max(style.COLUMN_WIDTH, 1.2 + 0.28 * len(names)))
    labels = [style.short_name(name, 16) for name in names]
    with style.apply():
        figure = Figure(figsize=(side, 0.9 * side), layout="constrained")
        axes = seaborn.heatmap(
            shares,
            ax=figure.add_subplot(),
            cmap="Blues",
            vmin=0,
            vmax=100,
            square=True,
            annot=numbers,
            fmt="",
            annot_kws={"fontsize": 6},
            xticklabels=labels,
            yticklabels=labels,
            cbar_kws={"label": "Images of the class (%)", "shrink": 0.8},
        )
        axes.set_xlabel("Predicted")
        axes.set_ylabel("Class")
    return figure
