"""What a figure shows, as a table: the points of its lines and bands and the bars of its points."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.collections import PolyCollection


def curves(figure):
    """One row for each point of each line that has a band: panel, line, x, y, low, high."""
    rows = []
    for axes in figure.axes:
        bands = [item for item in axes.collections if isinstance(item, PolyCollection)]
        lines = [line for line in axes.lines if not line.get_label().startswith("_")]
        for line, band in zip(lines, bands, strict=True):
            corners = band.get_paths()[0].vertices if band.get_paths() else np.empty((0, 2))
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
                heights = corners[np.isclose(corners[:, 0], x), 1]
                low, high = (heights.min(), heights.max()) if len(heights) else (np.nan, np.nan)
                rows.append((axes.get_title(loc="left"), axes.get_ylabel(), line.get_label(), x, y, low, high))
    return pd.DataFrame(rows, columns=["panel", "ylabel", "line", "x", "y", "low", "high"])


def bars(figure):
    """One row for each point with an error bar: panel, series, x, y, low, high."""
    rows = []
    for axes in figure.axes:
        for container in axes.containers:
            line, _, (segments,) = container
            for (x, y), ends in zip(line.get_xydata(), segments.get_segments(), strict=True):
                rows.append((axes.get_title(), container.get_label(), x, y, *ends[:, 1]))
    return pd.DataFrame(rows, columns=["panel", "series", "x", "y", "low", "high"])


def caption(figure):
    return " ".join(figure.get_supxlabel().split())


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]
