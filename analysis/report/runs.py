"""From the folder of a training run, or of trials by seed, to its section of the page."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from a2mim import durations, recipes
from a2mim.errors import InputError
from a2mim.figures import confusion, training
from a2mim.settings import FinetuneSettings, PretrainSettings, TrainSettings

from ..core.numbers import Table, count, listed, measured, number, text
from . import pictures as page_pictures
from . import reading as page_reading
from .model import Entry, Picture, table
from .reading import Found

READING = (
    "Where the training and the validation curve diverge, the network memorises its training images; where the loss "
    "still falls at the end, more epochs would help."
)
TRIALS = "The same training from several seeds; the standard deviation shows how much a single run varies."
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
FROM_DATA = ("mean", "std")  # what a run takes from its data where its recipe leaves it open
FROM_CHECKPOINT = ("model", "model_args", "img_size")  # what fine-tuning takes from its checkpoint


def run_entry(found: Found) -> Entry:
    """The section of a run; ``problem`` says why its files cannot be used, a note what is missing."""
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
    made.commands, remark = page_reading.command(_begin(events))
    made.notes += more + remark
    try:
        values = recipes.read(folder / "args.yaml")
    except (InputError, OSError) as error:
        made.notes.append(f"{' '.join(str(error).split())[:200]}; the settings are not known.")
        return made
    made.settings = values
    _describe(made, values, _begin(events))
    return made


def trials_entry(found: Found) -> Entry:
    """The section of trials: seeds.csv, and the commands that trained them."""
    folder = found.path
    made = Entry("trials", f"{folder.name}: trials by seed", str(folder), reading=TRIALS)
    file = folder / "seeds.csv"
    try:
        rows = page_reading.rows_of(file)
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
    made.facts = {"Seeds": listed(seeds, 12)}
    begun = [_begin(_events(one / "log.jsonl")) for one in sorted(folder.glob("seed-*"))]
    written = [page_reading.command(one) for one in begun]
    made.commands = list(dict.fromkeys(command for commands, _ in written for command in commands))
    made.notes = list(dict.fromkeys(remark for _, remarks in written for remark in remarks))
    return made


def overview(runs: Sequence[Entry]) -> Table | None:
    """A table of all runs, where there are several."""
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
    """The name of a run; for a trial also the name of its folder."""
    return f"{path.parent.name}/{path.name}" if path.name.startswith("seed-") else path.name


def _summary(file: Path) -> pd.DataFrame:
    if not file.is_file():
        raise InputError(f"{file.name} does not exist: the run was stopped before its first epoch ended")
    rows = page_reading.rows_of(file)
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
        rows = page_reading.numeric(page_reading.rows_of(file), file, ["images"], ["label", "predicted"])
        drawn = page_pictures.png(confusion.plot(rows))
    except (ValueError, KeyError, TypeError) as error:
        made.notes.append(f"confusion.csv could not be drawn: {' '.join(str(error).split())[:200]}.")
        return
    wrong = rows[rows["label"] != rows["predicted"]].sort_values("images", ascending=False).iloc[:1]
    most = "".join(
        f"; the most frequent error: {row['label']} predicted as {row['predicted']}" for _, row in wrong.iterrows()
    )
    shows = f"Shares of the images of each class (rows) that {made.title} predicts as each class (columns){most}."
    made.pictures.append(Picture(drawn, shows, "Confusion matrix"))


def _reconstructions(made: Entry, folder: Path) -> None:
    pictures = sorted((folder / "reconstructions").glob("epoch-*.png"))
    if pictures:
        epoch = pictures[-1].stem.removeprefix("epoch-").lstrip("0")
        shows = f"Images with hidden cells, and what {made.title} predicts for them after epoch {epoch}."
        picture, note = page_pictures.embedded(pictures[-1], shows, f"Reconstructions after epoch {epoch}")
        made.pictures += [picture] if picture else []
        made.notes += [note] if note else []


def _events(file: Path) -> list[dict[str, Any]]:
    """The lines of the log that can be read; a process that was killed may leave half a line."""
    events = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []:
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            events.append(event)
    return events


def _begin(events: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The event that began the run; an empty one where the log has none."""
    return next((one for one in events if one["event"] == "begin"), {})


def _history(events: Sequence[Mapping[str, Any]], summary: pd.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Facts about the run, and a line for each unusual event."""
    facts, notes = {}, []
    begin = _begin(events)
    times = [float(one["time"]) for one in events if isinstance(one.get("time"), int | float)]
    if begin.get("start"):
        facts["Start"] = str(begin["start"])
    if versions := {key: begin[key] for key in ("python", "a2mim", "torch", "timm") if key in begin}:
        facts["Versions"] = ", ".join(f"{name} {value}" for name, value in versions.items())
    if len(times) > 1:
        facts["Took"] = f"{durations.describe(max(times) - min(times))} from the first line of the log to the last"
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
        notes.append(f"{skipped} updates were skipped, because their loss or gradient was not finite.")
    unreadable = summary["unreadable"].max() if "unreadable" in summary else 0
    if unreadable and math.isfinite(float(unreadable)):
        notes.append(f"{unreadable:.0f} images could not be read.")
    return facts, notes[:20]


def _describe(made: Entry, values: dict[str, Any], begin: Mapping[str, Any]) -> None:
    """Kind, data and seed of a run, and the settings that differ from the recipe that it names."""
    pretrained = "mask_ratio" in values or "method" in values
    kind = f"pre-training, {values.get('method')}" if pretrained else "fine-tuning"
    made.facts["Kind"] = "linear probing" if values.get("linear") and not pretrained else kind
    data = (values.get("dataset"), values.get("data_dir"))
    made.facts["Trained on"] = " ".join(str(one) for one in data if one)
    made.facts["Seed"] = str(values.get("seed"))
    recipe = begin.get("recipe")
    if not isinstance(recipe, str) or not recipe:
        return
    try:
        base = recipe_settings(recipe, PretrainSettings if pretrained else FinetuneSettings)
    except (InputError, OSError) as error:
        made.facts["Recipe"] = recipe
        made.notes.append(f"The settings cannot be compared with the recipe: {' '.join(str(error).split())[:200]}.")
        return
    alone = pretrained or (begin.get("start") == "from scratch" and not values.get("from_scratch"))
    left = {key for key in (*FROM_DATA, *(() if alone else FROM_CHECKPOINT)) if not base.get(key)}
    changed = {key: value for key, value in values.items() if base.get(key) != value and key not in left}
    made.facts["Recipe"] = f"{recipe} (settings that differ: {len(changed)})"
    made.changed = [f"{key}: {_shown(value)}, in the recipe {_shown(base.get(key))}" for key, value in changed.items()]


def recipe_settings(name: str, kind: type[TrainSettings]) -> dict[str, Any]:
    """All settings of a recipe (a preset's name or a file), as args.yaml has them.

    Raises:
        InputError: there is no such recipe, or it is not a recipe of this kind.
    """
    values = recipes.read(recipes.find(name))
    found: dict[str, Any] = yaml.safe_load(yaml.safe_dump(kind.from_values(values).as_values()))
    return found


def _shown(value: Any) -> str:
    return "not set" if value is None or value == {} else json.dumps(value, ensure_ascii=False, default=str)
