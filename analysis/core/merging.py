"""Results of parts that several processes left in folders of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from a2mim.errors import InputError

from ..interactions import interactions_pipeline
from ..occlusion import occlusion_pipeline
from ..probes import probes_pipeline
from ..reconstruction import reconstruct_pipeline
from . import parts, portions


class Kind(NamedTuple):
    """How the parts of an analysis are told whole, and made results."""

    missing: Callable[[Path], list[int]]
    write: Callable[..., dict[str, Path]]


KINDS = {
    "interactions": Kind(interactions_pipeline.missing, interactions_pipeline.write),
    "occlusion": Kind(portions.missing, occlusion_pipeline.write),
    "shuffle": Kind(portions.missing, occlusion_pipeline.write_shuffle),
    "spectrum": Kind(portions.missing, probes_pipeline.write_spectrum),
    "variance": Kind(portions.missing, probes_pipeline.write_variance),
    "reconstruct": Kind(portions.missing, reconstruct_pipeline.write),
}


def merge(folders: Sequence[str | Path], output: str | Path) -> dict[str, Path]:
    """Join the parts that several runs (``shard``, job arrays) left in their outputs; returns the files written.

    Raises:
        InputError: a folder without parts, parts of different settings (of one network or of two, which could not be
            compared), or work that no folder has.
    """
    for folder in map(Path, folders):
        if not any((folder / f"{kind}.parts").is_dir() for kind in KINDS):
            raise InputError(f"no parts in {folder} ({', '.join(f'{kind}.parts' for kind in KINDS)})")
    written: dict[str, Path] = {}
    for kind in KINDS:
        _refuse_unlike(kind, folders)
    for kind, analysis in KINDS.items():
        if joined := _join(kind, folders, Path(output)):
            for folder in joined:
                _refuse_gaps(kind, folder, analysis.missing(folder))
            results = analysis.write(output, joined, {})
            written |= {f"{kind} {ending}": path for ending, path in results.items()}
    return written


def _refuse_unlike(kind: str, folders: Sequence[str | Path]) -> None:
    """Raise InputError where two networks were asked for different things: nothing has been copied yet."""
    first: dict[str, Any] | None = None
    for folder in folders:
        for path in _settings(kind, folder):
            found = parts.read_settings(path.parent)
            first = first or found
            names = first.get("name"), found.get("name")
            if names[0] == names[1]:
                continue  # parts of one network are compared as they are joined
            own = {key: first.get(key) for key in ("name", "network")}
            if told := parts.difference(first, found | own, f"for {names[0]}", f"for {names[1]}"):
                raise InputError(f"{kind}: networks that are joined must have the same settings: {told}")


def _settings(kind: str, folder: str | Path) -> list[Path]:
    return sorted(Path(folder, f"{kind}.parts").glob(f"*/{parts.SETTINGS}"))


def _join(kind: str, folders: Sequence[str | Path], output: Path) -> list[Path]:
    """Copy the parts of an analysis into the output; returns the folder of each network there."""
    joined: dict[str, Path] = {}
    for folder in folders:
        for settings in _settings(kind, folder):
            name = settings.parent.name
            joined[name] = output / f"{kind}.parts" / name
            if settings.parent.resolve() != joined[name].resolve():
                parts.merge([settings.parent], joined[name])
    return list(joined.values())


def _refuse_gaps(kind: str, folder: Path, gaps: Sequence[int]) -> None:
    if gaps:
        shown = f"{', '.join(map(str, gaps[:5]))}{', ...' if len(gaps) > 5 else ''}"
        raise InputError(f"{kind} of {folder.name}: {len(gaps)} of its parts are in none of the folders ({shown})")
