"""Accuracy against the share of hidden patches, as in Figures 1 (a)-(d) and A1 (a)-(b) of the paper."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import style


def plot(table: pd.DataFrame) -> Figure:
    """One line for each checkpoint, the mean over runs; the band reaches from the lowest run to the highest.

    Args:
        table: occlusion.csv.

    Raises:
        ValueError: an empty table, or columns that are missing.
    """
    style.require(table, ("checkpoint", "run", "ratio", "accuracy"), "occlusion")
    names = list(dict.fromkeys(table["checkpoint"]))
    colours = style.palette(names)
    with style.apply():
        figure = Figure(figsize=(style.COLUMN_WIDTH, style.COLUMN_WIDTH), layout="constrained")
        axes = figure.add_subplot()
        for number, name in enumerate(names):
            runs = table[table["checkpoint"] == name].groupby("ratio")["accuracy"]
            mean, low, high = 100 * runs.mean(), 100 * runs.min(), 100 * runs.max()
            look: dict[str, Any] = dict(color=colours[name], linestyle=style.line_style(number))
            axes.fill_between(mean.index, low, high, color=colours[name], alpha=0.25, linewidth=0)
            axes.plot(mean.index, mean, marker="o", markersize=2.5, label=style.short_name(name), **look)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Occlusion ratio")
        axes.set_ylabel("Top-1 accuracy (%)")
        band = [Patch(color="0.8", linewidth=0)] if table["run"].nunique() > 1 else []
        style.legend_above(figure, axes, 0.68 * style.COLUMN_WIDTH, band, ["range over runs"] * len(band))
    return figure
