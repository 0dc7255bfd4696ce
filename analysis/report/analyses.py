"""From the files of an analysis to its section of the page."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from a2mim import durations
from a2mim.checkpoint.report import LoadReport
from a2mim.errors import InputError

from ..core.analysis import Analysis
from ..core.numbers import Numbers, Tables, as_they_are, listed, number, text
from . import claims, pictures
from . import reading as page_reading
from .model import Entry, cut, table
from .reading import Found, mapping

NEIGHBOURS = (
    "How often the nearest neighbours of an image, by the encoder's features, have its class; nothing is trained."
)


def entry(found: Found) -> Entry:
    """The section of a table of results; ``problem`` says why the files cannot be used."""
    made = Entry(found.kind, found.path.name, str(found.path), problem=found.why)
    try:
        record = page_reading.known(found.kind)
        if record is not None:
            made.title, made.reading = record.title, record.reading
        if made.problem or record is None:
            return made
        tables, made.notes = page_reading.read(found, record.columns)
        numbers = _numbers(record, tables)
    except InputError as error:
        made.problem = str(error)
        return made
    for key in numbers.unlike:
        del tables[key]
        file = page_reading.beside(found.path, key)
        made.notes.append(f"{file} does not agree with {found.path.name} and is left out.")
    made.tables = [cut(one, found.path.name) for one in numbers.tables]
    if "checkpoint" in tables[""]:
        made.checkpoints = {name: {} for name in dict.fromkeys(tables[""]["checkpoint"])}
    if isinstance(record, Analysis):
        made.pictures, undrawn = pictures.of(record, tables, found.path, numbers.gist)
        made.notes += undrawn
        _about(made, found)
    made.findings = made.findings or numbers.findings
    return made


def _numbers(record: Analysis[Any] | claims.Claim, tables: Tables) -> Numbers:
    if not isinstance(record, Analysis):
        return claims.numbers(tables)
    return record.numbers(tables) if record.numbers else as_they_are(record.title, tables[""])


def _about(made: Entry, found: Found) -> None:
    """What the settings file beside the table says."""
    try:
        about = page_reading.read_json(found.path.with_suffix(".json"))
    except InputError as error:
        made.notes.append(f"{error}.")
        return
    images, settings = mapping(about.get("images")), mapping(about.get("settings"))
    made.facts = {"Images": described(images), **when(about)}
    made.facts["Seed"] = str(settings.get("seed", images.get("seed", "not written")))
    made.settings = {**settings, **{f"images: {key}": value for key, value in images.items()}}
    made.settings |= {"device": about.get("device", "not written")}
    conclusions = about.get("conclusions")
    named = set(mapping(about.get("networks")) or mapping(about.get("checkpoints")))
    if named and made.checkpoints and named != set(made.checkpoints):
        file = found.path.with_suffix(".json").name
        made.notes.append(f"{file} names other checkpoints ({listed(named)}) than {found.path.name}.")
    elif isinstance(conclusions, list):
        made.findings = [str(one) for one in conclusions]
    for name, report in mapping(about.get("checkpoints")).items():
        made.checkpoints[name] = mapping(report)
        made.reports[name] = said(mapping(report))
        made.notes += [f"{name}: {remark}" for remark in remarks(mapping(report))]
    for name, layers in mapping(about.get("left_out")).items():
        if isinstance(layers, list) and layers:
            made.notes.append(f"{name}: left out: {listed(layers)}")
    made.commands, remark = page_reading.command(about)
    made.notes += remark


def neighbours(found: Found) -> Entry:
    """The section of knn.json."""
    made = Entry("knn", f"Nearest neighbours: {found.path.parent.name}", str(found.path), reading=NEIGHBOURS)
    try:
        about = page_reading.read_json(found.path)
    except InputError as error:
        made.problem = str(error)
        return made
    numbers = {key: value for key, value in about.items() if isinstance(value, int | float) and value is not True}
    if not numbers:
        made.problem = f"{found.path.name} has no number, so there is nothing to show"
        return made
    rows = [[text(key), text(number(float(value), 4))] for key, value in numbers.items()]
    made.tables = [table("Result", ("Measure", "Value"), rows, found.path.name)]
    made.settings = {key: value for key, value in about.items() if key not in numbers and key != "command"}
    made.commands, made.notes = page_reading.command(about)
    return made


def described(images: Mapping[str, Any]) -> str:
    """Which images, in words."""
    if not images:
        return "not written"
    if given := images.get("given"):
        return f"{len(given)} image files"
    names = {"folder": "images in"}
    names["fashion"] = "images in" if images.get("data_dir") else "the embedded images of Fashion-MNIST"
    what = names.get(str(images.get("dataset")), str(images.get("dataset")))
    place = f" {images['data_dir']}" if images.get("data_dir") else ""
    limit = f"{images['limit']} of " if images.get("limit") else "all "
    classes = f", classes {images['classes']}" if images.get("classes") else ""
    return f"{limit}{what}{place}{classes} ({images.get('split', 'val')})"


def when(about: Mapping[str, Any]) -> dict[str, str]:
    """Time, cost and versions as a settings file has them."""
    facts = {}
    if created := about.get("created"):
        facts["Measured"] = moment(created)
    if isinstance(about.get("duration_seconds"), int | float):
        facts["Took"] = durations.describe(float(about["duration_seconds"]))
    if versions := mapping(about.get("versions")):
        facts["Versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    return facts


def moment(created: Any) -> str:
    """An ISO time, to the minute; any other text as it is."""
    try:
        return datetime.datetime.fromisoformat(str(created)).strftime("%Y-%m-%d %H:%M %Z").strip()
    except ValueError:
        return str(created)


def said(report: Mapping[str, Any]) -> str:
    """What the loader said of a checkpoint, as ``a2mim-checkpoint inspect`` prints it."""
    found = _report(report)
    return "The settings file has no valid report of the loader." if found is None else str(found)


def remarks(report: Mapping[str, Any]) -> list[str]:
    """What a reader has to know of how a checkpoint was loaded."""
    found = _report(report)
    return [] if found is None else found.remarks()


def _report(report: Mapping[str, Any]) -> LoadReport | None:
    names = {one.name for one in dataclasses.fields(LoadReport)}
    try:
        found = LoadReport(**{key: value for key, value in report.items() if key in names})
        str(found), found.remarks()
    except (TypeError, ValueError, AttributeError, KeyError):
        return None
    return found
