"""Accuracy by the share of hidden patches of a user's own checkpoints, as in Figures 1 (a)-(d) and A1 (a)-(b)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style

NEEDED = ("checkpoint", "run", "ratio", "accuracy")
PANELS_IN_LINE = 3


def plot(table: pd.DataFrame) -> Figure:
    """One line per checkpoint, the mean over runs, with its 95 % interval; one panel per fill.

    Without intervals in the table (``ci_low``, ``ci_high``), bands reach from the lowest run to the highest.

    Args:
        table: occlusion.csv.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, NEEDED, "occlusion")
    panels = list(table.groupby("fill", sort=False)) if "fill" in table else [("", table)]
    return _draw(panels, "Occlusion ratio", lambda axes: axes.set_xlim(-0.02, 1.02))


def plot_shuffle(table: pd.DataFrame) -> Figure:
    """Accuracy by the size of the grid whose cells are shuffled, in cells per side.

    Args:
        table: shuffle.csv.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, ("checkpoint", "run", "side", "accuracy"), "shuffle")
    sides = sorted(table["side"].unique())

    def ticks(axes: Axes) -> None:
        axes.set_xticks(range(len(sides)), [f"{side}×{side}" for side in sides])
        axes.set_xlim(-0.1, len(sides) - 0.9)

    places = table.assign(ratio=table["side"].map({side: place for place, side in enumerate(sides)}))
    return _draw([("", places)], "Shuffled grid", ticks)


def _draw(panels: Sequence[tuple[Any, pd.DataFrame]], xlabel: str, ticks: Any) -> Figure:
    """Panels side by side with shared axes and one legend."""
    names = list(dict.fromkeys(name for _, table in panels for name in table["checkpoint"]))
    columns = min(len(panels), PANELS_IN_LINE)
    lines = math.ceil(len(panels) / columns)
    width = style.COLUMN_WIDTH if columns == 1 else style.PAGE_WIDTH
    height = 0.68 * style.COLUMN_WIDTH * lines if columns == 1 else 0.75 * width / columns * lines
    with style.apply():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for number, (axes, (title, table)) in enumerate(zip(grid.flat, panels, strict=False)):
            _curves(axes, table, names)
            ticks(axes)
            axes.set_ylim(bottom=0)
            axes.set_title(title if len(panels) > 1 else "")
            axes.tick_params(labelbottom=number + columns >= len(panels))  # nothing stands below
        figure.supxlabel(xlabel, fontsize=8)
        figure.supylabel("Top-1 accuracy (%)", fontsize=8)
        style.legend_above(figure, grid.flat[0], height, *_band(panels[0][1]))
    return figure


def _curves(axes: Axes, table: pd.DataFrame, names: Sequence[str]) -> None:
    colours = style.palette(names)
    for number, name in enumerate(names):
        points = table[table["checkpoint"] == name].groupby("ratio")
        mean = 100 * points["accuracy"].mean()
        low, high = (
            (100 * points["ci_low"].first(), 100 * points["ci_high"].first())
            if "ci_low" in table
            else (100 * points["accuracy"].min(), 100 * points["accuracy"].max())
        )
        look: dict[str, Any] = dict(color=colours[name], linestyle=style.line_style(number))
        style.curve(axes, mean.index, mean, low, high, label=style.short_name(name), **look)


def _band(table: pd.DataFrame) -> tuple[list[Artist], list[str]]:
    handles, labels = style.band()
    if "ci_low" in table:
        return handles, labels
    return (handles, ["range over runs"]) if table["run"].nunique() > 1 else ([], [])
