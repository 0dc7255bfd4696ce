"""Results and runs in the folders that a report is asked for, and their files, checked as they are read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from a2mim.errors import InputError

from ..analyses import ANALYSES
from ..core.numbers import Columns
from .claims import CLAIMS, Claim

if TYPE_CHECKING:
    from ..core.analysis import Analysis


WORDS = ("checkpoint", "token", "layer", "measure", "fill", "against", "reference", "network", "method")
OPTIONAL = ("ci_low", "ci_high", "n_images", "n_pairs", "n_contexts", "seed", "ssim", "val_loss")  # numbers, if there
SKIPPED = re.compile(r"\..*|.*\.parts|.*\.old-\d+|reconstructions|tensorboard|wandb|stages")
RUN, TRIALS, NEIGHBOURS, ABOUT, UNFINISHED, FOREIGN = "run", "trials", "knn", "about", "unfinished", "foreign"
OLD = "The command was not written down (made by an older version)."
NO_COMMAND = "There was no command: this was made by a call from Python."


@dataclass(frozen=True)
class Found:
    """Something to report on: a table of results (its file), or a run or trials (their folder)."""

    kind: str
    path: Path
    why: str = ""  # of what cannot be used


def names() -> list[str]:
    """Names of the tables that the page shows: those of the analyses and those of the claims."""
    return [*ANALYSES, *CLAIMS]


def known(name: str) -> Analysis[Any] | Claim | None:
    """The record of an analysis or a claim; None for another name.

    Raises:
        InputError: the analysis is one of another package that cannot be loaded.
    """
    return CLAIMS.get(name) or ANALYSES.get(name)


def looked_for() -> str:
    """What a report is made of."""
    tables = ", ".join(f"{name}.csv" for name in ANALYSES)
    return f"results of a2mim-analyze ({tables}), runs (args.yaml, summary.csv), trials (seeds.csv), knn.json"


def find(sources: Sequence[str | Path]) -> tuple[list[Found], list[str]]:
    """All that the sources hold, each once, in the order of the sources; and a line for each without any.

    Raises:
        InputError: a source that does not exist.
    """
    found: dict[tuple[str, Path], Found] = {}
    empty = []
    for source in map(Path, sources):
        if not source.exists():
            raise InputError(f"{source} does not exist; a report is made of {looked_for()}")
        here = [_file(source)] if source.is_file() else list(_folder(source))
        for one in here:
            found.setdefault((one.kind, one.path.resolve()), one)
        if not here:
            empty.append(f"{source}: nothing to report on{_held(source)}")
    return list(found.values()), empty


def _folder(root: Path) -> Iterator[Found]:
    every = names()
    for place, folders, held in os.walk(root):
        folder, here = Path(place), set(held)
        if "about.json" in here:
            yield Found(ABOUT, folder / "about.json")
        for name in every:
            if f"{name}.csv" in here:
                yield Found(name, folder / f"{name}.csv")
            elif f"{name}.parts" in folders:
                why = f"the analysis was stopped: {name}.parts is there, {name}.csv is not; the same command goes on"
                yield Found(UNFINISHED, folder / f"{name}.csv", why)
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
    if path.stem in names():
        return Found(path.stem, path.with_suffix(".csv"))
    records = _records()
    for name, record in records.items():
        if path.stem in [f"{name}_{key}" for key in record.columns if key]:
            main = path.with_name(f"{name}.csv")
            why = f"{path.name} belongs to {main.name}, which does not exist"
            return Found(name, main, "" if main.exists() else why)
    try:
        columns = list(rows_of(path).columns)
    except InputError as error:
        return Found(FOREIGN, path, str(error))
    for name, record in records.items():
        wanted = record.columns[""]
        either = not wanted.either or any(name in columns for name in wanted.either)
        if either and all(name in columns for name in (*wanted.words, *wanted.numbers)):
            return Found(name, path)
    why = f"{path.name} has the columns {_some(columns)}; no analysis has these ({', '.join(records)})"
    return Found(FOREIGN, path, why)


def _records() -> dict[str, Analysis[Any] | Claim]:
    """All that tell their columns; one that cannot be loaded is left out, as its own files say why."""
    found: dict[str, Analysis[Any] | Claim] = {}
    for name in names():
        with contextlib.suppress(InputError):
            record = known(name)
            if record is not None and "" in record.columns:
                found[name] = record
    return found


def read(found: Found, columns: Mapping[str, Columns]) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """All tables of an analysis by their key, the main one under ``""``, and notes on what was left out.

    Args:
        columns: what each table must have; those that may stand beside the main one are looked for by their key.

    Raises:
        InputError: the main table cannot be used; see ``read_table``.
    """
    main, notes = read_table(found.path, columns.get("", Columns(())))
    tables = {"": main}
    for key, wanted in columns.items():
        if not key:
            continue
        table, more = read_beside(found.path, key, wanted)
        notes += more
        if table is not None and "checkpoint" in table and set(table["checkpoint"]) - set(main["checkpoint"]):
            notes.append(f"{beside(found.path, key)} has other checkpoints than {found.path.name} and is left out.")
        elif table is not None:
            tables[key] = table
    return tables, notes


def read_table(path: Path, columns: Columns) -> tuple[pd.DataFrame, list[str]]:
    """The table of an analysis, and a note where rows were left out.

    Rows without a finite value in a needed column are left out; other numbers may be missing, as the interval of a
    single image is.

    Raises:
        InputError: a file that is not a CSV, lacks columns or rows, or has words where numbers belong.
    """
    rows = rows_of(path)
    either = tuple(name for name in columns.either if name in rows)[:1] or columns.either[:1]
    numbers, needed = (*either, *columns.numbers), [*either, *columns.needed]
    if missing := [name for name in (*columns.words, *numbers) if name not in rows]:
        raise InputError(f"{path.name} lacks the columns {', '.join(missing)}; it has {_some(rows.columns)}")
    whole = numeric(rows, path, (*numbers, *OPTIONAL), columns.words)
    if whole.empty:
        raise InputError(f"{path.name} has no rows, so there is nothing to show")
    good = np.isfinite(whole[needed].to_numpy(dtype=float)).all(axis=1)
    if not good.any():
        raise InputError(f"{path.name} has no row with a number in {' and '.join(needed)}, so there is nothing to show")
    note = f"{int((~good).sum())} of the {len(whole)} rows of {path.name} have no number in {' or '.join(needed)}"
    return whole[good].reset_index(drop=True), [] if good.all() else [f"{note}; they are left out."]


def read_beside(path: Path, key: str, columns: Columns) -> tuple[pd.DataFrame | None, list[str]]:
    """The table ``<stem>_<key>.csv`` beside ``path``, None where there is none; a note where it cannot be used."""
    file = path.with_name(beside(path, key))
    if not file.is_file():
        return None, []
    try:
        rows = rows_of(file)
        missing = [name for name in (*columns.words, *columns.numbers) if name not in rows]
        if missing or rows.empty:
            raise InputError(f"{file.name} lacks {', '.join(missing) or 'rows'}")
        return numeric(rows, file, columns.numbers, columns.words), []
    except InputError as error:
        return None, [f"{error}; it is left out."]


def beside(path: Path, key: str) -> str:
    """The name of a table that belongs to the one at ``path``."""
    return f"{path.stem}_{key}.csv"


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
            raise InputError(f"{path.name}, row {first + 1}: {name} is '{value}', which is not a number")
    return table


def read_json(path: Path) -> dict[str, Any]:
    """A file of settings.

    Raises:
        InputError: it cannot be read, or is not a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"There is no {path.name} beside the table, so its settings and command are not known"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path.name} cannot be read as JSON ({_line(error)})") from None
    if not isinstance(found, dict):
        raise InputError(f"{path.name} holds a {type(found).__name__} instead of settings")
    return found


def command(about: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The command that made a result or a run, as its files have it, and a remark where they have none."""
    written = about.get("command")
    if isinstance(written, str) and written:
        return [written], []
    return [], [NO_COMMAND if "command" in about else OLD]


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is a mapping, else an empty one: a stranger's file may hold anything."""
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
