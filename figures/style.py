"""The look of every figure, in one place: sizes in inches, colours, short names. No pyplot: no state, no window."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

COLUMN_WIDTH = 3.4  # one column of a two-column paper
PAGE_WIDTH = 7.0

# Okabe and Ito's colours without yellow, and two dark ones of Tol's. Any two differ by 16 or more in CIE Lab, also as
# seen without one kind of cone (Machado et al. 2009); grey and brown would come down to 10, beside green and pink.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#882255", "#332288")
_LINES = ("-", "--", ":")
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
    """A colour for each name. A name prefers a colour of its own, so that it keeps it through figures where it can.

    With more than nine names colours come again; ``line_style`` tells those names apart.
    """
    chosen: dict[str, str] = {}
    for name in dict.fromkeys(names):
        first = int(hashlib.sha256(str(name).encode()).hexdigest(), 16) % len(_COLOURS)
        order = [_COLOURS[(first + step) % len(_COLOURS)] for step in range(len(_COLOURS))]
        chosen[name] = min(order, key=list(chosen.values()).count)
    return chosen


def line_style(number: int) -> str:
    """How the line of the name at place ``number`` is drawn: whole for the first nine, then dashed, then dotted."""
    return _LINES[number // len(_COLOURS) % len(_LINES)]


def short_name(name: str, limit: int = 40) -> str:
    """The name, with its middle left out where it is longer than ``limit``; mathematics in it is not typeset."""
    name = str(name)
    if len(name) > limit:
        tail = (limit - 1) // 2
        name = f"{name[: limit - 1 - tail]}…{name[-tail:]}"
    if name.startswith("_"):  # matplotlib leaves such names out of legends; a space of no width makes it another
        name = "\u200b" + name
    return name.replace("$", r"\$")


def legend_above(
    figure: Figure, axes: Axes, height: float, handles: Sequence[Artist] = (), labels: Sequence[str] = ()
) -> None:
    """A legend above the axes; the figure, ``height`` inches without it, grows by what it takes.

    Args:
        handles, labels: entries beyond those of the axes' own lines.
    """
    own = axes.get_legend_handles_labels()
    labels = [*own[1], *labels]
    columns = (2 if max(map(len, labels)) < 22 else 1) * max(1, round(figure.get_figwidth() / COLUMN_WIDTH))
    figure.legend([*own[0], *handles], labels, loc="outside upper center", ncols=columns)
    figure.set_figheight(height + 0.15 * math.ceil(len(labels) / columns))


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
