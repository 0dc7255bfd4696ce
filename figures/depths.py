"""Values of layers against their depth: one line for each checkpoint, pooling layers shaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import style

POOLED = "#9ecae1"
WIDE = 20  # a scale of logarithms where the largest value is so many times the smallest


def plot(
    panels: Sequence[tuple[pd.DataFrame, str]],
    value: str,
    label: str,
    *,
    layers: pd.DataFrame,
    positive: bool = False,
) -> Figure:
    """Panels beside each other, of one legend.

    Args:
        panels: (table, title); a table has ``checkpoint, depth, ci_low, ci_high`` and the column ``value``.
        label: of the vertical axis.
        layers: a table of all layers, with their ``height`` and ``width``, from which pooling is read.
        positive: the values are; where they span much, they are drawn on a scale of logarithms.
    """
    names = list(dict.fromkeys(layers["checkpoint"]))
    colours = style.palette(names)
    pooled = {name: pooling(layers[layers["checkpoint"] == name]) for name in names}
    width = style.COLUMN_WIDTH if len(panels) == 1 else style.PAGE_WIDTH
    with style.apply():
        figure = Figure(figsize=(width, style.COLUMN_WIDTH), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for one, (table, title) in zip(axes, panels, strict=True):
            shades = _shade(one, pooled, colours)
            for number, name in enumerate(names):
                rows = table[table["checkpoint"] == name].sort_values("depth")
                _line(one, rows, value, style.short_name(name), colours[name], style.line_style(number))
            one.set_title(title)
            one.set_xlim(-0.03, 1.03)
            one.set_xlabel("Normalised depth")
        axes[0].set_ylabel(label)
        if positive:
            _scale(axes[0], pd.concat([table[value] for table, _ in panels]))
        handles, labels = style.band()
        if shades:
            handles, labels = [*handles, shades[0]], [*labels, "pooling"]
        style.legend_above(figure, axes[0], 0.68 * style.COLUMN_WIDTH, handles, labels)
    return figure


def pooling(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Spans of depth around the layers of a network whose map is smaller than that of the layer before."""
    layers = rows.drop_duplicates("layer").sort_values("depth")
    depth, area = layers["depth"].to_numpy(), (layers["height"] * layers["width"]).to_numpy()
    if len(depth) < 2:
        return []
    half = np.diff(depth).min() / 2
    return [(float(at - half), float(at + half)) for at in depth[1:][np.diff(area) < 0]]


def _shade(axes: Axes, pooled: Mapping[str, Sequence[tuple[float, float]]], colours: Mapping[str, str]) -> list[Artist]:
    """Shade where networks pool: in one colour where those that do agree, in a tint of its own for each otherwise."""
    named: dict[tuple[tuple[float, float], ...], str] = {}
    for name, spans in pooled.items():
        if spans:
            named.setdefault(tuple(spans), name)  # once for all networks that pool at the same depths
    agreed = len(named) < 2
    for depths, name in named.items():
        for start, end in depths:
            axes.axvspan(start, end, color=POOLED if agreed else colours[name], alpha=0.45 if agreed else 0.15, lw=0)
    return [Patch(color=POOLED if agreed else "0.8", alpha=0.45 if agreed else 1, linewidth=0)] if named else []


def _line(axes: Axes, rows: pd.DataFrame, value: str, label: str, colour: str, line: str) -> None:
    axes.fill_between(rows["depth"], rows["ci_low"], rows["ci_high"], color=colour, alpha=0.2, linewidth=0)
    axes.plot(rows["depth"], rows[value], color=colour, linestyle=line, label=label, marker="o", markersize=2.5)


def _scale(axes: Axes, values: pd.Series) -> None:
    seen = values[values > 0]
    if len(seen) == len(values) and seen.max() > WIDE * seen.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
