"""Values of layers by depth, with pooling layers shaded: the panels of Figure 3, ``spectrum`` and ``variance``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import style

POOLED = "#9ecae1"
WIDE = 20  # the vertical axis is logarithmic if the largest value is more than this times the smallest


def plot(
    panels: Sequence[tuple[pd.DataFrame, str]],
    value: str,
    label: str,
    *,
    layers: pd.DataFrame,
    positive: bool = False,
) -> Figure:
    """Panels side by side with one legend.

    Args:
        panels: (table, title); each table has ``checkpoint, depth, ci_low, ci_high`` and the column ``value``.
        label: label of the vertical axis.
        layers: table of all layers with their ``height`` and ``width``, which show where a network pools.
        positive: whether all values are positive; a wide range of them is drawn on a logarithmic axis.
    """
    names = list(dict.fromkeys(layers["checkpoint"]))
    colours = style.palette(names)
    pooled = {name: pooling(layers[layers["checkpoint"] == name]) for name in names}
    looks = {
        name: dict(label=style.short_name(name), color=colours[name], linestyle=style.line_style(number))
        for number, name in enumerate(names)
    }
    width = style.COLUMN_WIDTH if len(panels) == 1 else style.PAGE_WIDTH
    with style.apply():
        figure = Figure(figsize=(width, style.COLUMN_WIDTH), layout="constrained")
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for one, (table, title) in zip(axes, panels, strict=True):
            shades = panel(one, table, value, looks, pooled)
            one.set_title(title)
        axes[0].set_ylabel(label)
        if positive:
            scale(axes[0], pd.concat([table[value] for table, _ in panels]))
        handles, labels = style.band()
        if shades:
            handles, labels = [*handles, shades[0]], [*labels, "pooling"]
        style.legend_above(figure, axes[0], 0.68 * style.COLUMN_WIDTH, handles, labels)
    return figure


def panel(
    axes: Axes,
    table: pd.DataFrame,
    value: str,
    looks: Mapping[Any, Mapping[str, Any]],
    pooled: Mapping[Any, Sequence[tuple[float, float]]],
) -> list[Artist]:
    """Draw one line with its band per checkpoint; returns the legend's entry for pooling, if there is one.

    Args:
        looks: checkpoint -> label, color, linestyle.
        pooled: checkpoint -> spans of depth to shade.
    """
    shades = _shade(axes, pooled, {name: look["color"] for name, look in looks.items()})
    for name, look in looks.items():
        rows = table[table["checkpoint"] == name].sort_values("depth")
        style.curve(axes, rows["depth"], rows[value], rows["ci_low"], rows["ci_high"], **look)
    axes.set_xlim(-0.03, 1.03)
    axes.set_xlabel("Normalised depth")
    return shades


def pooling(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Spans of depth around the layers whose feature map is smaller than that of the layer before."""
    layers = rows.drop_duplicates("layer").sort_values("depth")
    depth, area = layers["depth"].to_numpy(), (layers["height"] * layers["width"]).to_numpy()
    if len(depth) < 2:
        return []
    half = np.diff(depth).min() / 2
    return [(float(at - half), float(at + half)) for at in depth[1:][np.diff(area) < 0]]


def _shade(axes: Axes, pooled: Mapping[Any, Sequence[tuple[float, float]]], colours: Mapping[Any, str]) -> list[Artist]:
    """Shade where networks pool: in one colour if all that pool do so at the same depths, else in each one's colour."""
    named: dict[tuple[tuple[float, float], ...], Any] = {}
    for name, spans in pooled.items():
        if spans:
            named.setdefault(tuple(spans), name)  # once for all networks that pool at the same depths
    agreed = len(named) < 2
    for depths, name in named.items():
        for start, end in depths:
            axes.axvspan(start, end, color=POOLED if agreed else colours[name], alpha=0.45 if agreed else 0.15, lw=0)
    return [Patch(color=POOLED if agreed else "0.8", alpha=0.45 if agreed else 1, linewidth=0)] if named else []


def scale(axes: Axes, values: pd.Series) -> None:
    """Set the vertical axis for positive values: logarithmic if their range is wide, else from 0."""
    seen = values[values > 0]
    if len(seen) == len(values) and seen.max() > WIDE * seen.min():
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
