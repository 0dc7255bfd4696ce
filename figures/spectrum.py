"""Fourier spectra of feature maps of a user's own checkpoints: by depth, as in Figure 3 (a), and by frequency."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from . import depths, style

NEEDED = ("checkpoint", "layer", "depth", "frequency", "log_amplitude", "ci_low", "ci_high", "height", "width")
AMPLITUDE = r"$\Delta$ log amplitude"
DEPTHS = "viridis_r"  # bright for shallow layers, dark for deep ones


def plot(table: pd.DataFrame, at: pd.DataFrame | None = None) -> Figure:
    """Amplitude of the highest frequency by normalised depth (Figure 3 a): a line and a 95 % band per checkpoint.

    Pooling layers, whose map is smaller than that of the layer before, are shaded.

    Args:
        table: spectrum.csv.
        at: spectrum_at.csv, all layers at one frequency; drawn in a second panel.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, NEEDED, "spectrum")
    if at is not None:
        style.require(at, NEEDED, "spectrum at one frequency")
    table = table.reset_index(drop=True)  # tables joined from several files repeat index values
    highest = table.loc[table.groupby(["checkpoint", "layer"], sort=False)["frequency"].idxmax()]
    low, high = highest["frequency"].min(), highest["frequency"].max()
    span = f"{low:.2g}π to {high:.2g}π" if low < high else f"{low:.2g}π"
    panels = [(highest, f"highest of each layer ({span})")]
    if at is not None:
        panels.append((at, f"all layers at {at['frequency'].iloc[0]:.2g}π"))
    return depths.plot(panels, "log_amplitude", AMPLITUDE, layers=table)


def plot_full(table: pd.DataFrame) -> Figure:
    """Log amplitude by frequency: one panel per checkpoint, one line per layer, coloured by depth.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, NEEDED, "spectrum")
    names = list(dict.fromkeys(table["checkpoint"]))
    columns = {1: 1, 2: 2, 4: 2}.get(len(names), 3)
    rows = math.ceil(len(names) / columns)
    width = (style.COLUMN_WIDTH, 5.2, style.PAGE_WIDTH)[columns - 1]
    with style.apply():
        figure = Figure(figsize=(width, 0.2 + 2.3 * rows), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, name in zip(panels.flat, names, strict=False):
            _lines(axes, table[table["checkpoint"] == name], style.short_name(name, limit=34))
        for number in range(len(names), panels.size):
            panels.flat[number].set_axis_off()
            panels.flat[number - columns].tick_params(labelbottom=True)  # the lowest of its column
        for axes in panels[:, 0]:
            axes.set_ylabel(AMPLITUDE)
        figure.supxlabel("Frequency", fontsize=8)
        bar = figure.colorbar(ScalarMappable(Normalize(0, 1), DEPTHS), ax=panels, label="Normalised depth", pad=0.02)
        bar.outline.set_visible(False)
    return figure


def _lines(axes: Axes, rows: pd.DataFrame, title: str) -> None:
    for _, layer in rows.groupby("layer", sort=False):
        look: dict[str, Any] = dict(color=colormaps[DEPTHS](float(layer["depth"].iloc[0])), linewidth=1.0)
        ordered = layer.sort_values("frequency")
        axes.plot(ordered["frequency"], ordered["log_amplitude"], **look)
    axes.set_title(title)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "", "0.5π", "", "1.0π"])
