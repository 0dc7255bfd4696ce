"""The look of all figures: sizes in inches, theme, colours, short names.

Figures are made without pyplot, so they leave no state behind and open no window.
"""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import colours, methods

COLUMN_WIDTH = 3.4  # one column of a two-column paper
PAGE_WIDTH = 7.0

_LINES = ("-", "--", ":")
_FAMILY_LINES = {"transformer": "-", "cnn": "--"}
_RC: Any = {
    # seaborn's theme, so that the user's own settings of matplotlib (a dark background, say) do not reach the figures
    **seaborn.plotting_context("paper"),
    **seaborn.axes_style("ticks"),
    # text of 7 and 8 points and thin lines, as papers have it
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "lines.linewidth": 1.3,
    "grid.linewidth": 0.6,
    "grid.color": "0.9",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    # equal files on every machine, and text that can be edited
    "font.sans-serif": ["DejaVu Sans"],
    "figure.dpi": 200,
    "pdf.fonttype": 42,
}


def apply() -> AbstractContextManager[None]:
    """The theme of all figures; to be used in a ``with`` statement."""
    return matplotlib.rc_context(_RC)


def palette(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: a known method has its own; any other name keeps its colour in all figures if it is free.

    With more than nine names colours are used again; ``line_style`` tells those names apart.
    """
    names = list(dict.fromkeys(names))
    chosen: dict[str, str] = {}
    for name in names:
        key = methods.known(name)
        if key and methods.KNOWN[key].colour not in chosen.values():  # a second spelling is another method
            chosen[name] = methods.KNOWN[key].colour
    for name in names:
        if name not in chosen:
            first = int(hashlib.sha256(str(name).encode()).hexdigest(), 16) % len(colours.ALL)
            order = [*colours.ALL[first:], *colours.ALL[:first]]
            chosen[name] = min(order, key=list(chosen.values()).count)
    return {name: chosen[name] for name in names}


def line_style(number: int) -> str:
    """Line style of the name at place ``number``: solid for the first nine, then dashed, then dotted."""
    return _LINES[number // len(colours.ALL) % len(_LINES)]


def network_lines(networks: Iterable[str]) -> dict[str, str]:
    """Line styles of networks that share a panel: solid for transformers, dashed for CNNs, any free one for others."""
    networks = list(dict.fromkeys(networks))
    lines: dict[str, str] = {}
    for network in networks:
        line = _FAMILY_LINES.get(methods.family(network) or "")
        if line and line not in lines.values():
            lines[network] = line
    for network in networks:
        if network not in lines:
            lines[network] = min((*_LINES, "-."), key=list(lines.values()).count)
    return {network: lines[network] for network in networks}


def short_name(name: str, limit: int = 40) -> str:
    """The name, shortened in its middle to ``limit`` characters; a dollar sign in it does not start a formula."""
    name = methods.shorten(name, limit)
    if name.startswith("_"):  # matplotlib leaves such names out of legends; a zero-width space in front keeps it
        name = "\u200b" + name
    return name.replace("$", r"\$")


def labels(names: Iterable[str]) -> dict[str, str]:
    """The label of each method in a legend; long names that are equal once shortened are numbered."""
    found: dict[str, str] = {}
    for name, label in methods.labels(names).items():
        short = text = short_name(label)
        number = 1
        while text in found.values():
            number += 1
            text = f"{short} ({number})"
        found[name] = text
    return found


def curve(
    axes: Axes, x: Any, y: Any, low: Any, high: Any, *, label: str, color: str, alpha: float = 0.2, **look: Any
) -> None:
    """Draw a line with points, and its interval as a band."""
    axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0)
    axes.plot(x, y, color=color, label=label, marker="o", markersize=2.5, **look)


def headroom(axes: Axes, means: pd.Series) -> None:
    """Let the vertical axis start at 0 and end at 1.5 times the highest mean, so that bands do not flatten lines."""
    top = axes.get_ylim()[1]
    if means.max() > 0:
        axes.set_ylim(0, min(top, 1.5 * float(means.max())))
    else:
        axes.set_ylim(bottom=0)


def legend_above(
    figure: Figure, axes: Axes, height: float, handles: Sequence[Artist] = (), labels: Sequence[str] = ()
) -> None:
    """Draw a legend above the axes; the figure, ``height`` inches without it, grows by the legend's height.

    Args:
        handles, labels: entries beside those of the axes' own lines.
    """
    own = axes.get_legend_handles_labels()
    legend(figure, height, [*own[0], *handles], [*own[1], *labels])


def legend(figure: Figure, height: float, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Draw a legend of these entries above all axes; the figure, ``height`` inches without it, grows by its height."""
    width, longest = figure.get_figwidth(), max(map(len, labels))
    columns = max((2 if longest < 22 else 1) * max(1, round(width / COLUMN_WIDTH)), int(width / (0.5 + 0.06 * longest)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)
    figure.set_figheight(height + 0.15 * math.ceil(len(labels) / columns))


def caption(figure: Figure, text: str) -> float:
    """Write a small text below the axes, wrapped to the figure's width; returns its height in inches."""
    characters = int(figure.get_figwidth() * 21)
    lines = textwrap.wrap(text.replace("$", r"\$"), characters)
    figure.supxlabel("\n".join(lines), fontsize=6.5, color="0.3", x=0.01, ha="left")
    return 0.11 * len(lines) + 0.05


def band() -> tuple[list[Artist], list[str]]:
    """The entry of a legend for the shaded bands."""
    return [Patch(color="0.8", linewidth=0)], ["95 % interval"]


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ValueError unless the table has these columns and at least one row."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{what} table: columns missing: {', '.join(missing)}")
    if table.empty:
        raise ValueError(f"{what} table: no rows, so there is nothing to draw")
