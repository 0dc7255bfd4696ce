"""Figure 6 of the paper: accuracy by the place of the mask token."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import means, methods, style

NEEDED = ("token", "top1")
TOKENS = {"add": "Addition", "replace": "Replacing", "none": "No token"}
COLOURS = {"add": "#D55E00", "replace": "#0072B2", "none": "#000000"}
MARKERS = {"add": "o", "replace": "s", "none": "D"}
BESIDE = 3
FEWEST = 0.08  # of the horizontal axis between two names


def plot(table: pd.DataFrame) -> Figure:
    """Top-1 accuracy against the place of the token, from input to output: one panel for each network.

    Addition is a line with points; replacing (of pixels or of features) has markers alone; without a token, or without
    a place, the value is a line across. Error bars are 95 % intervals over seeds.

    Args:
        table: token_place.csv; ``network``, ``site``, ``place``, ``fill`` and ``seed`` may be missing.

    Raises:
        ValueError: an empty table, or columns or numbers that are missing.
    """
    table = _prepare(table)
    networks = methods.ordered_networks(table["network"])
    columns = min(len(networks), BESIDE)
    rows = math.ceil(len(networks) / columns)
    width = style.COLUMN_WIDTH if columns == 1 else style.PAGE_WIDTH
    height = rows * 2.5
    with style.apply():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(networks) :]:
            axes.remove()
        entries: dict[str, Any] = {}
        for axes, network in zip(grid.flat, networks, strict=False):
            entries |= _panel(axes, table[table["network"] == network])
            axes.set_title(style.short_name(network))
            axes.set_xlabel("Place of the token, from input to output")
        for axes in grid[:, 0]:
            axes.set_ylabel("Top-1 accuracy (%)")
        height += style.caption(figure, _caption(table))
        style.legend(figure, height, list(entries.values()), list(entries))
    return figure


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    style.require(table, NEEDED, "token place")
    table = means.prepare(table.assign(method=table["token"].astype(str)), "token place", NEEDED, ("top1",))
    for name, empty in (("site", ""), ("fill", "")):
        table[name] = table[name].astype("object").fillna(empty).astype(str) if name in table else empty
    table["place"] = pd.to_numeric(table["place"], errors="coerce") if "place" in table else math.nan
    return table


def _series(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What the legend calls it -> its rows: a series for each token, and for each fill where it has several."""
    found = {}
    for token in sorted(table["method"].unique(), key=lambda name: [*TOKENS, name].index(name)):
        rows = table[table["method"] == token]
        fills = list(dict.fromkeys(rows["fill"]))
        for fill in fills:
            name = TOKENS.get(token, style.short_name(token, 20))
            # one fill for all needs no word
            word = f" ({style.short_name(fill, 20)})" if fill and table["fill"].nunique() > 1 else ""
            found[name + word] = rows[rows["fill"] == fill]
    return found


def _panel(axes: Axes, table: pd.DataFrame) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    used: dict[str, int] = {}
    for name, rows in _series(table).items():
        token = str(rows["method"].iloc[0])
        number = used[token] = used.get(token, -1) + 1
        colour = COLOURS.get(token) or style.palette([*COLOURS, token])[token]
        look: dict[str, Any] = dict(color=colour, marker=MARKERS.get(token, "^"), markersize=4, capsize=2)
        look |= dict(markerfacecolor=colour if number == 0 else "white", linestyle="-" if token == "add" else "none")
        averaged = means.over_seeds(rows, ["place", "site"], "top1")
        placed = averaged.dropna(subset=["place"]).sort_values("place")
        if len(placed):
            bars = (placed["high"] - placed["mean"]).fillna(0)
            entries[name] = axes.errorbar(placed["place"], placed["mean"], bars, label=name, **look)
        for _, row in averaged[averaged["place"].isna()].iterrows():
            line = axes.axhline(row["mean"], color=colour, linestyle=(":", "--")[number % 2], linewidth=1, label=name)
            if row["high"] > row["low"]:
                axes.axhspan(row["low"], row["high"], color=colour, alpha=0.1, linewidth=0)
            entries.setdefault(name, line)
    _names_of_places(axes, table)
    return entries


def _names_of_places(axes: Axes, table: pd.DataFrame) -> None:
    """Sites under their places; where they are many, those that have room."""
    axes.set_xlim(-0.06, 1.06)
    sites = table[(table["site"] != "") & table["place"].notna()].drop_duplicates("place").sort_values("place")
    shown: list[tuple[float, str]] = []
    for place, site in zip(sites["place"], sites["site"], strict=True):
        if not shown or place - shown[-1][0] >= FEWEST:
            shown.append((place, style.short_name(site, 12)))
    if shown:
        axes.set_xticks([place for place, _ in shown], [site for _, site in shown])
        if sum(len(site) for _, site in shown) > 20:
            axes.tick_params(axis="x", labelrotation=40)
            for text in axes.get_xticklabels():
                text.set(horizontalalignment="right", rotation_mode="anchor")


def _caption(table: pd.DataFrame) -> str:
    counts = table.groupby(["network", "method", "place", "fill"], dropna=False)["seed"].nunique(dropna=False)
    few, most = counts.min(), counts.max()
    if most == 1:
        return "One seed."
    return f"Mean over {most if few == most else f'{few} to {most}'} seeds; bars are 95 % Student-t intervals."
