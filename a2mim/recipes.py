"""Recipes: YAML files with every setting of a run. A preset is a recipe that ships with the package."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from a2mim.errors import InputError
from a2mim.method_settings import shared
from a2mim.settings import PretrainSettings, S


def folder() -> Path:
    """The folder of the presets."""
    return Path(str(files("a2mim.experiments") / "recipes"))


def find(name: str) -> Path:
    """The recipe file that ``name`` means: a path, or the name of a preset.

    Raises:
        InputError: there is none; the message lists the presets, the nearest first.

    Examples:
        >>> find("fashion-vit").name
        'fashion-vit.yaml'
    """
    if Path(name).is_file():
        return Path(name)
    presets = {file.stem: file for file in sorted(folder().glob("*.yaml"))}
    if name in presets:
        return presets[name]
    near = difflib.get_close_matches(name, presets, n=3)
    order = near + [preset for preset in presets if preset not in near]
    raise InputError(f"no recipe '{name}': it is neither a file nor one of the presets {', '.join(order)}")


def default(kind: type[S], values: Mapping[str, Any]) -> str | None:
    """The preset that is used if none is named: one for the embedded images; None for other images or a given model."""
    own = bool(values.keys() & {"dataset", "data_dir"})
    if kind is PretrainSettings:
        return None if own or "model" in values else "fashion-vit"
    if values.get("linear"):
        return "linear-moco" if own else "fashion-linear"
    return None if own else "fashion-finetune"


def listing(program: str) -> list[tuple[str, str]]:
    """The presets whose header names ``program`` in its command: name, and the first line of the header."""
    found = []
    for file in sorted(folder().glob("*.yaml"), key=lambda file: file.stem):
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
        raise InputError(f"recipe {path} is not YAML: {reason}") from error
    if not isinstance(values, dict):
        what = "empty" if values is None else f"a {type(values).__name__}"
        raise InputError(f"recipe {path} is {what}; it must hold lines of the form 'setting: value'")
    return values


def resolve(
    kind: type[S], name: str | None, begun: Path | None, values: Mapping[str, Any], echo: Callable[[str], None] = print
) -> S:
    """The settings of a run: ``values`` override the recipe, which overrides the settings of a run to resume.

    Args:
        kind: class of the settings.
        name: preset or path of a recipe, or None.
        begun: folder of a run to resume, or None.
        values: settings that were given.
        echo: receives one line for each setting that differs from the recipe or from the run to resume.

    Raises:
        InputError: no such recipe, or settings that cannot be used.
    """
    layers = {}
    if begun is not None:
        layers[f"{begun / 'args.yaml'}"] = read(begun / "args.yaml")
    if name is not None:
        recipe = read(find(name))
        method = layers[f"{begun / 'args.yaml'}"].get("method") if begun is not None else None
        if "method" not in recipe and method not in (None, "a2mim"):
            recipe = shared(method, recipe)  # as when the run started
        layers["the recipe"] = recipe
    settings = kind.from_values(*layers.values(), values)
    for where, layer in layers.items():
        for line in differences(layer, settings.as_values(), where):
            echo(line)
    return settings


def differences(recipe: dict[str, Any], resolved: dict[str, Any], where: str = "the recipe") -> list[str]:
    """One line for each setting of the recipe that has another value in the run."""
    return [
        f"{key}: {value} in {where}, {resolved.get(key, 'not used')} here"
        for key, value in recipe.items()
        if resolved.get(key) != value
    ]
