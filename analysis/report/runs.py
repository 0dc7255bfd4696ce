"""From the folder of a training run, or of trials by seed, to its section of the page."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from a2mim import recipes
from a2mim.errors import InputError
from a2mim.figures import confusion, training
from a2mim.settings import FinetuneSettings, PretrainSettings

from . import page_commands
from . import pictures as page_pictures
from . import reading as page_reading
from .model import Entry, Picture, Table, count, duration, listed, measured, number, table, text
from .reading import Found

READING = (
    "Training and validation curves that part mean a network that learns its images by heart; a loss that still falls "
    "at the end would gain from more epochs."
)
TRIALS = "The same training from several seeds: the deviation says how far a single run may be off."
LOSSES = {
    "loss": "Loss",
    "spatial": "Spatial loss",
    "frequency": "Frequency loss",
    "val_loss": "Validation loss",
    "val_loss_ema": "Validation loss, averaged weights",
}
ACCURACIES = {
    "top1": "Top-1 (%)",
    "top5": "Top-5 (%)",
    "top1_ema": "Top-1, averaged weights (%)",
    "top5_ema": "Top-5, averaged weights (%)",
    "train_top1": "Training top-1 (%)",
}
FROM_START = ("model", "model_args", "img_size", "mean", "std")  # what a fine-tuning takes from its checkpoint


def run_entry(found: Found) -> Entry:
    """The section of a run; what is wrong with its files stands in ``problem``, or in a note where the rest is good."""
    folder = found.path
    made = Entry("run", _named(folder), str(folder), reading=READING)
    try:
        summary = _summary(folder / "summary.csv")
        made.tables.append(_final(summary))
        made.pictures.append(_curve(folder.name, summary))
    except (InputError, ValueError, KeyError, TypeError) as error:
        made.problem = f"{' '.join(str(error).split())}"
        return made
    _confusion(made, folder)
    _reconstructions(made, folder)
    events = _events(folder / "log.jsonl")
    made.facts, more = _history(events, summary)
    made.notes += more
    try:
        values = recipes.read(folder / "args.yaml")
    except (InputError, OSError) as error:
        made.notes.append(f"{' '.join(str(error).split())[:200]}; settings and command are not known.")
        return made
    made.settings = values
    _told(made, folder, values, str(next((one.get("start", "") for one in events if one["event"] == "begin"), "")))
    return made


def trials_entry(found: Found) -> Entry:
    """The section of trials: seeds.csv, and the command of them all."""
    folder = found.path
    made = Entry("trials", f"{folder.name}: trials by seed", str(folder), reading=TRIALS)
    file = folder / "seeds.csv"
    try:
        rows = page_reading._rows(file)
        if "seed" not in rows or len(rows.columns) < 2 or rows.empty:
            raise InputError(f"seeds.csv lacks a column seed, measures or rows; it has {', '.join(rows.columns)}")
        values = page_reading.numeric(rows, file, [name for name in rows if name != "seed"], ["seed"])
    except InputError as error:
        made.problem = str(error)
        return made
    names = [name for name in values if name != "seed"]
    labels = {**LOSSES, **ACCURACIES}
    heads = [
        labels.get(name, name.replace("best_top1", "best top-1 (%)").replace("_", " ").capitalize()) for name in names
    ]
    lines = [[text(row["seed"]), *(measured(float(row[name]), 3) for name in names)] for _, row in values.iterrows()]
    made.tables = [table("By seed; mean and standard deviation (std) below", ("Seed", *heads), lines, file.name)]
    seeds = [seed for seed in values["seed"] if str(seed).isdecimal()]
    first = next((one for one in sorted(folder.glob("seed-*")) if (one / "args.yaml").is_file()), None)
    made.facts = {"Seeds": listed(seeds, 12)}
    if first is not None:
        command = run_entry(Found("run", first)).commands
        made.commands = [_of_trials(one, folder, seeds) for one in command]
    return made


def overview(runs: Sequence[Entry]) -> Table | None:
    """All runs beside each other, where there are several."""
    shown = [one for one in runs if one.kind == "run" and not one.problem]
    if len(shown) < 2:
        return None
    lines = []
    for one in shown:
        last = {row[0].text: row[1] for row in one.tables[0].rows}
        line = [text(one.title), text(one.facts.get("Kind")), text(one.settings.get("model"))]
        line += [last.get(label, text(None)) for label in ("Epoch", "Loss", "Top-1 (%)")]
        lines.append([*line, text(one.settings.get("seed"))])
    return table(
        "All runs, at their last epoch", ("Run", "Kind", "Model", "Epochs", "Loss", "Top-1 (%)", "Seed"), lines, ""
    )


def _named(path: Path) -> str:
    """The name of a run; that of a trial says of which."""
    return f"{path.parent.name}/{path.name}" if path.name.startswith("seed-") else path.name


def _summary(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise InputError(f"{file.name} is not there: the run was stopped before its first epoch ended")
    rows = page_reading._rows(file)
    missing = [name for name in ("epoch", "loss") if name not in rows]
    if missing or rows.empty:
        raise InputError(f"{file.name} lacks {', '.join(missing) or 'rows'}; it has {listed(rows.columns)}")
    found = page_reading.numeric(rows, file, list(rows.columns), [])
    found = found[np.isfinite(found["epoch"].to_numpy(dtype=float))]
    if found.empty or not np.isfinite(found["loss"].to_numpy(dtype=float)).any():
        raise InputError(f"{file.name} has no epoch with a loss, so there is nothing to show")
    return found.replace([np.inf, -np.inf], np.nan).sort_values("epoch")


def _final(summary: pd.DataFrame) -> Table:
    """The last epoch's numbers, and the best ones."""
    last = summary.iloc[-1]
    lines = [[text("Epoch"), count(float(last["epoch"])), text(None), text(None)]]
    for names, best in ((LOSSES, "min"), (ACCURACIES, "max")):
        for name, label in names.items():
            if name not in summary or not np.isfinite(summary[name]).any():
                continue
            seen = summary[np.isfinite(summary[name])]
            at = seen[name].idxmin() if best == "min" else seen[name].idxmax()
            end, top = float(seen[name].iloc[-1]), float(seen.loc[at, name])
            places = 4 if best == "min" else 2
            row = [measured(end, places), measured(top, places), count(float(seen.loc[at, "epoch"]))]
            lines.append([text(label), *row])
    return table("Final numbers", ("Measure", "Last", "Best", "Epoch of the best"), lines, "summary.csv")


def _curve(name: str, summary: pd.DataFrame) -> Picture:
    first, last = summary["loss"].dropna().iloc[0], summary["loss"].dropna().iloc[-1]
    shows = f"Learning curve of {name}: the loss goes from {number(first)} to {number(last)} in {len(summary)} epochs"
    if "top1" in summary and summary["top1"].notna().any():
        shows += f", top-1 accuracy to {summary['top1'].dropna().iloc[-1]:.1f} %"
    return Picture(page_pictures.png(training.plot(summary)), f"{shows}.", "Learning curve")


def _confusion(made: Entry, folder: Path) -> None:
    file = folder / "confusion.csv"
    if not file.is_file():
        return
    try:
        rows = page_reading.numeric(page_reading._rows(file), file, ["images"], ["label", "predicted"])
        drawn = page_pictures.png(confusion.plot(rows))
    except (ValueError, KeyError, TypeError) as error:
        made.notes.append(f"confusion.csv could not be drawn: {' '.join(str(error).split())[:200]}.")
        return
    wrong = rows[rows["label"] != rows["predicted"]].sort_values("images", ascending=False).iloc[:1]
    most = "".join(f"; most often {row['label']} is taken for {row['predicted']}" for _, row in wrong.iterrows())
    shows = f"Shares of the images of each class (rows) that {made.title} takes for each class (columns){most}."
    made.pictures.append(Picture(drawn, shows, "Which classes are taken for which"))


def _reconstructions(made: Entry, folder: Path) -> None:
    pictures = sorted((folder / "reconstructions").glob("epoch-*.png"))
    if pictures:
        epoch = pictures[-1].stem.removeprefix("epoch-").lstrip("0")
        shows = f"Images with hidden cells, and what {made.title} makes of them after epoch {epoch}."
        picture, note = page_pictures.embedded(pictures[-1], shows, f"Reconstructions after epoch {epoch}")
        made.pictures += [picture] if picture else []
        made.notes += [note] if note else []


def _events(file: Path) -> list[dict[str, Any]]:
    """The lines of the log that can be read: half a line is what a killed process leaves."""
    events = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
    return events


def _history(events: Sequence[Mapping[str, Any]], summary: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Facts of how the run went, and a line for each event that is out of the ordinary."""
    facts, notes = {}, []
    begin = next((one for one in events if one["event"] == "begin"), {})
    times = [float(one["time"]) for one in events if isinstance(one.get("time"), int | float)]
    if begin.get("start"):
        facts["Start"] = str(begin["start"])
    if versions := {key: begin[key] for key in ("python", "a2mim", "torch", "timm") if key in begin}:
        facts["Versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    if len(times) > 1:
        facts["Took"] = f"{duration(max(times) - min(times))} from the first line of the log to the last"
    if "images_per_second" in summary and summary["images_per_second"].notna().any():
        facts["Speed"] = f"{summary['images_per_second'].median():.0f} images/s"
    if isinstance(begin.get("processes"), int) and begin["processes"] > 1:
        facts["Processes"] = str(begin["processes"])
    for one in events:
        if one["event"] == "resume":
            notes.append(f"Resumed after epoch {one.get('epoch', '?')}, batch {one.get('batch', '?')}.")
        elif one["event"] == "stopped":
            notes.append(f"Stopped by {one.get('signal', '?')} after epoch {one.get('epoch', '?')}.")
    if skipped := sum(one["event"] == "skipped" for one in events):
        notes.append(f"{skipped} updates were skipped, as their loss or gradient was no finite number.")
    unreadable = summary["unreadable"].max() if "unreadable" in summary else 0
    if unreadable and math.isfinite(float(unreadable)):
        notes.append(f"{unreadable:.0f} images could not be read.")
    return facts, notes[:20]


def _told(made: Entry, folder: Path, values: dict[str, Any], start: str) -> None:
    """Kind, seed, data, the settings that differ from the nearest preset, and the command."""
    pretrained = "mask_ratio" in values or "method" in values
    program = "a2mim-pretrain" if pretrained else "a2mim-finetune"
    scratch = start in ("", "from scratch")
    linear = "linear probing" if values.get("linear") else "fine-tuning"
    made.facts["Kind"] = f"pre-training, {values.get('method')}" if pretrained else linear
    made.facts["Trained on"] = (
        f"{values.get('dataset')}{' ' + str(values['data_dir']) if values.get('data_dir') else ''}"
    )
    made.facts["Seed"] = str(values.get("seed"))
    checkpoint = "" if pretrained or scratch else start.removeprefix("from ")
    comparable = _own(values, checkpoint, folder) if checkpoint else values
    name, base = nearest(program, comparable)
    where = f"preset {name}" if name else "the defaults"
    changed = {key: value for key, value in comparable.items() if base.get(key) != value}
    made.changed = [f"{key}: {_shown(value)}, in {where} {_shown(base.get(key))}" for key, value in changed.items()]
    made.facts["Nearest recipe"] = f"{where}; {len(changed)} settings differ"
    command = page_commands.training(program, checkpoint, comparable, (name, base), folder)
    processes = made.facts.get("Processes")
    made.commands = [f"torchrun --nproc-per-node {processes} --no-python {command}" if processes else command]


def _own(values: Mapping[str, Any], checkpoint: str, folder: Path) -> dict[str, Any]:
    """The settings of a fine-tuning without those that it took from the run it started from.

    The path of that run may be one of another place; a run of its name beside ``folder`` is taken for it.
    """
    named = Path(checkpoint)
    named = named.parent if named.suffix else named
    begun: dict[str, Any] = {}
    for start in (named, folder.parent / named.name, folder.parent.parent / named.name):
        with contextlib.suppress(InputError, OSError):
            begun = begun or recipes.read(start / "args.yaml")
    return {key: value for key, value in values.items() if not (key in FROM_START and begun.get(key, {}) == value)}


def nearest(program: str, values: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The preset of a command with the fewest settings that differ, and its settings; None and the defaults if none is
    nearer than they are.
    """

    def differ(base: Mapping[str, Any]) -> int:
        return sum(base.get(key) != value for key, value in values.items())

    presets = _presets(program)
    name = min(presets, key=lambda one: (differ(presets[one]), one is not None))
    return name, presets[name]


@functools.cache
def _presets(program: str) -> dict[str | None, dict[str, Any]]:
    """The settings of each preset of a command, as args.yaml holds them; None: the defaults."""
    kind = PretrainSettings if program == "a2mim-pretrain" else FinetuneSettings
    read: dict[str | None, dict[str, Any]] = {None: {}}
    read |= {name: recipes.read(recipes.find(name)) for name, _ in recipes.listing(program)}
    whole = {name: kind.from_values(values).as_values() for name, values in read.items()}
    return {name: yaml.safe_load(yaml.safe_dump(values)) for name, values in whole.items()}


def _of_trials(command: str, folder: Path, seeds: Sequence[str]) -> str:
    """The command of one trial made that of all."""
    words = shlex.split(command)
    for flag in ("--output", "--experiment", "--seed"):
        if flag in words:
            place = words.index(flag)
            del words[place : place + 2]
    return shlex.join([*words, "--seeds", ",".join(seeds), "--output", str(folder.parent), "--experiment", folder.name])


def _shown(value: Any) -> str:
    return "not set" if value is None or value == {} else json.dumps(value, ensure_ascii=False, default=str)
