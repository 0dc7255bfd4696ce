"""Figure 6 of the paper: accuracy by the site of the mask token."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import colours, means, methods, style

NEEDED = ("token", "top1")
TOKENS = {"add": "Addition", "replace": "Replacing", "none": "No token"}
COLOURS = {"add": colours.VERMILION, "replace": colours.BLUE, "none": colours.BLACK}
MARKERS = {"add": "o", "replace": "s", "none": "D"}
BESIDE = 3  # most panels in a row
FEWEST = 0.08  # least distance between two tick labels, as a share of the horizontal axis


def plot(table: pd.DataFrame) -> Figure:
    """Top-1 accuracy by the place of the token, from input to output: one panel per network.

    Adding the token is drawn as a line with points, replacing (pixels or features) as markers, and a row without a
    token or place as a horizontal line. Error bars are 95 % intervals over seeds.

    Args:
        table: token_place.csv; ``network``, ``site``, ``place``, ``fill`` and ``seed`` are optional.

    Raises:
        ValueError: an empty table, or missing columns or numbers.
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
        looks = _looks(table)
        for axes, network in zip(grid.flat, networks, strict=False):
            entries |= _panel(axes, table[table["network"] == network], looks)
            axes.set_title(style.short_name(network))
            axes.set_xlabel("Place of the token, from input to output")
        for axes in grid[:, 0]:
            axes.set_ylabel("Top-1 accuracy (%)")
        height += style.caption(figure, _caption(table))
        shown = [name for name in looks if name in entries]
        style.legend(figure, height, [entries[name] for name in shown], shown)
    return figure


def _prepare(table: pd.DataFrame) -> pd.DataFrame:
    style.require(table, NEEDED, "token place")
    table = means.prepare(table.assign(method=table["token"].astype(str)), "token place", NEEDED, ("top1",))
    for name, empty in (("site", ""), ("fill", "")):
        table[name] = table[name].astype("object").fillna(empty).astype(str) if name in table else empty
    table["place"] = pd.to_numeric(table["place"], errors="coerce") if "place" in table else math.nan
    return table


def _looks(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The series of all panels by their labels: one for each token, and for each fill where there are several."""
    found: dict[str, dict[str, Any]] = {}
    tokens = list(dict.fromkeys(table["method"]))
    fills = dict.fromkeys(table["fill"])
    for token in sorted(tokens, key=lambda name: [*TOKENS, *tokens].index(name)):
        colour = COLOURS.get(token) or style.palette([*COLOURS, token])[token]
        of_token = set(table.loc[table["method"] == token, "fill"])
        for number, fill in enumerate(fill for fill in fills if fill in of_token):
            word = f" ({style.short_name(fill, 20)})" if fill and len(fills) > 1 else ""
            found[TOKENS.get(token, style.short_name(token, 20)) + word] = dict(
                token=token, fill=fill, color=colour, marker=MARKERS.get(token, "^"), first=number == 0
            )
    return found


def _panel(axes: Axes, table: pd.DataFrame, looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Draw one network; returns what the legend shows, by label."""
    entries: dict[str, Any] = {}
    for name, look in looks.items():
        colour, first = look["color"], look["first"]
        rows = table[(table["method"] == look["token"]) & (table["fill"] == look["fill"])]
        averaged = means.over_seeds(rows, ["place", "site"], "top1")
        placed = averaged.dropna(subset=["place"]).sort_values("place")
        if len(placed):
            bars = (placed["high"] - placed["mean"]).fillna(0)
            face, line = colour if first else "white", "-" if look["token"] == "add" else "none"
            points: dict[str, Any] = dict(marker=look["marker"], markersize=4, markerfacecolor=face, capsize=2)
            entries[name] = axes.errorbar(
                placed["place"], placed["mean"], bars, label=name, color=colour, linestyle=line, **points
            )
        for _, row in averaged[averaged["place"].isna()].iterrows():
            across = axes.axhline(row["mean"], color=colour, linestyle=":" if first else "--", linewidth=1, label=name)
            if row["high"] > row["low"]:
                axes.axhspan(row["low"], row["high"], color=colour, alpha=0.1, linewidth=0)
            entries.setdefault(name, across)
    _names_of_places(axes, table)
    return entries


def _names_of_places(axes: Axes, table: pd.DataFrame) -> None:
    """Write the sites below their places, as many as fit."""
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
