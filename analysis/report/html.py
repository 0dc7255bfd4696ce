"""The page as HTML: one file that needs nothing else, with every word from a file escaped."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any

from .model import Cell, Entry, Page, Picture, Table
from .runs import overview

WRAPPED = 14  # signs beyond which a word may be broken
INTERVAL = re.compile(r"\S+ \(\S+ to \S+\)")


def render(page: Page) -> str:
    """The whole document.

    Its policy allows no request at all: pictures lie in it as data, and the only style and script that may run are
    those whose hashes it names.
    """
    style, script = resource("page.css"), resource("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            '<meta name="referrer" content="no-referrer">',
            '<link rel="icon" href="data:,">',
            f"<title>{words(page.title)}</title>",
            f"<style>{style}</style>",
            "</head>",
            "<body>",
            '<a class="skip" href="#main">Skip to the results</a>',
            *_head(page),
            *_contents(page),
            '<main id="main" tabindex="-1">',
            *_subjects(page),
            *_group("Analyses", "analyses", page.analyses),
            *_group("Training runs", "runs", page.runs, overview(page.runs)),
            "</main>",
            '<dialog id="large" aria-label="Enlarged picture"><form method="dialog"><button>Close</button></form>'
            '<img alt=""><p></p></dialog>',
            f"<script>{script}</script>",
            "</body>",
            "</html>",
            "",
        ]
    )


def words(value: Any) -> str:
    """Text, escaped; signs that would turn or hide what follows are shown as their codes."""
    safe = "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\u{ord(sign):04x}" for sign in str(value))
    return escape(safe, quote=True)


def resource(name: str) -> str:
    return (resources.files("a2mim.analysis.report") / name).read_text(encoding="utf-8")


def _hash(content: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def _head(page: Page) -> list[str]:
    return ["<header>", f"<h1>{words(page.title)}</h1>", *_pairs(page.facts), *_remarks(page.notes), "</header>"]


def _contents(page: Page) -> list[str]:
    lines = ['<nav aria-labelledby="contents">', '<h2 id="contents">Contents</h2>', "<ul>"]
    if page.networks:
        lines.append('<li><a href="#networks">Networks</a></li>')
    for title, key, entries in (("Analyses", "analyses", page.analyses), ("Training runs", "runs", page.runs)):
        if entries:
            lines += [f'<li><a href="#{key}">{title}</a>', "<ul>"]
            for number, entry in enumerate(entries):
                broken = ' <span class="broken">cannot be used</span>' if entry.problem else ""
                lines.append(f'<li><a href="#{key}-{number}">{words(entry.title)}</a>{broken}</li>')
            lines += ["</ul>", "</li>"]
    return [*lines, "</ul>", "</nav>"]


def _subjects(page: Page) -> list[str]:
    if page.networks is None:
        return []
    opening = ['<section id="networks" aria-labelledby="networks-title">', '<h2 id="networks-title">Networks</h2>']
    return [*opening, *_table(page.networks, hide=True), *_reports(page.reports, "h3"), "</section>"]


def _group(title: str, key: str, entries: Sequence[Entry], table: Table | None = None) -> list[str]:
    if not entries:
        return []
    lines = [f'<section id="{key}" aria-labelledby="{key}-title">', f'<h2 id="{key}-title">{title}</h2>']
    lines += _table(table) if table else []
    for number, entry in enumerate(entries):
        lines += _entry(entry, f"{key}-{number}")
    return [*lines, "</section>"]


def _entry(entry: Entry, key: str) -> list[str]:
    lines = [f'<article id="{key}" aria-labelledby="{key}-title">', f'<h3 id="{key}-title">{words(entry.title)}</h3>']
    lines.append(f'<p class="place">{words(entry.place)}</p>')
    if entry.problem:
        return [*lines, f'<p class="problem"><strong>Cannot be used:</strong> {words(entry.problem)}</p>', "</article>"]
    lines.append(f'<p class="reading">{words(entry.reading)}</p>')
    lines += [line for picture in entry.pictures for line in _picture(picture)]
    lines += [line for table in entry.tables for line in _table(table)]
    if entry.findings:
        lines += ["<h4>Differences in words</h4>", *_list(entry.findings)]
    if entry.notes:
        lines += ["<h4>Remarks</h4>", *_list(entry.notes)]
    if entry.facts:
        lines += [
            "<h4>How it was measured</h4>" if entry.kind != "run" else "<h4>How it went</h4>",
            *_pairs(entry.facts),
        ]
    if entry.changed:
        lines += ["<h4>Settings that differ from the recipe</h4>", *_list(entry.changed)]
    if entry.commands:
        lines += ["<h4>Command that reproduces it</h4>", *(f"<pre>{words(one)}</pre>" for one in entry.commands)]
    if entry.settings:
        rows = {name: _value(value) for name, value in entry.settings.items()}
        lines += ["<details>", f"<summary>All settings ({len(rows)})</summary>", *_pairs(rows), "</details>"]
    return [*lines, *_reports(entry.reports, "h4"), "</article>"]


def _reports(reports: Mapping[str, str], heading: str) -> list[str]:
    """What the loader said of each checkpoint."""
    if not reports:
        return []
    lines = ["<details>", f"<summary>Loader’s reports ({len(reports)})</summary>"]
    for name, report in reports.items():
        lines += [f"<{heading}>{words(name)}</{heading}>", f"<pre>{words(report)}</pre>"]
    return [*lines, "</details>"]


def _picture(picture: Picture) -> list[str]:
    width, height = _size(picture.png)
    data = base64.b64encode(picture.png).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{words(picture.alt)}" width="{width}" height="{height}">'
    return ["<figure>", image, f"<figcaption>{words(picture.caption)}</figcaption>", "</figure>"]


def _size(png: bytes) -> tuple[int, int]:
    """Width and height as the page shows them: a picture has 200 dots per inch, a page about 110."""
    if len(png) < 24:
        return 0, 0
    width, height = struct.unpack(">II", png[16:24])
    return round(width * 0.55), round(height * 0.55)


def _table(table: Table, hide: bool = False) -> list[str]:
    numbers = [any(_known(row[place]) for row in table.rows) for place in range(len(table.columns))]
    lines = [f'<div class="table" role="region" tabindex="0" aria-label="{words(table.caption)}">', "<table>"]
    hidden = ' class="hidden"' if hide else ""
    lines.append(f"<caption{hidden}><span>{words(table.caption)}</span></caption>")
    kinds = [' class="number"' if number else "" for number in numbers]
    heads = (f'<th scope="col"{kind}>{_breakable(name)}</th>' for name, kind in zip(table.columns, kinds, strict=True))
    lines += ["<thead>", f"<tr>{''.join(heads)}</tr>", "</thead>", "<tbody>"]
    for first, *rest in table.rows:
        cells = [f'<th scope="row"{_sort(first)}>{_breakable(first.text)}</th>']
        for cell, kind in zip(rest, kinds[1:], strict=True):
            cells.append(f"<td{kind}{_sort(cell)}>{_breakable(cell.text)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    lines += ["</tbody>", "</table>", "</div>"]
    return lines + ([f'<p class="note">{words(table.note)}</p>'] if table.note else [])


def _known(cell: Cell) -> bool:
    return cell.value is not None and math.isfinite(cell.value)


def _sort(cell: Cell) -> str:
    return f' data-value="{float(cell.value)!r}"' if cell.value is not None and _known(cell) else ""  # not np.float64


def _breakable(value: str) -> str:
    """Escaped text; long names may be broken after the signs that join their words, a value with its interval not."""
    if found := INTERVAL.match(value):
        return words(found[0]).replace(" ", "&nbsp;") + words(value[found.end() :])
    joined = words(value)
    if len(value) <= WRAPPED:
        return joined
    for sign in ("-", "_", "/", "."):
        joined = joined.replace(sign, f"{sign}<wbr>")
    return joined


def _pairs(values: Mapping[str, Any]) -> list[str]:
    rows = [f"<div><dt>{words(name)}</dt><dd>{words(value)}</dd></div>" for name, value in values.items()]
    return ["<dl>", *rows, "</dl>"] if rows else []


def _list(lines: Iterable[str]) -> list[str]:
    return ["<ul>", *(f"<li>{words(line)}</li>" for line in lines), "</ul>"]


def _remarks(notes: Sequence[str]) -> list[str]:
    return ['<div class="problem">', *_list(notes), "</div>"] if notes else []


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
