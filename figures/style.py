"""The look of every figure, in one place: sizes in inches, colours, short names. No pyplot: no state, no window."""

from __future__ import annotations

import hashlib
import math
import textwrap
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from . import methods

COLUMN_WIDTH = 3.4  # one column of a two-column paper
PAGE_WIDTH = 7.0

# Okabe and Ito's colours without yellow, and two dark ones of Tol's. Any two differ by 16 or more in CIE Lab, also as
# seen without one kind of cone (Machado et al. 2009); grey and brown would come down to 10, beside green and pink.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#882255", "#332288")
# The known methods' own ones; a figure's other names share out what its known methods leave.
METHOD_COLOURS = {
    "random": "#000000",
    "scratch": "#E69F00",
    "supervised": "#CC79A7",
    "inpainting": "#56B4E9",
    "simmim": "#0072B2",
    "mocov3": "#009E73",
    "a2mim": "#D55E00",
}
_LINES = ("-", "--", ":")
_FAMILY_LINES = {"transformer": "-", "cnn": "--"}
_RC: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.linewidth": 0.7,
    "lines.linewidth": 1.3,
    "figure.dpi": 200,
    "pdf.fonttype": 42,
}


def apply() -> AbstractContextManager[None]:
    """The house's settings of matplotlib, inside a ``with`` block."""
    return matplotlib.rc_context(_RC)


def palette(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name. A known method has its own; any other name prefers one, so that it keeps it where it can.

    With more than nine names colours come again; ``line_style`` tells those names apart.
    """
    names = list(dict.fromkeys(names))
    chosen: dict[str, str] = {}
    for name in names:
        key = methods.known(name)
        if key and METHOD_COLOURS[key] not in chosen.values():  # a second spelling in one figure is another method
            chosen[name] = METHOD_COLOURS[key]
    for name in names:
        if name not in chosen:
            first = int(hashlib.sha256(str(name).encode()).hexdigest(), 16) % len(_COLOURS)
            order = [_COLOURS[(first + step) % len(_COLOURS)] for step in range(len(_COLOURS))]
            chosen[name] = min(order, key=list(chosen.values()).count)
    return {name: chosen[name] for name in names}


def line_style(number: int) -> str:
    """How the line of the name at place ``number`` is drawn: whole for the first nine, then dashed, then dotted."""
    return _LINES[number // len(_COLOURS) % len(_LINES)]


def network_lines(networks: Iterable[str]) -> dict[str, str]:
    """How lines are drawn where several networks share a panel: whole for transformers, dashed for CNNs, else what is
    left of whole, dashed and dotted."""
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
    """The name, with its middle left out where it is longer than ``limit``; mathematics in it is not typeset."""
    name = methods.shorten(name, limit)
    if name.startswith("_"):  # matplotlib leaves such names out of legends; a space of no width makes it another
        name = "\u200b" + name
    return name.replace("$", r"\$")


def labels(names: Iterable[str]) -> dict[str, str]:
    """What a legend calls each method; long names that look alike once shortened are numbered."""
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
    """A line with points, and its interval as a band."""
    axes.fill_between(x, low, high, color=color, alpha=alpha, linewidth=0)
    axes.plot(x, y, color=color, label=label, marker="o", markersize=2.5, **look)


def headroom(axes: Axes, means: pd.Series) -> None:
    """A scale from 0 on which wide bands leave the lines legible: it ends at one and a half of the highest mean."""
    top = axes.get_ylim()[1]
    if means.max() > 0:
        axes.set_ylim(0, min(top, 1.5 * float(means.max())))
    else:
        axes.set_ylim(bottom=0)


def legend_above(
    figure: Figure, axes: Axes, height: float, handles: Sequence[Artist] = (), labels: Sequence[str] = ()
) -> None:
    """A legend above the axes; the figure, ``height`` inches without it, grows by what it takes.

    Args:
        handles, labels: entries beyond those of the axes' own lines.
    """
    own = axes.get_legend_handles_labels()
    legend(figure, height, [*own[0], *handles], [*own[1], *labels])


def legend(figure: Figure, height: float, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """A legend above all axes, of these entries; the figure, ``height`` inches without it, grows by what it takes."""
    width, longest = figure.get_figwidth(), max(map(len, labels))
    columns = max((2 if longest < 22 else 1) * max(1, round(width / COLUMN_WIDTH)), int(width / (0.5 + 0.06 * longest)))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns)
    figure.set_figheight(height + 0.15 * math.ceil(len(labels) / columns))


def caption(figure: Figure, text: str) -> float:
    """A small text below the axes, in lines of the figure's width; returns the inches it takes."""
    signs = int(figure.get_figwidth() * 21)
    lines = textwrap.wrap(text.replace("$", r"\$"), signs)
    figure.supxlabel("\n".join(lines), fontsize=6.5, color="0.3", x=0.01, ha="left")
    return 0.11 * len(lines) + 0.05


def band() -> tuple[list[Artist], list[str]]:
    """What a legend says of the shaded bands."""
    return [Patch(color="0.8", linewidth=0)], ["95 % interval"]


def require(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raise ValueError unless the table has these columns and at least one row."""
    missing = [name for name in columns if name not in table.columns]
    if missing:
        raise ValueError(f"{what} table: columns missing: {', '.join(missing)}")
    if table.empty:
        raise ValueError(f"{what} table: no rows, so there is nothing to draw")
