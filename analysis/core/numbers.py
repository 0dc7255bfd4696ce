"""The numbers of an analysis as the page shows them: tables of cells, a value with its interval, a verdict in words.

The record of an analysis has a function ``numbers``: tables -> ``Numbers``. Nothing here reads a file or writes HTML.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

Tables = Mapping[str, pd.DataFrame]  # "": the main table; others by the ending of their file
NOTHING = "–"  # a value that is missing
DIFFERENCE = ("difference", "difference_ci_low", "difference_ci_high")
LABELS = {"l1": "L1", "psnr": "PSNR (dB)", "ssim": "SSIM"}


@dataclass(frozen=True)
class Columns:
    """Columns that a table must have.

    Args:
        numbers: columns of numbers.
        words: columns of words.
        needed: those of the numbers that no row can do without; rows without them are left out.
        either: the table must have one of these columns of numbers, and no row can do without it.
    """

    numbers: tuple[str, ...]
    words: tuple[str, ...] = ("checkpoint",)
    needed: tuple[str, ...] = ()
    either: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """The text of a cell, and the number by which its column is sorted (None: by the text)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``note`` is shown below it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass
class Numbers:
    """What the page shows of an analysis' tables.

    Args:
        tables: shown below the figures.
        gist: what the numbers say, in one clause; it ends the alternative text of the first figure.
        findings: differences in words, for results whose file of settings has none.
        unlike: keys of the tables that do not agree with the main one; they are left out.
    """

    tables: list[Table]
    gist: str = ""
    findings: list[str] = field(default_factory=list)
    unlike: list[str] = field(default_factory=list)


def number(value: float, digits: int = 3) -> str:
    """A number with this many significant digits; a dash for a missing one."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 10**digits else f"{value:.0f}".replace("-", "−")


def decimals(value: float, places: int) -> str:
    """A number with this many decimal places; a dash for a missing one."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{places}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")  # never "-0.00"


def count(value: float) -> Cell:
    """A whole number."""
    return Cell(decimals(value, 0), _sortable(value))


def measured(value: float, places: int = 2, signed: bool = False) -> Cell:
    """A value without an interval."""
    return Cell(_signed(value, places) if signed else decimals(value, places), _sortable(value))


def within(value: float, low: float, high: float, places: int = 2, signed: bool = False) -> Cell:
    """A value with its interval where it has one: 0.62 (0.60 to 0.64)."""
    write = _signed if signed else decimals
    text = write(value, places)
    if math.isfinite(value) and math.isfinite(low) and math.isfinite(high):
        text += f" ({write(low, places)} to {write(high, places)})"
    return Cell(text, _sortable(value))


def verdict(low: float, high: float) -> Cell:
    """What the interval of a difference says."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell("no interval")
    return Cell("no difference shown" if low <= 0 <= high else "lower" if high < 0 else "higher")


def text(value: Any) -> Cell:
    """Words; a dash for a missing value."""
    return Cell(str(value) if value not in (None, "") else NOTHING)


def listed(names: Iterable[Any], limit: int = 6) -> str:
    """Names in a sentence: the first few, and how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def each(values: Mapping[str, float], write: Callable[[float], str]) -> str:
    """The value of each network in words, the first few."""
    return listed([f"{name} has {write(value)}" for name, value in values.items()], 4)


def framed(caption: str, lines: Sequence[Mapping[str, Cell]], note: str = "") -> Table:
    """A table from its rows, each column name -> cell; a dash where a row lacks a column."""
    columns = tuple(dict.fromkeys(name for line in lines for name in line))
    return Table(caption, columns, tuple(tuple(line.get(name, text(None)) for name in columns) for line in lines), note)


def who(rows: pd.DataFrame, name: str, fill: str = "", shown: str | None = None) -> dict[str, Cell]:
    """Cells that name the network of a row: with architecture, method, seed and fill where the table has them.

    Args:
        rows: the main table.
        name: of the checkpoint; ``shown`` is shown instead of it.
        fill: what hidden patches are replaced with.
    """
    one = rows[rows["checkpoint"] == name]
    own: Mapping[str, object] = one.iloc[0] if len(one) else {}
    extra = {key.capitalize(): text(own.get(key)) for key in ("network", "method") if key in rows}
    if "seed" in rows and len(one):
        extra["Seed"] = count(float(one["seed"].iloc[0]))
    filled = {"Fill": text(fill)} if "fill" in rows and rows["fill"].nunique() > 1 else {}
    return {"Checkpoint": text(shown or name)} | extra | filled


def images(rows: pd.DataFrame, column: str = "n_images") -> Cell:
    """The number of images, or of what ``column`` counts."""
    return count(float(rows[column].iloc[0])) if column in rows else text(None)


def differences(rows: pd.DataFrame, summary: pd.DataFrame) -> list[Table]:
    """Paired differences: a row for each measure of each network that is compared with another.

    Args:
        rows: the main table.
        summary: columns checkpoint, measure, ``DIFFERENCE``; also ``against``, ``token`` or ``fill``.
    """
    lines = []
    first = str(summary["checkpoint"].iloc[0])
    for _, row in summary.iterrows():
        value, low, high = (row[name] for name in DIFFERENCE)
        if np.isfinite(value):
            against = row.get("against") or first
            name = str(row["checkpoint"]) + (", without token" if row.get("token") == "without" else "")
            lines.append(
                who(rows, row["checkpoint"], str(row.get("fill", "")), name)
                | {"Against": text(against), "Measure": text(LABELS.get(str(row["measure"]), str(row["measure"])))}
                | {"Difference": within(value, low, high, 3, signed=True), "Verdict": verdict(low, high)}
            )
    note = "Paired over the same images; an interval without 0 shows that the two differ."
    return [framed("Differences with 95 % intervals", lines, note)] if lines else []


def agree(summary: pd.DataFrame, computed: pd.DataFrame, keys: Sequence[str]) -> bool:
    """Whether a summary has the values that follow from the main table."""
    keys = [key for key in keys if key in summary and key in computed]
    both = computed.merge(summary, on=keys, how="outer", suffixes=("", "_said"))
    if both[["value", "value_said"]].isna().all(axis=1).any():
        both = both.dropna(subset=["value", "value_said"], how="all")  # a measure that neither can have
    return bool(np.isclose(both["value"], both["value_said"], rtol=1e-4, atol=1e-6).all())


def nearest(places: Iterable[float], wanted: Iterable[float]) -> list[float]:
    """For each place that is wanted the nearest that there is, each once, rising."""
    every = list(places)
    return sorted({float(min((abs(place - at), place) for place in every)[1]) for at in wanted})


def as_they_are(title: str, table: pd.DataFrame) -> Numbers:
    """The main table itself, for an analysis that does not say which numbers the page shows."""
    numeric = {name for name in table if pd.api.types.is_numeric_dtype(table[name])}
    lines = [
        {
            name.replace("_", " ").capitalize(): Cell(number(float(row[name]), 4), _sortable(float(row[name])))
            if name in numeric
            else text(row[name])
            for name in map(str, table)
        }
        for row in table.to_dict("records")
    ]
    return Numbers([framed(title, lines)])


def _signed(value: float, places: int) -> str:
    shown = decimals(value, places)
    return f"+{shown}" if math.isfinite(value) and value > 0 and float(f"{value:.{places}f}") else shown


def _sortable(value: float) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
