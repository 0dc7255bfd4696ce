"""The page as HTML: one file that needs nothing else. What stands where is in the templates, ``*.html.j2``."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import math
import re
import struct
from html import escape
from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from ..core.numbers import Cell, Table
from .model import Page, Picture

WRAPPED = 14  # characters beyond which a word may be broken
SHRUNK = 0.55  # pixels on the page for each pixel of a picture: a picture has 200 dots per inch, a page about 110
INTERVAL = re.compile(r"\S+ \(\S+ to \S+\)")


def render(page: Page) -> str:
    """The whole document.

    Its policy allows no request at all: pictures are inside it as data, and the only style and script that may run are
    those whose hashes it names.
    """
    style, script = resource("report.css"), resource("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    template = templates().get_template("report.html.j2")
    return template.render(page=page, policy=Markup(policy), style=Markup(style), script=Markup(script))


@functools.cache
def templates() -> jinja2.Environment:
    """The templates. Every value that they show is escaped, unless it is marked as HTML."""
    found = jinja2.Environment(
        loader=jinja2.FunctionLoader(resource),
        autoescape=True,
        finalize=words,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters = {"breakable": breakable, "size": size, "base64": _base64, "plain": plain}
    found.filters |= filters | {"sort_value": sort_value, "numeric_columns": numeric_columns}
    return found


def words(value: Any) -> Markup:
    """Escaped text; characters that would turn or hide what follows are shown as their codes. HTML stays as it is."""
    if isinstance(value, Markup):
        return value
    characters = (one if one.isprintable() or one in "\n\t" else f"\\u{ord(one):04x}" for one in str(value))
    return Markup(escape("".join(characters), quote=True))


def resource(name: str) -> str:
    """The text of a file of this folder: a template, the style or the script."""
    return (resources.files("a2mim.analysis.report") / name).read_text(encoding="utf-8")


def breakable(value: str) -> Markup:
    """Escaped text: a long name may be broken after ``-_/.``, a value and its interval may not be broken."""
    if found := INTERVAL.match(value):
        return Markup(words(found[0]).replace(" ", Markup("&nbsp;"))) + words(value[found.end() :])
    if len(value) <= WRAPPED:
        return words(value)
    return Markup(re.sub(r"([-_/.])", r"\1<wbr>", str(words(value))))


def numeric_columns(table: Table) -> list[bool]:
    """For each column whether it holds a number."""
    return [any(_known(row[place]) for row in table.rows) for place in range(len(table.columns))]


def sort_value(cell: Cell) -> str | None:
    """The number by which the script sorts this cell; None where it has none."""
    return repr(float(cell.value)) if cell.value is not None and _known(cell) else None  # not np.float64(...)


def size(picture: Picture) -> tuple[int, int]:
    """Width and height as the page shows the picture."""
    if len(picture.png) < 24:
        return 0, 0
    width, height = struct.unpack(">II", picture.png[16:24])
    return round(width * SHRUNK), round(height * SHRUNK)


def plain(value: Any) -> str:
    """The value of a setting: words as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _hash(content: str) -> str:
    return f"sha256-{_base64(hashlib.sha256(content.encode()).digest())}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _known(cell: Cell) -> bool:
    return cell.value is not None and math.isfinite(cell.value)
