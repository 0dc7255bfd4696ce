"""What the page shows of ``spectrum`` and ``variance``: first and last layer, largest and smallest value."""

from __future__ import annotations

import pandas as pd

from ..core.numbers import Cell, Numbers, Table, Tables, count, each, framed, images, number, who, within


def spectrum(tables: Tables) -> Numbers:
    """Log amplitudes at the highest frequency of each layer, and at one that all layers have."""
    rows, at = tables[""], tables.get("at")
    highest = rows.loc[rows.groupby(["checkpoint", "layer"], sort=False)["frequency"].idxmax()]
    last = {name: one.sort_values("depth")["log_amplitude"].iloc[-1] for name, one in highest.groupby("checkpoint")}
    caption = "Δ log amplitude at the highest frequency of each layer"
    found = Numbers([_depths(rows, highest, "log_amplitude", caption)], f"in the last layer, {each(last, number)}")
    if at is not None:
        caption = f"Δ log amplitude at {at['frequency'].iloc[0]:.2g}π, which all layers have"
        found.tables.append(_depths(rows, at, "log_amplitude", caption))
    return found


def variance(tables: Tables) -> Numbers:
    """Variance, or standard deviation, of the feature maps over their pixels."""
    rows = tables[""]
    value = "std" if "std" in rows else "variance"
    last = {name: one.sort_values("depth")[value].iloc[-1] for name, one in rows.groupby("checkpoint", sort=False)}
    caption = f"{'Standard deviation' if value == 'std' else 'Variance'} of the maps over their pixels"
    return Numbers([_depths(rows, rows, value, caption)], f"in the last layer, {each(last, number)}")


def _depths(rows: pd.DataFrame, shown: pd.DataFrame, value: str, caption: str) -> Table:
    """First and last layer of each checkpoint, and those with the largest and the smallest value."""
    lines = []
    for name, one in shown.groupby("checkpoint", sort=False):
        by_depth = one.sort_values("depth").reset_index(drop=True)
        chosen = {"First layer": 0, "Last layer": len(by_depth) - 1}
        chosen |= {"Largest": int(by_depth[value].argmax()), "Smallest": int(by_depth[value].argmin())}
        cells = {"Layers": count(len(by_depth)), "Images": images(by_depth)}
        for label, place in chosen.items():
            row = by_depth.iloc[place]
            cell = within(row[value], row["ci_low"], row["ci_high"], 3)
            cells[label] = Cell(f"{cell.text}, {row['layer']}", cell.value)
        lines.append(who(rows, name) | cells)
    return framed(caption, lines, "In brackets the 95 % interval over images.")
