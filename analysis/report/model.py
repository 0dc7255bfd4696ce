"""What the page of a report is made of, as plain data: no file is read here, and no HTML is written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..core.numbers import Cell, Table

ROWS = 200  # of a table on the page; the rest is in its file


@dataclass(frozen=True)
class Picture:
    """A PNG; ``alt`` is the alternative text, which says what it shows."""

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
        notes: what is missing or wrong in the files, or left out.
        settings: name -> value, all of them; ``changed`` those that differ from a recipe, in words.
        reports: checkpoint -> what the loader said of it.
        commands: those that made it, as they were written down.
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


def cut(one: Table, file: str) -> Table:
    """A table of at most ``ROWS`` rows; its note says which file holds the rest."""
    if len(one.rows) <= ROWS:
        return one
    note = f"{one.note} The first {ROWS} of {len(one.rows)} rows; all are in {file}.".strip()
    return replace(one, rows=one.rows[:ROWS], note=note)


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Cell]], file: str, note: str = "") -> Table:
    """A table of at most ``ROWS`` rows; its note says which file holds the rest."""
    return cut(Table(caption, tuple(columns), tuple(tuple(row) for row in rows), note), file)
