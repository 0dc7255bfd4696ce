"""Results and runs in the folders that a report is asked for, and their files, checked as they are read."""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from a2mim.errors import InputError


@dataclass(frozen=True)
class Kind:
    """A table of results: its columns of numbers and of words, and of the numbers those that no row can do without."""

    title: str
    numbers: tuple[str, ...]
    words: tuple[str, ...] = ("checkpoint",)
    needed: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()  # files that belong to it: <kind>_<name>.csv


LAYERS = ("depth", "ci_low", "ci_high", "height", "width")
KINDS = {
    "occlusion": Kind(
        "Occlusion robustness", ("run", "ratio", "accuracy"), needed=("ratio", "accuracy"), beside=("summary",)
    ),
    "shuffle": Kind("Shuffled patches", ("run", "side", "accuracy"), needed=("side", "accuracy")),
    "interactions": Kind(
        "Multi-order interactions",
        ("ratio", "strength", "J", "J_ci_low", "J_ci_high", "noise_floor"),
        needed=("ratio", "J"),
        beside=("difference", "rms"),
    ),
    "spectrum": Kind(
        "Fourier spectra of the feature maps",
        ("frequency", "log_amplitude", *LAYERS),
        ("checkpoint", "layer"),
        ("depth", "frequency", "log_amplitude"),
        ("at",),
    ),
    "variance": Kind("Variance of the feature maps", LAYERS, ("checkpoint", "layer"), ("depth",)),
    "reconstruct": Kind(
        "Reconstructions", ("image", "l1", "psnr"), ("checkpoint", "token"), ("l1",), ("summary", "bands")
    ),
    "classification": Kind("Classification", ("top1",), ("network", "method", "evaluation"), ("top1",)),
    "token_place": Kind("Place of the mask token", ("place", "top1"), ("network", "token", "site"), ("top1",)),
    "loss_ablation": Kind("Ablation of the loss", ("top1",), ("network", "row"), ("top1",)),
}
WORDS = ("checkpoint", "token", "layer", "measure", "fill", "against", "reference", "network", "method")
OPTIONAL = ("ci_low", "ci_high", "n_images", "n_pairs", "n_contexts", "seed", "ssim", "val_loss")  # numbers, if there
SKIPPED = re.compile(r"\..*|.*\.parts|.*\.old-\d+|reconstructions|tensorboard|wandb|stages")
RUN, TRIALS, NEIGHBOURS, ABOUT, UNFINISHED, FOREIGN = "run", "trials", "knn", "about", "unfinished", "foreign"
OLD = "The command was not written down (made by an older version)."
NO_COMMAND = "There was no command: this was made by a call from Python."
LOOKED_FOR = (
    f"results of a2mim-analyze ({', '.join(f'{kind}.csv' for kind in list(KINDS)[:6])}), runs (args.yaml, summary.csv),"
    " trials (seeds.csv), knn.json"
)


@dataclass(frozen=True)
class Found:
    """Something to report on: a table of results (its file), or a run or trials (their folder)."""

    kind: str
    path: Path
    why: str = ""  # of what cannot be used


def find(sources: Sequence[str | Path]) -> tuple[list[Found], list[str]]:
    """All that the sources hold, each once, in the order of the sources; and a line for each without any.

    Raises:
        InputError: a source that does not exist.
    """
    found: dict[tuple[str, Path], Found] = {}
    empty = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source} does not exist; a report is made of {LOOKED_FOR}")
        here = [_file(source)] if source.is_file() else list(_folder(source))
        for one in here:
            found.setdefault((one.kind, one.path.resolve()), one)
        if not here:
            empty.append(f"{source}: nothing to report on{_held(source)}")
    return list(found.values()), empty


def _folder(root: Path) -> Iterator[Found]:
    for place, folders, names in os.walk(root):
        folder, here = Path(place), set(names)
        if "about.json" in here:
            yield Found(ABOUT, folder / "about.json")
        for kind in KINDS:
            if f"{kind}.csv" in here:
                yield Found(kind, folder / f"{kind}.csv")
            elif f"{kind}.parts" in folders:
                why = (
                    f"{kind}.parts is there and {kind}.csv is not: the analysis was stopped; the same command goes on"
                    " from there"
                )
                yield Found(UNFINISHED, folder / f"{kind}.csv", why)
        if "knn.json" in here:
            yield Found(NEIGHBOURS, folder / "knn.json")
        if "seeds.csv" in here:
            yield Found(TRIALS, folder)
        if here & {"args.yaml", "summary.csv", "log.jsonl"}:
            yield Found(RUN, folder)
        folders[:] = sorted(name for name in folders if not SKIPPED.fullmatch(name))


def _file(path: Path) -> Found:
    """What a single file is: by its name, else by its columns."""
    if path.name in ("summary.csv", "args.yaml", "log.jsonl"):
        return Found(RUN, path.parent)
    if path.name == "seeds.csv":
        return Found(TRIALS, path.parent)
    if path.name == "knn.json":
        return Found(NEIGHBOURS, path)
    if path.stem in KINDS:
        return Found(path.stem, path.with_suffix(".csv"))
    for kind, one in KINDS.items():
        if path.stem in [f"{kind}_{name}" for name in one.beside]:
            main = path.with_name(f"{kind}.csv")
            return Found(kind, main, "" if main.exists() else f"{path.name} belongs to {main.name}, which is not there")
    try:
        columns = set(rows_of(path).columns)
    except InputError as error:
        return Found(FOREIGN, path, str(error))
    for kind, one in KINDS.items():
        if columns >= {*one.words, *one.numbers} and (kind != "variance" or columns & {"variance", "std"}):
            return Found(kind, path)
    why = f"{path.name} has the columns {_some(columns)}, which are those of no analysis ({', '.join(KINDS)})"
    return Found(FOREIGN, path, why)


def read_table(path: Path, kind: str) -> tuple[pd.DataFrame, list[str]]:
    """The table of an analysis, and a note where rows were left out.

    Rows of which a needed number is none (NaN, infinite, empty) are left out; other numbers may be missing, as an
    interval over one image is.

    Raises:
        InputError: a file that is no CSV, that lacks columns or rows, or has words where numbers belong.
    """
    one = KINDS[kind]
    rows = rows_of(path)
    if kind == "variance":
        value = "std" if "std" in rows else "variance"
        one = Kind(one.title, (value, *one.numbers), one.words, (value, *one.needed))
    missing = [name for name in (*one.words, *one.numbers) if name not in rows]
    if missing:
        raise InputError(f"{path.name} lacks the columns {', '.join(missing)}; it has {_some(rows.columns)}")
    whole = numeric(rows, path, (*one.numbers, *OPTIONAL), one.words)
    good = np.isfinite(whole[list(one.needed)].to_numpy(dtype=float)).all(axis=1)
    if not good.any():
        what = "no rows" if rows.empty else f"no row with a number in {' and '.join(one.needed)}"
        raise InputError(f"{path.name} has {what}, so there is nothing to show")
    note = f"{int((~good).sum())} of the {len(whole)} rows of {path.name} have no number in {' or '.join(one.needed)}"
    return whole[good].reset_index(drop=True), [] if good.all() else [f"{note}; they are left out."]


def read_beside(path: Path, name: str, columns: Sequence[str]) -> tuple[pd.DataFrame | None, list[str]]:
    """The table ``<stem>_<name>.csv`` beside ``path``, None where there is none; a note where it cannot be used.

    Args:
        columns: that it must have; numbers, but for those called so in ``WORDS``.
    """
    file = path.with_name(f"{path.stem}_{name}.csv")
    if not file.is_file():
        return None, []
    try:
        rows = rows_of(file)
        missing = [column for column in columns if column not in rows]
        if missing or rows.empty:
            raise InputError(f"{file.name} lacks {', '.join(missing) or 'rows'}")
        return numeric(rows, file, [column for column in columns if column not in WORDS], WORDS), []
    except InputError as error:
        return None, [f"{error}; it is left out."]


def numeric(rows: pd.DataFrame, path: Path, numbers: Iterable[str], words: Iterable[str]) -> pd.DataFrame:
    """Words as they are; all other columns that are numbers as numbers.

    Raises:
        InputError: a word in one of ``numbers``.
    """
    table = rows.copy()
    for name in table.columns:
        if name in words or name in WORDS:
            continue
        values = table[name].str.strip().str.lower()
        found = pd.to_numeric(values.mask(values.isin(("", "nan", "na", "null", "none"))), errors="coerce")
        wrong = found.isna() & ~values.isin(("", "nan", "na", "null", "none"))
        if not wrong.any():
            table[name] = found
        elif name in numbers:
            first = int(wrong.to_numpy().argmax())
            value = str(table[name].iloc[first])[:40]
            raise InputError(f"{path.name}, row {first + 1}: {name} is '{value}', which is no number")
    return table


def read_json(path: Path) -> dict[str, Any]:
    """A file of settings.

    Raises:
        InputError: it cannot be read, or is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no {path.name} beside the table, so that settings and command are not known"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path.name} cannot be read as JSON ({_line(error)})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path.name} holds no settings, but a {type(found).__name__}")
    return found


def command(about: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The command that made a result or a run, as its files have it, and a remark where they have none."""
    written = about.get("command")
    if isinstance(written, str) and written:
        return [written], []
    return [], [NO_COMMAND if "command" in about else OLD]


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping; what strangers write there otherwise counts as nothing."""
    return {str(key): one for key, one in value.items()} if isinstance(value, Mapping) else {}


def rows_of(path: Path) -> pd.DataFrame:
    """A CSV as words, cell by cell: a checkpoint may be called NA, or 007."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the heading
            rows = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, index_col=False)
    except pd.errors.EmptyDataError:
        raise InputError(f"{path.name} is empty") from None
    except (OSError, ValueError, pd.errors.ParserWarning) as error:  # also what cannot be parsed, or is not UTF-8
        raise InputError(f"{path.name} cannot be read as CSV ({_line(error)})") from None
    return rows.fillna("")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]


def _some(names: Iterable[Any]) -> str:
    every = [str(name)[:40] for name in names]
    return (", ".join(every[:8]) + (", ..." if len(every) > 8 else "")) or "none"


def _held(folder: Path) -> str:
    names = sorted(path.name + ("/" if path.is_dir() else "") for path in folder.iterdir())
    return f" among {_some(names)}" if names else "; the folder is empty"
