"""The command line that reproduces a result, from the settings that were written beside it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from ..core.subjects import name_of
from .reading import mapping

FLAGS = {  # setting -> flag; those that are given otherwise are in ``_special``
    "runs": "runs",
    "patches": "patches",
    "nested": "nested",
    "batch_shared_mask": "batch-shared-mask",
    "n_pairs": "pairs",
    "n_contexts": "contexts",
    "distance": "distance",
    "estimator": "estimator",
    "normalise": "normalise",
    "score": "score",
    "baseline": "baseline",
    "target": "target",
    "amp": "amp",
    "only_correct": "only-correct",
    "reduction": "reduction",
    "frequency": "frequency",
    "kind": "kind",
    "ddof": "ddof",
    "mask_ratio": "mask-ratio",
    "token": "token",
}
LEFT = {"patches": "random", "normalise": "ratios", "target": "label"}  # defaults that need no flag


def analysis(kind: str, about: Mapping[str, Any], output: str) -> tuple[str, list[str]]:
    """The command of an analysis, and what it cannot say.

    Args:
        about: what its settings file holds.
        output: folder of its results.
    """
    reports = mapping(about.get("checkpoints"))
    paths = {name: str(mapping(report).get("path", name)) for name, report in reports.items()}
    if not paths:
        return "", ["The settings file names no checkpoints, so that the command is not known."]
    words = ["a2mim-analyze", kind, *(_shipped(path) for path in paths.values())]
    if [name_of(path) for path in paths.values()] != list(paths):
        words += [word for name in paths for word in ("--name", name)]
    chosen = sorted({str(which) for report in reports.values() if (which := _which(mapping(report)))})
    words += ["--which", chosen[0]] if len(chosen) == 1 else []
    settings, images = mapping(about.get("settings")), mapping(about.get("images"))
    unsaid = []
    if isinstance(settings.get("pairs"), list):
        unsaid.append("The pairs were listed in a file, which --draw has to name.")
    if len(chosen) > 1:
        unsaid.append(f"Encoders {', '.join(chosen)} of the files were taken, and --which takes one for all.")
    words += [*_images(images), *_plain(settings), *_special(settings, reports)]
    seed = settings.get("seed", images.get("seed", 0))
    words += ["--seed", str(seed), "--output", output]
    return shlex.join(words), unsaid


def _which(report: Mapping[str, Any]) -> str:
    """The encoder that was taken of a file with several."""
    choices = report.get("choices")
    return report.get("which", "") if isinstance(choices, list) and len(choices) > 1 else ""


def _shipped(path: str) -> str:
    """The short name of a checkpoint that comes with the package; other paths as they are."""
    assets = Path(str(resources.files("a2mim.assets")))
    file = Path(path)
    return file.stem if file.parent.name == assets.name and (assets / file.name).is_file() else path


def _images(images: Mapping[str, Any]) -> list[str]:
    if given := images.get("given"):
        return [word for path in given for word in ("--image", str(path))]
    words = ["--dataset", str(images["dataset"])] if images.get("dataset", "fashion") != "fashion" else []
    for key, flag in (
        ("data_dir", "data-dir"),
        ("classes", "classes"),
        ("limit", "images"),
        ("class_map", "class-map"),
    ):
        words += [f"--{flag}", str(images[key])] if images.get(key) is not None else []
    return [*words, *(["--split", str(images["split"])] if images.get("split", "val") != "val" else [])]


def _plain(settings: Mapping[str, Any]) -> list[str]:
    words = []
    for key, flag in FLAGS.items():
        value = settings.get(key)
        if value is None or value is False or value == LEFT.get(key):
            continue
        words += [f"--{flag}"] if value is True else [f"--{flag}", str(value)]
    return words


def _special(settings: Mapping[str, Any], reports: Mapping[str, Any]) -> list[str]:
    words = []
    if cells := _numbers(settings.get("grid")):
        words += ["--grid", "x".join(f"{cell:g}" for cell in cells)]
    for key in ("ratios", "sides"):
        words += [f"--{key}", ",".join(map(str, numbers))] if (numbers := _numbers(settings.get(key))) else []
    fills = settings.get("fill")
    if isinstance(fills, list) and fills:
        words += ["--fill", str(fills[0]) if len(fills) == 1 else "all"]
    if isinstance(settings.get("pairs"), str):
        words += ["--draw", settings["pairs"]]
    layers = settings.get("layers")
    words += [word for layer in layers for word in ("--layer", str(layer))] if isinstance(layers, list) else []
    saliency = mapping(settings.get("saliency"))
    for key, flag in (("source", "saliency"), ("checkpoint", "saliency-checkpoint"), ("head", "saliency-head")):
        words += [f"--{flag}", str(saliency[key])] if saliency.get(key) is not None else []
    size = _numbers(mapping(next(iter(reports.values()))).get("input_size"))
    if (cells := _numbers(settings.get("mask_grid"))) and len(size) == 3:
        words += ["--mask-patch-size", str(int(size[1] / cells[0]))]
    drawn = settings.get("drawn")
    return [*words, *(["--shown", str(len(drawn))] if isinstance(drawn, list) and drawn else [])]


def training(
    program: str,
    start: str,
    values: Mapping[str, Any],
    preset: tuple[str | None, Mapping[str, Any]],
    folder: Path,
) -> str:
    """The command of a run: a preset and the flags that differ from it, or the run's own settings as a recipe.

    Args:
        start: checkpoint, or empty.
        values: settings of the run.
        preset: its name and settings; None and the defaults.
        folder: of the run.
    """
    name, base = preset
    flags = _differing(values, base) if name else None  # without a recipe the commands do not take the defaults
    recipe = str(folder / "args.yaml") if flags is None or name is None else name
    words = [program, *([start] if start else []), "-c", recipe, *(flags or [])]
    return shlex.join([*words, "--output", str(folder.parent), "--experiment", folder.name])


def _differing(values: Mapping[str, Any], base: Mapping[str, Any]) -> list[str] | None:
    """Flags for the settings that are not the base's; None where a flag cannot say it, or there are too many."""
    words: list[str] = []
    changed = {key: value for key, value in values.items() if base.get(key) != value}
    if len(changed) > 12 or any(value is None for value in changed.values()):
        return None
    for key, value in changed.items():
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, Mapping):
            before = mapping(base.get(key))
            if before.keys() - value.keys() and base.get("model") == values.get("model"):
                return None  # arguments are joined, so that one of the recipe's stays
            words += [word for name, one in value.items() for word in (f"--{flag}", f"{name}={_yaml(one)}")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words += [f"--{flag}", *([",".join(map(str, value))] if key == "decay_milestones" else map(str, value))]
        else:
            words += [f"--{flag}", str(value)]
    return words


def _yaml(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _numbers(value: Any) -> list[Any]:
    right = isinstance(value, list) and all(isinstance(one, int | float) for one in value)
    return value if right else []
