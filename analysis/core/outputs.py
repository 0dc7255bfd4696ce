"""What an analysis writes: a tidy table, its settings, and a picture, each whole or not there."""

from __future__ import annotations

import contextlib
import datetime
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from a2mim import files
from a2mim.figures import style

PACKAGES = ("a2mim", "torch", "timm", "numpy", "matplotlib")


def save(
    output: str | Path,
    analysis: str,
    table: pd.DataFrame,
    about: Mapping[str, Any],
    figure: Figure,
    *,
    duration: float | None = None,
) -> dict[str, Path]:
    """Write ``<output>/<analysis>.csv``, ``.json``, ``.png`` and ``.pdf``; returns their paths by ending.

    None of the four takes its name before all are written, so that a table never lies beside an older picture.

    Args:
        table: tidy, first column ``checkpoint``; floats are written with all their digits.
        about: settings, seeds, data; versions, time and ``duration`` (seconds) are added.

    Raises:
        OSError: a folder that cannot be written, a full disk; files that were there before stay whole.
    """
    paths = {ending: Path(output) / f"{analysis}.{ending}" for ending in ("csv", "json", "png", "pdf")}
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    about = {**about, "versions": versions, "created": created, "duration_seconds": duration}
    with contextlib.ExitStack() as whole:
        partials = {ending: whole.enter_context(files.atomic(path)) for ending, path in paths.items()}
        files.write_text(partials["csv"], table.to_csv(index=False))
        files.write_json(partials["json"], about)
        _draw(figure, partials["png"], "png")
        _draw(figure, partials["pdf"], "pdf")
    return paths


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure, atomically, in the format of the path's ending; fonts are embedded in a PDF."""
    path = Path(path)
    with files.atomic(path) as partial:
        _draw(figure, partial, path.suffix[1:])
    return path


def save_pictures(figure: Figure, path: str | Path) -> dict[str, Path]:
    """Write a figure as ``<path>.png`` and ``.pdf``; returns their paths by ending."""
    return {ending: save_figure(figure, f"{path}.{ending}") for ending in ("png", "pdf")}


def _draw(figure: Figure, path: Path, ending: str) -> None:
    with style.apply():  # the kind of font is chosen when a PDF is written, not when its figure is made
        figure.savefig(path, format=ending, dpi=200)
