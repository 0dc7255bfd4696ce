"""The learning curves of a run; not in the paper, drawn for a user's own runs."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from . import style

LOSSES = {
    "loss": "loss",
    "spatial": "$L_{spa}$",
    "frequency": "$L_{freq}$",
    "val_loss": "validation loss",
    "val_loss_ema": "validation loss, averaged weights",
}
ACCURACIES = {"top1": "validation", "top1_ema": "validation, averaged weights", "train_top1": "training"}


def plot(summary: pd.DataFrame) -> Figure:
    """Losses by epoch and, in a second panel, accuracies if the run has them.

    Args:
        summary: summary.csv of a run; the columns of ``LOSSES`` and ``ACCURACIES`` that it has are drawn.

    Raises:
        ValueError: an empty table, or one without the columns epoch and loss.
    """
    style.require(summary, ("epoch", "loss"), "training")
    panels = [("Loss", LOSSES), ("Top-1 accuracy (%)", ACCURACIES)]
    panels = [(label, {k: v for k, v in names.items() if k in summary}) for label, names in panels]
    panels = [(label, names) for label, names in panels if names]
    with style.apply():
        figure = Figure(figsize=(style.COLUMN_WIDTH * len(panels), 0.7 * style.COLUMN_WIDTH), layout="constrained")
        for axes, (label, names) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
            colours = style.palette(names)
            for column, name in names.items():
                seen = summary.dropna(subset=[column])  # not every epoch is evaluated
                axes.plot(seen["epoch"], seen[column], color=colours[column], label=name, marker=".", markersize=4)
            axes.set_xlabel("Epoch")
            axes.set_ylabel(label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.legend()
    return figure
