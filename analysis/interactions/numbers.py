"""What the page shows of ``interactions``: J(m) by order with its interval, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ..core.numbers import (
    Cell,
    Numbers,
    Table,
    Tables,
    each,
    framed,
    images,
    measured,
    nearest,
    number,
    text,
    verdict,
    who,
    within,
)
from . import comparison

SHOWN_ORDERS = (0.05, 0.3, 0.5, 0.7, 0.95)
BESIDE = 6  # checkpoints that have a column each


def interactions(tables: Tables) -> Numbers:
    """Mean J(m) over low, middle and high orders, J(m) by order, differences from the first network."""
    rows, difference = tables[""], tables.get("difference")
    names = list(dict.fromkeys(rows["checkpoint"]))
    low, high = comparison.MIDDLE
    lines, middle = [], {}
    for name in names:
        one = rows[rows["checkpoint"] == name]
        parts = {
            f"J below {low:g}n": one["J"][one["ratio"] < low],
            f"{low:g}n to {high:g}n": one["J"][one["ratio"].between(low, high)],
            f"above {high:g}n": one["J"][one["ratio"] > high],
        }
        middle[name] = parts[f"{low:g}n to {high:g}n"].mean()
        counts = {label: images(one, f"n_{label.lower()}") for label in ("Images", "Pairs", "Contexts")}
        lines.append(who(rows, name) | {label: measured(J.mean()) for label, J in parts.items()} | counts)
    found = Numbers([framed("Mean J(m) over low, middle and high orders", lines), _orders(rows, names)])
    found.gist = f"over middle orders, {each(middle, lambda value: f'J {value:.2f}')}"
    if difference is not None:
        found.tables.append(_differences(rows, difference))
    return found


def _orders(rows: pd.DataFrame, names: Sequence[str]) -> Table:
    """J by order: an order in each row, or for many checkpoints a checkpoint in each row and a few orders."""
    at = rows.set_index(["checkpoint", "ratio"])[["J", "J_ci_low", "J_ci_high"]]
    at = at[~at.index.duplicated()]
    ratios = sorted(rows["ratio"].unique())

    def cell(name: str, ratio: float) -> Cell:
        return within(*at.loc[name, ratio]) if (name, ratio) in at.index else text(None)

    caption = "J(m) with 95 % intervals, by order"
    if len(names) <= BESIDE:
        return framed(
            caption,
            [{"Order": Cell(_order(ratio), ratio)} | {name: cell(name, ratio) for name in names} for ratio in ratios],
        )
    near = nearest(ratios, SHOWN_ORDERS)
    lines = [who(rows, name) | {f"J at {_order(ratio)}": cell(name, ratio) for ratio in near} for name in names]
    return framed(caption, lines)


def _differences(rows: pd.DataFrame, difference: pd.DataFrame) -> Table:
    lines = [
        who(rows, row["checkpoint"])
        | {"Against": text(row["reference"]), "Order": Cell(_order(row["ratio"]), float(row["ratio"]))}
        | {"Difference of J": within(row["J_difference"], row["J_ci_low"], row["J_ci_high"], signed=True)}
        | {"Verdict": verdict(row["J_ci_low"], row["J_ci_high"])}
        for _, row in difference.iterrows()
    ]
    note = "The same images and pairs for both; an interval without 0 shows that the two differ at that order."
    return framed("Differences of J(m) with paired 95 % intervals", lines, note)


def _order(ratio: float) -> str:
    return {0.0: "0", 1.0: "n"}.get(float(ratio), f"{number(ratio, 2)}n")
