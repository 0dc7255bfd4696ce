"""Error and energy of reconstructions by frequency, which the frequency loss (Eq. 4) is meant to improve.

Not in the paper: drawn for a user's own checkpoints, and beside Figures 5, A2 and A3 for the claims.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from . import means, methods, style

NEEDED = (
    "checkpoint", "token", "low", "high", "error", "ci_low", "ci_high", "energy", "energy_ci_low", "energy_ci_high",
)  # fmt: skip
TICKS = {
    0.0: "0",
    0.25: r"$\frac{1}{4}π$",
    0.5: r"$\frac{1}{2}π$",
    0.75: r"$\frac{3}{4}π$",
    1.0: "$π$",
    2**0.5: r"$\sqrt{2}π$",
}


def plot(table: pd.DataFrame) -> Figure:
    """Two panels, each with one line per checkpoint and its 95 % interval as a band.

    Left: energy of the error; right: energy of the prediction; both relative to the target's, on a logarithmic scale.
    The dotted line at 1 marks an error as large as that of the mean colour (left), and a prediction with as much detail
    as the original (right).

    Args:
        table: reconstruct_bands.csv.

    Raises:
        ValueError: an empty table, or missing columns.
    """
    style.require(table, NEEDED, "bands")
    names = list(dict.fromkeys(table["checkpoint"]))
    colours, labels = style.palette(names), style.labels(names)
    looks = {
        name: dict(label=labels[name], color=colours[name], linestyle=style.line_style(number))
        for number, name in enumerate(names)
    }
    return _draw(table, looks)


def plot_methods(table: pd.DataFrame, *, without_token: bool) -> Figure:
    """The same two panels with one line per network and method, the mean over its seeds.

    Args:
        table: reconstruct_bands.csv; the columns ``network``, ``method`` and ``seed`` are optional.
        without_token: draw predictions without the token too, if the table has them.

    Raises:
        ValueError: an empty table, or missing columns or numbers.
    """
    numbers = ("low", "high", "error", "energy")
    table = means.prepare(table, "bands", [name for name in NEEDED if name != "checkpoint"], numbers)
    if not without_token and "with" in set(table["token"]):
        table = table[table["token"] == "with"]
    parts = table.rename(columns={"low": "start", "high": "end"})
    keys = [*means.GROUP, "token", "start", "end"]
    error = means.over_seeds(parts, keys, "error").rename(columns={"mean": "error", "low": "ci_low", "high": "ci_high"})
    energy = means.over_seeds(parts, keys, "energy", ("energy_ci_low", "energy_ci_high"))
    error[["energy", "energy_ci_low", "energy_ci_high"]] = energy[["mean", "low", "high"]]
    found = error.rename(columns={"start": "low", "end": "high"})
    found["checkpoint"] = list(zip(found["network"], found["method"], strict=True))
    return _draw(found, _looks(found), means.wording({"reconstructions": table}))


def _looks(table: pd.DataFrame) -> dict[Any, dict[str, Any]]:
    """The colour of each method and, with several networks, a line style for each network."""
    keys = means.keys([table])
    names = methods.ordered(method for _, method in keys)
    colours, labels = style.palette(names), style.labels(names)
    lines = style.network_lines(network for network, _ in keys)
    several = len(lines) > 1
    return {
        (network, method): dict(
            label=f"{labels[method]}, {style.short_name(network)}" if several else labels[method],
            color=colours[method],
            linestyle=lines[network] if several else style.line_style(names.index(method)),
        )
        for network, method in keys
    }


def _draw(table: pd.DataFrame, looks: Mapping[Any, Mapping[str, Any]], caption: str = "") -> Figure:
    tokens = list(dict.fromkeys(table["token"]))
    height = 0.36 * style.PAGE_WIDTH
    with style.apply():
        figure = Figure(figsize=(style.PAGE_WIDTH, height), layout="constrained")
        error, energy = figure.subplots(1, 2)
        for name, of_name in looks.items():
            for token in tokens:
                rows = table[(table["checkpoint"] == name) & (table["token"] == token)]
                look = dict(of_name)
                if token == "without":  # the same colour, an open marker
                    look |= dict(markerfacecolor="white", label=f"{look['label']}, without token")
                _curve(error, rows, ("error", "ci_low", "ci_high"), look)
                _curve(energy, rows, ("energy", "energy_ci_low", "energy_ci_high"), look)
        for axes, what in ((error, "error"), (energy, "prediction")):
            axes.axhline(1, color="0.4", linestyle=":", linewidth=0.9, zorder=1)
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(list(TICKS), list(TICKS.values()))
            axes.set_xlabel("Frequency (radians per pixel)")
            axes.set_ylabel(f"Energy of {what} / of target")
        if caption:
            height += style.caption(figure, caption)
        style.legend_above(figure, error, height)
    return figure


def _curve(axes: Axes, rows: pd.DataFrame, columns: tuple[str, str, str], look: Mapping[str, Any]) -> None:
    value, low, high = columns
    middle = (rows["low"] + rows["high"]) / 2
    style.curve(axes, middle, rows[value], rows[low], rows[high], **look)
