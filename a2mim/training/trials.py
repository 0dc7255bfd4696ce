"""Several trials of one training, one run per seed, and a table with mean and standard deviation.

The paper reports means of three (section 5.1).
"""

from __future__ import annotations

import csv
import dataclasses
import io
import math
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from a2mim import checkpoint, distributed, files
from a2mim.errors import InputError
from a2mim.settings import S
from a2mim.training.devices import pick_device
from a2mim.training.runs import Run

TABLE = "seeds.csv"
# columns of summary.csv that go into the table, if the run has them
MEASURES = ("top1", "top5", "val_loss", "top1_ema", "top5_ema", "val_loss_ema")
Row = dict[str, Any]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from "0,1,2" or "0 1 2".

    Raises:
        InputError: not whole numbers from 0, or a repeated one.
    """
    parts = text.replace(",", " ").split()
    if not parts or not all(part.isdecimal() for part in parts):
        raise InputError(f"seeds '{text}' must be whole numbers separated by commas or spaces, such as 0,1,2")
    seeds = tuple(int(part) for part in parts)
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds '{text}' contain a number twice; each seed is one trial")
    return seeds


def trials_folder(output: str | Path, experiment: str, resume: str | None = None) -> Path:
    """The folder of the trials: a new one, or with ``resume`` that folder ("auto": the newest of that name).

    Raises:
        InputError: the folder has no trials.
    """
    if resume is None:
        return Run.create(output, experiment).path
    if resume != "auto":
        if not _begun(Path(resume)):
            raise InputError(f"no trials to resume: {resume} holds no seed-N/args.yaml")
        return Path(resume)
    named = re.compile(rf"{re.escape(experiment)}(-\d+)?")
    found = [path for path in Path(output).glob("*") if named.fullmatch(path.name) and _begun(path)]
    newest = max(found, key=lambda path: path.stat().st_mtime, default=None)
    return newest or Run.create(output, experiment).path


def begun_settings(folder: Path) -> Path | None:
    """The folder of the first trial, whose args.yaml has the settings of all; None if there is none yet."""
    return next(iter(_begun(folder)), None)


def run_trials(
    folder: str | Path,
    seeds: Sequence[int],
    settings: S,
    train: Callable[[S, Path, Path | None], Run],
    echo: Callable[[str], None] = print,
) -> list[Row]:
    """Train once per seed in ``folder``/seed-N and write seeds.csv; a complete trial is not run again.

    Args:
        folder: folder of the trials; an existing one is continued.
        seeds: one trial each.
        settings: settings of all trials; each gets its seed.
        train: called with (settings, folder for the run, folder of a run to resume or None).
        echo: receives a line per trial, and the table.

    Returns:
        The table: a row per seed with the metrics of its last epoch and, as best_top1, of its best one; empty in all
        processes but the first.

    Raises:
        InputError: a complete trial had other settings.
    """
    rows: list[Row] = []
    with distributed.group(pick_device(settings.device)):  # the processes join once, not per trial
        for seed in seeds:
            path = _trial(Path(folder) / f"seed-{seed}", dataclasses.replace(settings, seed=seed), train, echo)
            if distributed.is_main():  # other processes may be here before the last row is written
                rows.append({"seed": seed, **_measures(path)})
                _write(Path(folder) / TABLE, rows)
    for line in describe(rows) if rows else ():
        echo(line)
    return rows


def _trial(path: Path, settings: S, train: Callable[[S, Path, Path | None], Run], echo: Callable[[str], None]) -> Path:
    """The folder of the complete run, found or trained now."""
    tried = [path, *sorted(path.parent.glob(f"{path.name}-*"))]  # a run that died before it saved left its folder
    begun = next((run for run in tried if (run / checkpoint.LAST).is_file()), None)
    if begun is None or not _complete(begun, settings.epochs):
        echo(f"seed {settings.seed}: {f'resumes in {begun}' if begun else 'starts'}")
        return train(settings, path, begun).path
    given = {key: value for key, value in settings.as_values().items() if value is not None and key != "model_args"}
    Run(begun).check_settings(given)
    echo(f"seed {settings.seed}: complete in {begun}")
    return begun


def mean_and_deviation(values: Iterable[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1); the deviation of a single value is NaN.

    >>> mean_and_deviation([1.0, 3.0])
    (2.0, 1.4142135623730951)
    """
    values = list(values)
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def describe(rows: Sequence[Row]) -> list[str]:
    """The table of trials as lines: a heading, a line per seed, mean and standard deviation."""
    names = [name for name in rows[0] if name != "seed"]
    lines = [f"{'seed':<6}" + "".join(f"{name:>18}" for name in names)]
    lines += [f"{row['seed']:<6}" + "".join(f"{row[name]:>18.4g}" for name in names) for row in rows]
    spread = [mean_and_deviation(row[name] for row in rows) for name in names]
    cells = [f"{mean:.4g}" if math.isnan(deviation) else f"{mean:.4g} ± {deviation:.2g}" for mean, deviation in spread]
    return [*lines, f"{'mean':<6}" + "".join(f"{cell:>18}" for cell in cells)]


def _rows_of(path: Path) -> list[dict[str, str]]:
    file = path / "summary.csv"
    if not file.is_file():
        return []
    with open(file, newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def _begun(folder: Path) -> list[Path]:
    return [file.parent for file in sorted(folder.glob("seed-*/args.yaml"))]


def _complete(path: Path, epochs: int) -> bool:
    rows = _rows_of(path)
    return bool(rows) and int(rows[-1]["epoch"]) >= epochs and (path / checkpoint.BACKBONE).is_file()


def _measures(path: Path) -> Row:
    """From summary.csv of a run: the metrics of the last epoch, and the top-1 of the best one."""
    rows = _rows_of(path)
    best = "top1_ema" if "top1_ema" in rows[-1] else "top1"
    row = {name: float(rows[-1][name]) for name in MEASURES if name in rows[-1]}
    return {**row, f"best_{best}": max(float(row[best]) for row in rows)}


def _write(path: Path, rows: Sequence[Row]) -> None:
    """seeds.csv: a row per seed, then the mean and, with several seeds, the standard deviation ("std")."""
    names = [name for name in rows[0] if name != "seed"]
    spread = {name: mean_and_deviation(row[name] for row in rows) for name in names}
    table: list[Row] = [*rows, {"seed": "mean", **{name: spread[name][0] for name in names}}]
    if len(rows) > 1:
        table.append({"seed": "std", **{name: spread[name][1] for name in names}})
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=["seed", *names], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    files.write_text(path, text.getvalue())
