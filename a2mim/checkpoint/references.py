"""What a command is given for a network: a path, and behind it what holds for this network alone.

``CKPT,model=vit_small_patch16_224,img_size=64,name=ours`` is a path with settings; a path that exists and contains a
comma is the path. A YAML file lists several networks. Nothing here needs torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from a2mim.errors import InputError


@dataclass(frozen=True)
class Reference:
    """A network as a command is given it.

    Args:
        path: checkpoint file, folder, or the name of a shipped checkpoint.
        name: what tables and figures call it; empty: the command chooses.
        model: timm architecture; None: what the file says.
        model_args: keywords for the architecture.
        img_size: pixels of a side, or (H, W); handed to the architecture.
        mean, std: of the images, one number for each channel; None: what the file says.
        which: the encoder of a file with several.
        num_classes: outputs of the classifier; None: the file's own.
    """

    path: str
    name: str = ""
    model: str | None = None
    model_args: Mapping[str, Any] = field(default_factory=dict)
    img_size: int | tuple[int, int] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    which: str | None = None
    num_classes: int | None = None

    def loading(self) -> dict[str, Any]:
        """Keywords for ``load_encoder``, without those that were not given.

        >>> parse("last.pth.tar,model=vit_tiny_patch16_224,img_size=64").loading()
        {'arch': 'vit_tiny_patch16_224', 'model_args': {'img_size': 64}}
        """
        size = list(self.img_size) if isinstance(self.img_size, tuple) else self.img_size
        args = {**self.model_args, **({} if size is None else {"img_size": size})}
        found = {"arch": self.model, "model_args": args, "which": self.which, "num_classes": self.num_classes}
        return {key: value for key, value in found.items() if value not in (None, {})}


KEYS = tuple(entry.name for entry in fields(Reference) if entry.name != "path")


def parse(text: str) -> Reference:
    """The reference in a command's argument.

    Settings are ``KEY=VALUE``, separated by commas; values are YAML, so that a list keeps its commas:
    ``mean=[0.5, 0.5, 0.5]``. ``model_args.KEY=VALUE`` sets one keyword of the architecture.

    >>> found = parse("runs/vit/last.pth.tar,img_size=64,name=ours")
    >>> found.path, found.name, found.img_size
    ('runs/vit/last.pth.tar', 'ours', 64)

    Raises:
        InputError: no path, an unknown key, a key given twice, a value of the wrong kind.
    """
    if os.path.exists(text):
        return Reference(text)
    path, *settings = _split(text)
    for number in range(len(settings), 0, -1):  # the longest beginning that is a path
        beginning = ",".join((path, *settings[:number]))
        if os.path.exists(beginning):
            path, settings = beginning, settings[number:]
            break
    given: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = (part.strip() for part in setting.partition("="))
        if not equals or not key:
            raise InputError(f"'{setting}' in '{text}' must be KEY=VALUE; the keys are {', '.join(KEYS)}")
        if key in given:
            raise InputError(f"'{text}' gives {key} twice")
        given[key] = value if key in ("name", "model", "which") else _yaml(value, setting)
    return _reference(path.strip(), given, text)


def parse_all(texts: Iterable[str], networks: str | os.PathLike[str] | None = None) -> tuple[Reference, ...]:
    """The references of a command line, after those of its ``--networks`` file.

    Raises:
        InputError: what ``parse`` and ``read`` raise, or two networks of one name.
    """
    found = (*(read(networks) if networks else ()), *(parse(text) for text in texts))
    names = [reference.name for reference in found if reference.name]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"two networks are named '{name}'; give each its own name")
    return found


def read(path: str | os.PathLike[str]) -> tuple[Reference, ...]:
    """The references in a YAML file: name -> path, or name -> ``{path: ..., model: ..., ...}``.

    Relative paths start at the folder of the file, where something is there.

    Raises:
        InputError: a file that cannot be read, or entries of another form.
    """
    try:
        entries = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(entries, Mapping) or not entries:
        raise InputError(f"{path} must map the name of each network to a path or to settings (path: ..., model: ...)")
    return tuple(_entry(Path(path), str(name), entry) for name, entry in entries.items())


def _entry(file: Path, name: str, entry: Any) -> Reference:
    given = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(given, Mapping) or not isinstance(given.get("path"), str):
        raise InputError(f"{file}: '{name}' needs a path, as in {name}: {{path: last.pth.tar, model: resnet50}}")
    settings = {str(key): value for key, value in given.items() if key != "path"}
    near = file.parent / given["path"]
    return _reference(str(near) if near.exists() else given["path"], {"name": name, **settings}, f"{file}: {name}")


def _reference(path: str, given: Mapping[str, Any], where: str) -> Reference:
    """A reference from a path and settings, each checked."""
    if not path:
        raise InputError(f"'{where}' has no path")
    args = {key.partition(".")[2]: value for key, value in given.items() if key.startswith("model_args.")}
    plain = {key: value for key, value in given.items() if not key.startswith("model_args.")}
    unknown = [key for key in plain if key not in KEYS]
    if unknown or "" in args:
        raise InputError(
            f"'{where}': unknown setting '{(*unknown, 'model_args.')[0]}'; the settings are {', '.join(KEYS)}, and "
            "model_args.KEY for a keyword of the architecture"
        )
    found = {key: _CHECKS[key](value) for key, value in plain.items()}
    wrong = next((key for key, value in found.items() if value is None), None)
    if wrong:
        raise InputError(f"'{where}': {wrong}={plain[wrong]!r} is not {_MEANT[wrong]}")
    if args:
        found["model_args"] = {**found.get("model_args", {}), **args}
    return Reference(path, **found)


def _split(text: str) -> list[str]:
    """The parts between commas that are in no brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[{(") - (character in "]})")
        if character == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _yaml(value: str, setting: str) -> Any:
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        raise InputError(f"'{setting}': the value must be a number, text, or a list like [1, 2]") from None


def _text(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and str(value) else None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _pixels(value: Any) -> int | tuple[int, int] | None:
    if isinstance(value, list | tuple):
        sides = tuple(_count(side) for side in value)
        return (sides[0], sides[1]) if len(sides) == 2 and sides[0] and sides[1] else None
    return _count(value) or None


def _channels(value: Any) -> tuple[float, ...] | None:
    numbers = tuple(value) if isinstance(value, list | tuple) else (value,) * 3
    good = all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers)
    return tuple(map(float, numbers)) if numbers and good else None


def _mapping(value: Any) -> dict[str, Any] | None:
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else None


_CHECKS: Mapping[str, Any] = {
    **dict.fromkeys(("name", "model", "which"), _text),
    "model_args": _mapping,
    "img_size": _pixels,
    **dict.fromkeys(("mean", "std"), _channels),
    "num_classes": _count,
}
_MEANT = {
    **dict.fromkeys(("name", "model", "which"), "a name"),
    "model_args": "a mapping, as in {depth: 2}",
    "img_size": "a number of pixels, or [height, width]",
    **dict.fromkeys(("mean", "std"), "a number, or a list with one number for each channel"),
    "num_classes": "a number of classes",
}
