"""What the page of a report is made of, as plain data: no file is read here, and no HTML is written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NOTHING = "–"  # of a value that is not there
ROWS = 200  # of a table on the page; the rest is in its file


@dataclass(frozen=True)
class Cell:
    """What a cell of a table says, and the number by which its column is sorted (None: by its text)."""

    text: str
    value: float | None = None


@dataclass(frozen=True)
class Table:
    """A table with a caption; ``note`` stands below it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Picture:
    """A PNG; ``alt`` says what it shows to who does not see it."""

    png: bytes
    alt: str
    caption: str


@dataclass
class Entry:
    """One analysis or run: a section of the page.

    Args:
        kind: occlusion, ..., or run, trials.
        title: of the section.
        place: folder or file that it was read from.
        reading: the sentence that says how to read it.
        problem: why there is nothing to show; then the rest is empty.
        findings: differences between models, in words.
        notes: what was found wanting in the files, or left out.
        settings: name -> value, all of them; ``changed`` those that differ from a recipe, in words.
        reports: checkpoint -> what the loader said of it.
        commands: what reproduces it.
        checkpoints: name -> what is known of it (architecture, parameters, ...), for the page's list of networks.
    """

    kind: str
    title: str
    place: str
    reading: str = ""
    problem: str = ""
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    changed: list[str] = field(default_factory=list)
    reports: dict[str, str] = field(default_factory=dict)
    commands: list[str] = field(default_factory=list)
    checkpoints: dict[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass
class Page:
    """The whole report."""

    title: str
    facts: dict[str, str]
    networks: Table | None
    analyses: list[Entry]
    runs: list[Entry]
    reports: dict[str, str] = field(default_factory=dict)  # those that all analyses of a checkpoint have in common
    notes: list[str] = field(default_factory=list)
    overview: Table | None = None  # all runs beside each other


def number(value: float, digits: int = 3) -> str:
    """A number with so many digits that count; a dash for one that is not there."""
    if value is None or not math.isfinite(value):
        return NOTHING
    return f"{value:.{digits}g}".replace("-", "−") if abs(value) < 10**digits else f"{value:.0f}".replace("-", "−")


def decimals(value: float, places: int) -> str:
    """A number with so many digits behind the point; a dash for one that is not there."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:.{places}f}"
    return (text.removeprefix("-") if float(text) == 0 else text).replace("-", "−")  # there is no minus nought


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
    """What an interval of a difference says."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return Cell("no interval")
    return Cell("no difference shown" if low <= 0 <= high else "lower" if high < 0 else "higher")


def text(value: Any) -> Cell:
    """Words; nothing is a dash."""
    return Cell(str(value) if value not in (None, "") else NOTHING)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], file: str, note: str = "") -> Table:
    """A table of at most ``ROWS`` rows; its note says which file holds the rest."""
    all_rows = [tuple(row) for row in rows]
    if len(all_rows) > ROWS:
        note = f"{note} The first {ROWS} of {len(all_rows)} rows; all are in {file}.".strip()
    return Table(caption, tuple(columns), tuple(all_rows[:ROWS]), note)


def listed(names: Iterable[Any], limit: int = 6) -> str:
    """Names in a sentence: the first few, and how many more there are."""
    every = [str(name) for name in names]
    return ", ".join(every[:limit]) + (f" and {len(every) - limit} more" if len(every) > limit else "")


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    if seconds < 600:
        return f"{round(seconds) // 60} min {round(seconds) % 60} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _signed(value: float, places: int) -> str:
    shown = decimals(value, places)
    return f"+{shown}" if math.isfinite(value) and value > 0 and float(f"{value:.{places}f}") else shown


def _sortable(value: float) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
