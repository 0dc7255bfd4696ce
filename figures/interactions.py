"""Interaction strength J(m) by the order m of a user's own checkpoints, as in Figures 1 (e)-(h) and A1 (c)-(d)."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import style

NEEDED = ("checkpoint", "ratio", "strength", "J", "J_ci_low", "J_ci_high", "noise_floor")
TICKS = {0.0: "0", 0.2: "$0.2n$", 0.4: "$0.4n$", 0.6: "$0.6n$", 0.8: "$0.8n$", 1.0: "$n$"}
NOISE_LINE: dict[str, Any] = dict(linestyle=":", linewidth=0.9)


def plot(table: pd.DataFrame, *, noise_floor: bool = True) -> Figure:
    """J(m) of Eq. (2): one line per checkpoint, with its 95 % interval as a band.

    The horizontal axis shows the ratio of the order, m = ratio·(n − 2), as in the paper.

    Args:
        table: interactions.csv.
        noise_floor: draw a dotted line at the J(m) that noise alone would give, if every interaction were zero. It has
            no points where the noise is zero (the first and last order have one context) or unknown.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, NEEDED, "interactions")
    names = list(dict.fromkeys(table["checkpoint"]))
    colours = style.palette(names)
    with style.apply():
        figure = Figure(figsize=(style.COLUMN_WIDTH, style.COLUMN_WIDTH), layout="constrained")
        axes = figure.add_subplot()
        for name in names:
            rows = table[table["checkpoint"] == name].sort_values("ratio")
            _curve(axes, rows, style.short_name(name), colours[name], noise_floor)
        axes.set_xticks(list(TICKS), list(TICKS.values()))
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("Order $m$")
        axes.set_ylabel("Interaction strength $J^{(m)}$")
        handles, labels = style.band()
        if noise_floor:
            handles, labels = [*handles, Line2D([], [], color="0.4", **NOISE_LINE)], [*labels, "noise floor"]
        style.legend_above(figure, axes, 0.68 * style.COLUMN_WIDTH, handles, labels)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, label: str, colour: str, noise_floor: bool) -> None:
    style.curve(axes, rows["ratio"], rows["J"], rows["J_ci_low"], rows["J_ci_high"], label=label, color=colour)
    noisy = rows[rows["noise_floor"] > 0]
    if noise_floor:
        axes.plot(noisy["ratio"], noisy["noise_floor"] * noisy["J"] / noisy["strength"], color=colour, **NOISE_LINE)
