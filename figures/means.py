"""Prepare tables of several networks, methods and seeds for drawing: means over seeds with their intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from . import methods, style
from .statistics import half_width

GROUP = ["network", "method"]
Key = tuple[str, str]  # these two


def prepare(table: pd.DataFrame, what: str, needed: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """A copy with the columns ``network``, ``method`` and ``seed``, without rows that lack a needed number.

    Where these columns are missing, each checkpoint is its own method, all belong to one network without a name (""),
    and the checkpoints of a method are its seeds.

    Args:
        what: name of the table, for messages.
        needed: columns that the table must have.
        numbers: columns in which every row needs a finite number.

    Raises:
        ValueError: an empty table, missing columns, or no row with numbers.
    """
    style.require(table, needed, what)
    table = table.reset_index(drop=True)
    given = [name for name in ("method", "checkpoint") if name in table]
    if not given:
        raise ValueError(f"{what} table: columns missing: method or checkpoint, one of which names the lines")
    names = table[given].astype("object")
    table["method"] = names.bfill(axis=1).iloc[:, 0].fillna("(no name)").astype(str)
    table["network"] = table["network"].astype("object").fillna("").astype(str) if "network" in table else ""
    if "seed" not in table or table["seed"].isna().all():
        table["seed"] = table.get("checkpoint", 0)
    for name in numbers:
        values = pd.to_numeric(table[name], errors="coerce").replace([np.inf, -np.inf], np.nan)
        if values.isna().all():
            raise ValueError(f"{what} table: no number in column {name}, so there is nothing to draw")
        table[name] = values
    table = table.dropna(subset=list(numbers))
    if table.empty:
        raise ValueError(f"{what} table: no row has numbers in all of {', '.join(numbers)}")
    return table


def over_seeds(
    table: pd.DataFrame, keys: Sequence[str], value: str, own: tuple[str, str] = ("ci_low", "ci_high")
) -> pd.DataFrame:
    """Mean over seeds for each value of ``keys``, with its 95 % Student-t interval (``statistics``).

    With one seed, the interval is the one in the table, if the table has intervals.

    Returns:
        ``keys``, ``seeds`` (their number), ``mean``, ``low``, ``high``; in the order of the table.
    """
    keys = list(keys)
    low, high = (pd.to_numeric(table[name], errors="coerce") if name in table else np.nan for name in own)
    rows = table.assign(_value=table[value], _low=low, _high=high)
    columns = ["_value", "_low", "_high"]
    seeds = rows.groupby([*keys, "seed"], sort=False, dropna=False)[columns].mean().reset_index()
    groups = seeds.groupby(keys, sort=False, dropna=False)
    found = groups[columns].mean().set_axis(["mean", "low", "high"], axis=1)
    count = groups["_value"].count()
    half = half_width(groups["_value"].std(), count)
    several = count > 1
    found["low"] = found["low"].where(~several, found["mean"] - half)
    found["high"] = found["high"].where(~several, found["mean"] + half)
    found.insert(0, "seeds", count)
    return found.reset_index()


def keys(tables: Sequence[pd.DataFrame]) -> list[Key]:
    """All (network, method) of prepared tables, in the order of figures."""
    rows = pd.concat([table[GROUP] for table in tables]).drop_duplicates()
    return [
        (network, method)
        for network in methods.ordered_networks(rows["network"])
        for method in methods.ordered(rows.loc[rows["network"] == network, "method"])
    ]


def wording(tables: dict[str, pd.DataFrame], intervals: bool = True) -> str:
    """Text of a caption for prepared tables (name -> table): seeds, intervals and number of images."""
    counts = [table.groupby(GROUP, sort=False)["seed"].nunique(dropna=False) for table in tables.values()]
    few, most = min(int(count.min()) for count in counts), max(int(count.max()) for count in counts)
    if most == 1:
        parts = ["One seed; the interval is that of the table"] if intervals else ["One seed"]
    else:
        seeds = f"{most} seeds" if few == most else f"{few} to {most} seeds"
        parts = [f"Mean over {seeds} with its 95 % Student-t interval"]
        if few == 1:
            parts[0] += " (of one seed, that of the table)"
    images = {what: _span(table["n_images"]) for what, table in tables.items() if "n_images" in table}
    images = {what: number for what, number in images.items() if number}
    if len(tables) > 1 and len(set(images.values())) > 1:
        parts += [", ".join(f"{what}: {number} images" for what, number in images.items())]
    elif images:
        parts += [f"{next(iter(images.values()))} images"]
    return "; ".join(parts) + "."


def _span(numbers: pd.Series) -> str:
    seen = pd.to_numeric(numbers, errors="coerce").dropna()
    if seen.empty:
        return ""
    few, most = int(seen.min()), int(seen.max())
    return str(most) if few == most else f"{few} to {most}"
