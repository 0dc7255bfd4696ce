"""One HTML file that shows all results and runs."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from a2mim import files
from a2mim.errors import InputError

from ..core.numbers import Cell, Table, count, decimals, listed, text
from . import analyses as page_analyses
from . import html, reading
from . import pictures as page_pictures
from . import runs as page_runs
from .model import Entry, Page, table
from .reading import ABOUT, NEIGHBOURS, RUN, TRIALS, Found

LIMIT = 5_000_000  # bytes of the page
DETAILS = 3_500_000  # bytes of text; above it settings and the loader's reports are left out


def write_page(sources: Sequence[str | Path], output: str | Path, title: str | None = None) -> Path:
    """Write the report on all that the sources hold; returns its path.

    Args:
        sources: results of analyses, runs, trials, folders that hold several of those at any depth, or single files.
        output: the HTML file.
        title: of the page; default: the names of the sources.

    Raises:
        InputError: a source that does not exist, or nothing in any of them that can be shown; the message says what was
            looked for and what was found.
    """
    page = gather(sources, title)
    path = Path(output)
    if path.is_dir():
        raise InputError(f"{path} is a folder; name the file to write: --output {path / 'report.html'}")
    files.write_text(path, within_limit(page))
    return path


def gather(sources: Sequence[str | Path], title: str | None = None) -> Page:
    """All that the sources contain, as plain data; raises the errors of ``write_page``."""
    found, notes = reading.find(sources)
    entries = [(one, _entry(one)) for one in found if one.kind != ABOUT]
    good = [entry for _, entry in entries if not entry.problem]
    if not good:
        problems = [f"{entry.place}: {entry.problem}" for _, entry in entries]
        raise InputError(
            f"nothing to report on; looked for {reading.looked_for()}; found "
            f"{listed([*problems, *notes], 4) or 'none of them'}"
        )
    runs = [entry for one, entry in entries if one.kind in (RUN, TRIALS)]
    analyses = [entry for one, entry in entries if one.kind not in (RUN, TRIALS)]
    _tell_apart(analyses)
    _tell_apart(runs)
    named = title or "Report on " + listed([Path(source).resolve().name or str(source) for source in sources], 4)
    facts = _facts(sources, analyses, runs, [one for one in found if one.kind == ABOUT])
    overview = page_runs.overview(runs)
    return Page(named, facts, _networks(analyses), analyses, runs, _shared_reports(analyses), notes, overview)


def within_limit(page: Page) -> str:
    """The page as HTML of less than ``LIMIT`` bytes, where needed with fewer details and smaller pictures."""
    entries = [*page.analyses, *page.runs]
    bare = [replace(entry, pictures=[replace(one, png=b"") for one in entry.pictures]) for entry in entries]
    words = len(html.render(_with(page, bare)).encode())
    if words > DETAILS:
        page.notes.append(
            "Settings and the loader's reports are left out, because they are too long; the files have them."
        )
        page = replace(page, reports={})
        entries = [replace(entry, settings={}, reports={}) for entry in entries]
        bare = [replace(entry, pictures=[replace(one, png=b"") for one in entry.pictures]) for entry in entries]
        words = len(html.render(_with(page, bare)).encode())
    pictures = [picture for entry in entries for picture in entry.pictures]
    allowed = int((LIMIT - words - 2000) * 0.74)  # base64 writes three bytes as four characters
    fitting, note = page_pictures.fit(pictures, allowed)
    page.notes += [note] if note else []
    left = iter(fitting)
    whole = [replace(entry, pictures=list(itertools.islice(left, len(entry.pictures)))) for entry in entries]
    return html.render(_with(page, whole))


def _with(page: Page, entries: Sequence[Entry]) -> Page:
    number = len(page.analyses)
    return replace(page, analyses=list(entries[:number]), runs=list(entries[number:]))


def _entry(found: Found) -> Entry:
    """The section of what was found; an unforeseen error in one section leaves the others as they are."""
    make = {RUN: page_runs.run_entry, TRIALS: page_runs.trials_entry, NEIGHBOURS: page_analyses.neighbours}
    try:
        with np.errstate(all="ignore"):  # numbers that are too large are shown as missing
            return make.get(found.kind, page_analyses.entry)(found)
    except Exception as error:
        why = f"{found.path.name} could not be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return Entry(found.kind, found.path.name, str(found.path), problem=why)


def _tell_apart(entries: Iterable[Entry]) -> None:
    """Add the folder to a title that several sections have."""
    every = list(entries)
    titles = [entry.title for entry in every]
    for entry in every:
        if titles.count(entry.title) > 1:
            path = Path(entry.place)
            folder = path.parent if path.suffix in (".csv", ".json") else path
            shown = "/".join(folder.parts[-2:])
            entry.title = f"{entry.title}: {shown}" if entry.kind not in (RUN, TRIALS) else shown


def _shared_reports(analyses: Sequence[Entry]) -> dict[str, str]:
    """The loader's report of each checkpoint, once; an analysis keeps a report only where it differs from the first."""
    shared: dict[str, str] = {}
    for entry in analyses:
        for name, report in list(entry.reports.items()):
            if shared.setdefault(name, report) == report:
                del entry.reports[name]
    return shared


def _facts(
    sources: Sequence[str | Path], analyses: Sequence[Entry], runs: Sequence[Entry], about: Sequence[Found]
) -> dict[str, str]:
    """The head of the page: time, contents, versions, seeds, images, machine."""
    entries = [entry for entry in [*analyses, *runs] if not entry.problem]
    now = datetime.datetime.now(datetime.timezone.utc)
    facts = {"Written": now.strftime("%Y-%m-%d %H:%M UTC"), "From": listed(sources, 8)}
    trained = sum(entry.kind == RUN for entry in entries)
    facts["Contains"] = (
        f"{len(entries) - len([one for one in runs if not one.problem])} analyses, {trained} training runs"
    )
    broken = len(analyses) + len(runs) - len(entries)
    facts["Contains"] += f"; {broken} that cannot be used" if broken else ""
    for label, shown in (("Images", "Images"), ("Trained on", "Trained on"), ("Seed", "Seeds")):
        if values := dict.fromkeys(entry.facts[label] for entry in entries if label in entry.facts):
            facts[shown] = "; ".join([*list(values)[:4], *(["..."] if len(values) > 4 else [])])
    if versions := [entry.facts["Versions"] for entry in entries if "Versions" in entry.facts]:
        facts["Versions"] = ", ".join(dict.fromkeys(one for line in versions for one in line.split(", ")))
    if moments := [entry.facts["Measured"] for entry in entries if "Measured" in entry.facts]:
        first, last = min(moments), max(moments)
        facts["Measured"] = first if first == last else f"{first} to {last}"
    devices = dict.fromkeys(str(entry.settings["device"]) for entry in entries if "device" in entry.settings)
    devices.pop("auto", None)  # runs record what was asked for, analyses what they used
    if devices:
        facts["Device"] = listed(devices)
    for one in about:
        facts |= _claims(one)
    return facts


def _claims(found: Found) -> dict[str, str]:
    """Scale, machine and time from about.json of the claims' results."""
    try:
        about = reading.read_json(found.path)
    except InputError as error:
        return {"about.json": str(error)}
    facts = {}
    for key, value in about.items():
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            facts[key.replace("_", " ").capitalize()] = str(value)
        elif isinstance(value, list) and all(isinstance(one, str | int) for one in value):
            facts[key.replace("_", " ").capitalize()] = "; ".join(map(str, value))
        elif isinstance(value, Mapping) and key in ("versions", "machine", "scale"):
            facts[key.capitalize()] = ", ".join(f"{name} {one}" for name, one in value.items())
        elif isinstance(value, Mapping) and key == "stages":
            facts["Commands"] = f"{len(value)}, listed in {found.path}"
    return facts


def _networks(analyses: Sequence[Entry]) -> Table | None:
    """Every checkpoint that was analysed, and what the loader found in it."""
    known: dict[str, Mapping[str, Any]] = {}
    seen: dict[str, list[str]] = {}
    for entry in analyses:
        for name, report in entry.checkpoints.items():
            known[name] = report or known.get(name, {})
            seen.setdefault(name, [])
            seen[name] += [entry.kind] if entry.kind not in seen[name] else []
    if not known:
        return None
    lines = [[text(name), *_loaded(report), text(", ".join(seen[name]))] for name, report in known.items()]
    columns = ("Checkpoint", "Architecture", "Parameters (M)", "Written by", "Epoch", "Loaded", "Analysed by")
    return table("Networks", columns, lines, "the .json files")


def _loaded(report: Mapping[str, Any]) -> list[Cell]:
    numbers = [report.get(key) for key in ("parameters", "epoch", "coverage")]
    parameters, epoch, coverage = (float(one) if isinstance(one, int | float) else float("nan") for one in numbers)
    millions = parameters / 1e6
    written = ", ".join(str(report[key]) for key in ("format", "kind") if report.get(key))
    loaded = Cell(f"{decimals(100 * coverage, 1)} %" if coverage == coverage else "–", coverage)
    return [text(report.get("arch")), Cell(decimals(millions, 2), millions), text(written), count(epoch), loaded]
