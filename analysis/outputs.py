"""What an analysis writes: a tidy table, its settings, and a picture, each whole or not there."""

from __future__ import annotations

import datetime
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from a2mim import files

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

    Args:
        table: tidy, first column ``checkpoint``; floats are written with all their digits.
        about: settings, seeds, data; versions, time and ``duration`` (seconds) are added.

    Raises:
        OSError: a folder that cannot be written, a full disk; files that were there before stay whole.
    """
    paths = {ending: Path(output) / f"{analysis}.{ending}" for ending in ("csv", "json", "png", "pdf")}
    files.write_text(paths["csv"], table.to_csv(index=False))
    versions = {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}}
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    files.write_json(paths["json"], {**about, "versions": versions, "created": created, "duration_seconds": duration})
    save_figure(figure, paths["png"])
    save_figure(figure, paths["pdf"])
    return paths


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure, atomically, in the format of the path's ending; fonts are embedded in a PDF."""
    path = Path(path)
    with files.atomic(path) as partial:
        figure.savefig(partial, format=path.suffix[1:], dpi=200)
    return path
