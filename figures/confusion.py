"""Which classes a classifier takes for which."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from . import style

NUMBERED = 15  # with more classes the cells are too small for numbers


def plot(table: pd.DataFrame) -> Figure:
    """The share of the images of each class (row) that is taken for each class (column), in per cent.

    Args:
        table: confusion.csv of a run: label, predicted, images; a row for each pair of classes.

    Raises:
        ValueError: an empty table, or columns that are missing.
    """
    style.require(table, ("label", "predicted", "images"), "confusion")
    names = list(dict.fromkeys(table["label"]))
    counts = table.pivot(index="label", columns="predicted", values="images").loc[names, names].to_numpy(dtype=float)
    shares = 100 * counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    side = min(style.PAGE_WIDTH, max(style.COLUMN_WIDTH, 1.2 + 0.28 * len(names)))
    with style.apply():
        figure = Figure(figsize=(side, 0.9 * side), layout="constrained")
        axes = figure.add_subplot()
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        axes.grid(visible=False)
        labels = [style.short_name(name, 16) for name in names]
        axes.set_xticks(range(len(names)), labels, rotation=90)
        axes.set_yticks(range(len(names)), labels)
        axes.set_xlabel("Predicted")
        axes.set_ylabel("Class")
        if len(names) <= NUMBERED:
            for row, column in zip(*shares.round().nonzero(), strict=True):
                share = shares[row, column]
                colour = "white" if share > 60 else "black"
                axes.text(column, row, f"{share:.0f}", ha="center", va="center", fontsize=6, color=colour)
        figure.colorbar(image, ax=axes, label="Images of the class (%)", shrink=0.8)
    return figure
