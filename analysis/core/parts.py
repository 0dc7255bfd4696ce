"""Parts of a long analysis: what is finished is kept in files, so that it is never computed twice.

A folder of parts has ``settings.json``, what all parts have in common, and one ``<name>.npz`` for each image. Every
write is atomic: a process may be killed at any moment, and several may write into one folder.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from a2mim import files
from a2mim.errors import InputError

SETTINGS = "settings.json"


class Parts:
    """The parts of one analysis of one network.

    Args:
        folder: is made if it is not there.
        settings: everything that a part depends on, as JSON can write it.

    Raises:
        InputError: the folder holds parts of other settings.
    """

    def __init__(self, folder: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.settings = json.loads(json.dumps(settings))
        if (self.folder / SETTINGS).exists():
            found = difference(read_settings(self.folder), self.settings, "there", "here")
            if found:
                raise InputError(
                    f"{self.folder} holds parts of other settings: {found}; "
                    "take another --output, or remove that folder"
                )
        else:
            files.write_json(self.folder / SETTINGS, self.settings)

    def load(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of a part, or None if there is none that can be read."""
        path = self.folder / f"{name}.npz"
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except (FileNotFoundError, zipfile.BadZipFile, ValueError, EOFError):
            return None  # a part is written whole or not at all: a file of another kind counts as none

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write a part, over an older one of the same name."""
        with files.atomic(self.folder / f"{name}.npz") as partial, open(partial, "wb") as handle:
            np.savez(handle, allow_pickle=False, **arrays)

    def names(self) -> list[str]:
        """The parts that are there."""
        return sorted(path.stem for path in self.folder.glob("*.npz"))


def merge(folders: Iterable[str | os.PathLike[str]], output: str | os.PathLike[str]) -> int:
    """Copy the parts of several folders into one; returns how many came.

    A part that the output has already stays as it is.

    Raises:
        InputError: a folder without parts, or parts of different settings (the difference is named).
    """
    count = 0
    for folder in map(Path, folders):
        if not (folder / SETTINGS).is_file():
            raise InputError(f"{folder} holds no parts (no {SETTINGS})")
        into = Parts(output, read_settings(folder))
        for path in sorted(folder.glob("*.npz")):
            if not (into.folder / path.name).exists():
                with files.atomic(into.folder / path.name) as partial:
                    partial.write_bytes(path.read_bytes())
                count += 1
    return count


def read_settings(folder: Path) -> dict[str, Any]:
    """What the parts of a folder have in common.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{folder / SETTINGS} is not JSON: {error}") from error
    return settings if isinstance(settings, dict) else {}


def difference(one: Mapping[str, Any], other: Mapping[str, Any], of_one: str, of_other: str) -> str:
    """In words, the first setting in which two differ, and whose value is which; empty where they agree."""
    for key in [*other, *one]:
        if one.get(key) != other.get(key):
            return f"{key} is {one.get(key)!r} {of_one}, {other.get(key)!r} {of_other}"
    return ""
