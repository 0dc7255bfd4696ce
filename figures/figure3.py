"""Figure 3 of the paper: (a) high frequencies and (b) variance of feature maps by depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from . import depths, means, methods, style
from . import spectrum as spectrum_figure
from . import variance as variance_figure

LINES = 8  # with more lines, each network has its own row of panels
LAYER = ["layer", "depth", "height", "width"]


def plot(spectrum: pd.DataFrame | None = None, variance: pd.DataFrame | None = None) -> Figure:
    """Panels (a) and (b) of Figure 3 by normalised depth, with pooling layers shaded; means over seeds with bands.

    Networks share the panels (transformers with solid lines, CNNs with dashed ones) if there are at most eight lines;
    otherwise each network has its own row.

    Args:
        spectrum: spectrum.csv, of which the highest frequency of each layer is drawn, or spectrum_at.csv.
        variance: variance.csv, with a column ``variance`` or ``std``. Either table may be None.

    Raises:
        ValueError: no table, an empty table, or missing columns or numbers.
    """
    drawn = []
    if spectrum is not None:
        drawn.append((prepare_spectrum(spectrum), spectrum_figure.AMPLITUDE, False))
    if variance is not None:
        drawn.append((prepare_variance(variance), variance_figure.LABELS[_kind(variance)], True))
    if not drawn:
        raise ValueError("figure 3: neither a spectrum nor a variance table, so there is nothing to draw")
    keys = means.keys([table for table, _, _ in drawn])
    networks = list(dict.fromkeys(network for network, _ in keys))
    rows = [networks] if len(keys) <= LINES else [[network] for network in networks]
    looks = _looks(keys, shared=len(rows) < len(networks))
    width = style.COLUMN_WIDTH if len(drawn) == 1 else style.PAGE_WIDTH
    height = 2.3 * len(rows)
    with style.apply():
        figure = Figure(figsize=(width, height), layout="constrained")
        grid = figure.subplots(len(rows), len(drawn), squeeze=False, sharex=True)
        shades: list[Artist] = []
        for number, (row, shown) in enumerate(zip(grid, rows, strict=True)):
            of_row = {key: looks[key] for key in keys if key[0] in shown}
            for axes, (table, label, positive), letter in zip(row, drawn, "ab", strict=False):
                shades += _panel(axes, table, of_row, positive)
                axes.set_ylabel(label)
                title = f"({letter})" if len(drawn) > 1 else ""
                name = style.short_name(shown[0]) if len(shown) == 1 else ""
                axes.set_title(f"{title} {name}".strip(), loc="left")
                if number < len(rows) - 1:
                    axes.set_xlabel("")
        height += style.caption(figure, _caption([table for table, _, _ in drawn]))
        style.legend(figure, height, *_legend(keys, looks, shades, shared=len(rows) < len(networks)))
    return figure


def prepare_spectrum(table: pd.DataFrame) -> pd.DataFrame:
    """Keep the highest frequency of each layer.

    Raises:
        ValueError: an empty table, or missing columns or numbers.
    """
    numbers = ("depth", "frequency", "log_amplitude", "height", "width")
    table = means.prepare(table, "spectrum", ("layer", *numbers), numbers)
    groups = table.groupby([*means.GROUP, "seed", "layer"], sort=False, dropna=False)["frequency"]
    return table[table["frequency"] == groups.transform("max")].rename(columns={"log_amplitude": "value"})


def prepare_variance(table: pd.DataFrame) -> pd.DataFrame:
    """Take the column ``variance`` or ``std`` as the value of each layer.

    Raises:
        ValueError: an empty table, or missing columns or numbers.
    """
    value = _kind(table)
    numbers = ("depth", value, "height", "width")
    return means.prepare(table, "variance", ("layer", *numbers), numbers).rename(columns={value: "value"})


def _kind(table: pd.DataFrame) -> str:
    return "std" if "std" in table else "variance"


def _looks(keys: list[means.Key], shared: bool) -> dict[means.Key, dict[str, Any]]:
    names = methods.ordered(method for _, method in keys)
    colours, labels = style.palette(names), style.labels(names)
    families = style.network_lines(network for network, _ in keys)
    return {
        (network, method): dict(
            label=labels[method],
            color=colours[method],
            linestyle=families[network] if shared else style.line_style(names.index(method)),
            linewidth=1.1,
        )
        for network, method in keys
    }


def _panel(
    axes: Axes, table: pd.DataFrame, looks: Mapping[means.Key, Mapping[str, Any]], positive: bool
) -> list[Artist]:
    averaged = means.over_seeds(table, [*means.GROUP, *LAYER], "value")
    averaged = averaged.rename(columns={"mean": "value", "low": "ci_low", "high": "ci_high"})
    averaged["checkpoint"] = list(zip(averaged["network"], averaged["method"], strict=True))
    layers = {key: averaged[averaged["checkpoint"] == key] for key in looks}
    shown = {key: rows for key, rows in layers.items() if len(rows)}
    if not shown:
        axes.set_axis_off()
        return []
    pooled = {key: depths.pooling(rows) for key, rows in shown.items()}
    table = pd.concat(shown.values())
    shades = depths.panel(axes, table, "value", {key: looks[key] for key in shown}, pooled)
    if positive:
        depths.scale(axes, table["value"])
    return shades


def _legend(
    keys: list[means.Key], looks: Mapping[means.Key, Mapping[str, Any]], shades: list[Artist], shared: bool
) -> tuple[list[Artist], list[str]]:
    handles: list[Artist] = []
    labels: list[str] = []
    for look in looks.values():
        if look["label"] not in labels:
            line: Any = "-" if shared else look["linestyle"]
            handles.append(Line2D([], [], color=look["color"], linestyle=line, marker="o", markersize=2.5))
            labels.append(look["label"])
    if shared:
        for network in dict.fromkeys(network for network, _ in keys):
            line = next(look["linestyle"] for key, look in looks.items() if key[0] == network)
            handles.append(Line2D([], [], color="0.4", linestyle=line))
            labels.append(style.short_name(network))
    band, word = style.band()
    handles, labels = [*handles, *band], [*labels, *word]
    return ([*handles, shades[0]], [*labels, "pooling"]) if shades else (handles, labels)


def _caption(tables: list[pd.DataFrame]) -> str:
    named = {"spectrum" if "frequency" in table else "variance": table for table in tables}
    text = means.wording(named)
    if "spectrum" not in named:
        return text
    low, high = named["spectrum"]["frequency"].min(), named["spectrum"]["frequency"].max()
    span = f"{low:.2g}π to {high:.2g}π" if low < high else f"{low:.2g}π"
    return f"{text} Amplitude at the highest frequency of each layer ({span}), relative to that of frequency 0."
