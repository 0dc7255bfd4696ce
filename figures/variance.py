"""Spatial variance of feature maps by depth of a user's own checkpoints, as in Figure 3 (b)."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from . import depths, style

NEEDED = ("checkpoint", "layer", "depth", "ci_low", "ci_high", "height", "width")
LABELS = {"variance": "Feature map variance", "std": "Feature map standard deviation"}


def plot(table: pd.DataFrame) -> Figure:
    """Variance of the maps by normalised depth (Figure 3 b): a line and a 95 % band per checkpoint.

    Pooling layers, whose map is smaller than that of the layer before, are shaded.

    Args:
        table: variance.csv, with a column ``variance`` or ``std``.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    value = "std" if "std" in table.columns else "variance"
    style.require(table, (*NEEDED, value), "variance")
    return depths.plot([(table, "")], value, LABELS[value], layers=table, positive=True)
