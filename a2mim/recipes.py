"""Recipes: YAML files with every setting of a run. A preset is a recipe that ships with the package."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from a2mim.errors import InputError


def find(name: str, folders: Iterable[Path]) -> Path:
    """The recipe file meant by ``name``: a path, or the name of a YAML file in one of the folders.

    Raises:
        InputError: there is none; the message lists the presets, the nearest first.
    """
    if Path(name).is_file():
        return Path(name)
    presets = {file.stem: file for folder in folders for file in sorted(Path(folder).glob("*.yaml"))}
    if name in presets:
        return presets[name]
    near = difflib.get_close_matches(name, presets, n=3)
    order = near + [preset for preset in presets if preset not in near]
    raise InputError(f"no recipe '{name}': no such file, nor one of the presets {', '.join(order)}")


def listing(program: str, folders: Iterable[Path]) -> list[tuple[str, str]]:
    """The presets whose header names ``program`` in its command: name, and the first line of the header."""
    found = []
    for folder in folders:
        for file in sorted(Path(folder).glob("*.yaml"), key=lambda file: file.stem):
            header = [line.lstrip("# ") for line in file.read_text(encoding="utf-8").splitlines() if line[:1] == "#"]
            if any(line.startswith("Command: ") and f" {program} " in line for line in header):
                found.append((file.stem, header[0]))
    return found


def read(path: Path) -> dict[str, Any]:
    """The settings in a recipe file.

    Raises:
        InputError: not YAML, or not a mapping of settings.
    """
    try:
        values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = str(error).replace("\n", " ")
        raise InputError(f"recipe {path} is no YAML: {reason}") from error
    if not isinstance(values, dict):
        what = "empty" if values is None else f"a {type(values).__name__}"
        raise InputError(f"recipe {path} is {what}; it must hold lines of the form 'setting: value'")
    return values


def differences(recipe: dict[str, Any], resolved: dict[str, Any], where: str = "the recipe") -> list[str]:
    """One line for each setting of the recipe that the run has otherwise."""
    return [
        f"{key}: {value} in {where}, {resolved.get(key, 'not used')} here"
        for key, value in recipe.items()
        if resolved.get(key) != value
    ]
