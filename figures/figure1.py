"""Figures 1 and A1 of the paper: accuracy under occlusion above, interaction strength J(m) below."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import interactions as interactions_figure
from . import means, methods, style

BESIDE = 4  # most panels in a row
HEIGHT = 1.85  # least height of a row, in inches


@dataclass(frozen=True)
class _Kind:
    """One of the two measures, ready to be drawn."""

    table: pd.DataFrame
    finish: Callable[[Axes], None]
    xlabel: str
    ylabel: str


Panel = tuple[str, list[str]]  # network, methods


def plot(occlusion: pd.DataFrame | None = None, interactions: pd.DataFrame | None = None) -> Figure:
    """Panels (a)-(d) and (e)-(h) of Figure 1: occlusion in the upper row, J(m) of Eq. (2) in the lower.

    Each network has two columns: methods that are not contrastive on the left, all pre-trained methods on the right.
    A network without contrastive methods, or without a name in the tables, has one column. With at most two columns in
    all (Figure A1), both measures share one row. Lines are means over seeds, bands their 95 % intervals.

    Args:
        occlusion: occlusion.csv; only the first fill is drawn.
        interactions: interactions.csv. Either may be None.

    Raises:
        ValueError: no table, an empty table, or missing columns or numbers.
    """
    tables = {}
    if occlusion is not None:
        tables["occlusion"] = prepare_occlusion(occlusion)
    if interactions is not None:
        tables["interactions"] = prepare_interactions(interactions)
    if not tables:
        raise ValueError("figure 1: neither an occlusion nor an interactions table, so there is nothing to draw")
    kinds = [_kind(what, table) for what, table in tables.items()]
    panels = columns(pd.concat([table[means.GROUP] for table in tables.values()]))
    names = methods.ordered(name for _, shown in panels for name in shown)
    looks = _looks(names)
    together = len(panels) * len(kinds) <= BESIDE
    blocks = [panels[start : start + BESIDE] for start in range(0, len(panels), BESIDE)]
    rows = 1 if together else len(blocks) * len(kinds)
    beside = len(panels) * len(kinds) if together else min(len(panels), BESIDE)
    width = (style.COLUMN_WIDTH, 5.2, style.PAGE_WIDTH, style.PAGE_WIDTH)[beside - 1]
    height = rows * max(HEIGHT, 0.72 * width / beside) + 0.1
    with style.apply():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.add_gridspec(rows, beside)
        letters = _letters() if len(panels) * len(kinds) > 1 else iter([""])
        for block, shown in enumerate(blocks):
            for number, kind in enumerate(kinds):
                row, start = (0, number * len(shown)) if together else (block * len(kinds) + number, 0)
                places = [grid[row, start + column] for column in range(len(shown))]
                _row(figure, places, shown, kind, looks, letters)
        height += style.caption(figure, _caption(tables))
        style.legend(figure, height, *_legend(looks, tables))
    return figure


def prepare_occlusion(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracies in per cent, with their intervals if the table has them."""
    table = means.prepare(table, "occlusion", ("ratio", "accuracy"), ("ratio", "accuracy"))
    if "fill" in table:
        fills = table["fill"].astype("object").fillna("").astype(str)
        table = table.assign(fill=fills)[fills == fills.iloc[0]]
    for name in {"accuracy", "ci_low", "ci_high"} & set(table.columns):
        table[name] = 100 * pd.to_numeric(table[name], errors="coerce")
    return table.rename(columns={"accuracy": "value"})


def prepare_interactions(table: pd.DataFrame) -> pd.DataFrame:
    """Interaction strengths J(m) with their intervals."""
    table = means.prepare(table, "interactions", ("ratio", "J"), ("ratio", "J"))
    table = table.drop(columns=["ci_low", "ci_high"], errors="ignore")  # of the strength, not of J
    return table.rename(columns={"J": "value", "J_ci_low": "ci_low", "J_ci_high": "ci_high"})


def columns(rows: pd.DataFrame) -> list[Panel]:
    """The panels of a row from left to right, each as (network, methods)."""
    found: list[Panel] = []
    for network in methods.ordered_networks(rows["network"]):
        names = methods.ordered(rows.loc[rows["network"] == network, "method"])
        left = [name for name in names if not methods.is_contrastive(name)]
        right = [name for name in names if not methods.is_untrained(name)]
        compared = any(not methods.is_contrastive(name) for name in right)
        two = network and compared and len(left) < len(names)
        found += [(network, left), (network, right)] if two else [(network, names)]
    return found


def _kind(what: str, table: pd.DataFrame) -> _Kind:
    keys = [*means.GROUP, "ratio"]
    averaged = means.over_seeds(table, keys, "value")
    if what == "occlusion":
        return _Kind(averaged, _finish_occlusion, "Occlusion ratio", "Top-1 accuracy (%)")
    return _Kind(averaged, _finish_interactions, "Order $m$", "Strength $J^{(m)}$")


def _finish_occlusion(axes: Axes) -> None:
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8, 1], ["0", "0.2", "0.4", "0.6", "0.8", "1"])
    axes.set_xlim(-0.03, 1.03)


def _finish_interactions(axes: Axes) -> None:
    ticks = interactions_figure.TICKS
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.set_xlim(-0.03, 1.03)


def _row(
    figure: Figure,
    places: Sequence[Any],
    panels: Sequence[Panel],
    kind: _Kind,
    looks: Mapping[str, Mapping[str, Any]],
    letters: Iterator[str],
) -> None:
    """Draw the panels of one measure side by side, with a shared vertical axis."""
    first: Axes | None = None
    for place, (network, names) in zip(places, panels, strict=True):
        table = kind.table[(kind.table["network"] == network) & kind.table["method"].isin(names)]
        if table.empty:
            continue
        axes = figure.add_subplot(place, sharey=first)
        for name in names:
            rows = table[table["method"] == name].sort_values("ratio")
            if len(rows):
                style.curve(axes, rows["ratio"], rows["mean"], rows["low"], rows["high"], **looks[name])
        kind.finish(axes)
        axes.set_title(" ".join([next(letters), style.short_name(network, 20)]).strip(), loc="left")
        axes.set_xlabel(kind.xlabel)
        if first is None:
            axes.set_ylabel(kind.ylabel)
            first = axes
        else:
            axes.tick_params(labelleft=False)
    if first is not None:
        style.headroom(first, kind.table["mean"])


def _looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    colours, labels = style.palette(names), style.labels(names)
    return {
        name: dict(label=labels[name], color=colours[name], linestyle=style.line_style(number), linewidth=1.1)
        for number, name in enumerate(names)
    }


def _legend(
    looks: Mapping[str, Mapping[str, Any]], tables: Mapping[str, pd.DataFrame]
) -> tuple[list[Artist], list[str]]:
    lines = [
        Line2D([], [], marker="o", markersize=2.5, **{key: value for key, value in look.items() if key != "label"})
        for look in looks.values()
    ]
    handles, labels = style.band() if _banded(tables) else ([], [])
    return [*lines, *handles], [*(look["label"] for look in looks.values()), *labels]


def _banded(tables: Mapping[str, pd.DataFrame]) -> bool:
    """Whether bands are drawn: from several seeds, or from the intervals in a table."""
    several = (table.groupby(means.GROUP)["seed"].nunique(dropna=False).max() > 1 for table in tables.values())
    return any("ci_low" in table for table in tables.values()) or any(several)


def _caption(tables: Mapping[str, pd.DataFrame]) -> str:
    text = means.wording(dict(tables), intervals=_banded(tables))
    fill = tables["occlusion"]["fill"].iloc[0] if "fill" in tables.get("occlusion", ()) else ""
    return f"{text} Hidden patches are filled with: {methods.shorten(fill)}." if fill else text


def _letters() -> Iterator[str]:
    """(a), (b), ..., (z), (aa), (ab), ..."""
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return (f"({''.join(pair)})" for pair in itertools.chain(alphabet, itertools.product(alphabet, alphabet)))
