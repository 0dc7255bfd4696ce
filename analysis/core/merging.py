"""Results from parts that several processes left in their own folders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from a2mim.errors import InputError

from . import measuring, parts
from .analysis import Analysis
from .subjects import Echo


def merge(
    folders: Sequence[str | Path],
    output: str | Path,
    analyses: Iterable[Analysis[Any]],
    *,
    command: str = "",
    echo: Echo = lambda _: None,
) -> dict[str, Path]:
    """Join the parts that several runs (``shard``, job arrays) left in their outputs; returns the files written.

    Args:
        analyses: those that are looked for (``a2mim.analysis.ANALYSES.usable()``).
        command: the command as it was given, to be kept with the results.

    Raises:
        InputError: a folder without parts, parts of different settings (of one network or of two, which could not be
            compared), or work that no folder has.
    """
    known = list(analyses)
    for folder in map(Path, folders):
        if not any(one.parts_folder(folder).is_dir() for one in known):
            raise InputError(f"no parts in {folder} ({', '.join(one.parts_folder('').name for one in known)})")
    for analysis in known:
        _refuse_unlike(analysis, folders)  # before anything is copied
    written: dict[str, Path] = {}
    for analysis in known:
        if joined := _join(analysis, folders, Path(output)):
            for folder in joined:
                _refuse_gaps(analysis, folder)
            result = measuring.collect(analysis, joined, {"command": command}, echo=echo)
            written |= {f"{analysis.name} {key}": path for key, path in result.save(output).items()}
    return written


def _refuse_unlike(analysis: Analysis[Any], folders: Sequence[str | Path]) -> None:
    """Raise InputError where two networks were measured with different settings."""
    first: dict[str, Any] | None = None
    for folder in folders:
        for path in _settings(analysis, folder):
            found = parts.read_settings(path.parent)
            first = first or found
            names = first.get("name"), found.get("name")
            if names[0] == names[1]:
                continue  # parts of one network are compared as they are joined
            own = {key: first.get(key) for key in ("name", "network")}
            if unlike := parts.difference(first, found | own, f"for {names[0]}", f"for {names[1]}"):
                raise InputError(f"{analysis.name}: networks that are joined must have the same settings: {unlike}")


def _settings(analysis: Analysis[Any], folder: str | Path) -> list[Path]:
    return sorted(analysis.parts_folder(folder).glob(f"*/{parts.SETTINGS}"))


def _join(analysis: Analysis[Any], folders: Sequence[str | Path], output: Path) -> list[Path]:
    """Copy the parts of an analysis into the output; returns the folder of each network there."""
    joined: dict[str, Path] = {}
    for folder in folders:
        for settings in _settings(analysis, folder):
            name = settings.parent.name
            joined[name] = analysis.parts_folder(output) / name
            if settings.parent.resolve() != joined[name].resolve():
                parts.merge([settings.parent], joined[name])
    return list(joined.values())


def _refuse_gaps(analysis: Analysis[Any], folder: Path) -> None:
    if gaps := measuring.missing(folder):
        shown = f"{', '.join(map(str, gaps[:5]))}{', ...' if len(gaps) > 5 else ''}"
        raise InputError(
            f"{analysis.name} of {folder.name}: {len(gaps)} of its parts are in none of the folders ({shown})"
        )
