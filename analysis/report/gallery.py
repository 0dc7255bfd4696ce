"""All figures and tables of the paper from a folder of results: what ``a2mim-analyze figures`` writes."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from a2mim import files
from a2mim.analysis.core import outputs
from a2mim.errors import InputError
from a2mim.figures import bands, figure1, figure3, figure5, figure6, methods, table_text, tables

RESULTS = Path(str(resources("a2mim.experiments") / "results"))
SMALL = RESULTS / "small"
Say = Callable[[str], None]
Tables = dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Item:
    """A figure or a table: ``files`` are what it is drawn from, of which it needs one; none for the paper's numbers."""

    files: tuple[str, ...]
    build: Callable[[Path, Path, Say], list[Path]]


def build(names: Sequence[str], results: str | Path | None, output: str | Path, say: Say = print) -> list[Path]:
    """Write the named figures and tables, or all; returns the paths.

    What the folder lacks is said in a line each; the others are built.

    Args:
        names: ``1``, ``A1``, ``figure3``, ``table1``, ``t5``.
        results: folder of CSV files; None for those that come with the package.

    Raises:
        InputError: an unknown name, no such folder, or nothing in it for any of the names.
    """
    chosen = list(dict.fromkeys(map(find, names))) or list(ITEMS)
    folder = SMALL if results is None else Path(results)
    if not folder.is_dir():
        raise InputError(f"no folder '{folder}': --results is a folder of CSV files such as occlusion.csv")
    drawn = [name for name in chosen if ITEMS[name].files]
    missing = [name for name in drawn if not any((folder / file).is_file() for file in ITEMS[name].files)]
    needs = {name: f"{_word(name)} needs {' or '.join(ITEMS[name].files)}" for name in missing}
    if drawn and missing == drawn:
        raise InputError(f"{folder} has nothing to draw from: {'; '.join(needs.values())}")
    for line in needs.values():
        say(f"left out: {line}, which {folder} lacks")
    written: list[Path] = []
    failed = []
    for name in (name for name in drawn if name not in missing):
        try:
            written += ITEMS[name].build(folder, Path(output), say)
        except ValueError as error:
            failed.append(f"{_word(name)}: {' '.join(str(error).split())}")
            say(f"left out: {failed[-1]}")
    if failed and not written:
        raise InputError(f"{folder}: nothing could be drawn: {'; '.join(failed)}")
    for name in (name for name in chosen if name not in drawn):
        written += ITEMS[name].build(folder, Path(output), say)
    return written


def find(name: str) -> str:
    """The key in ITEMS of a name as a person writes it: figure1, fig1, 1, a1; table1, tab1, t1.

    Raises:
        InputError: no figure or table of this name.
    """
    match = re.fullmatch(r"(figure|fig|f|table|tab|t)?[ .-]*(a?\d)", name.strip().lower())
    if match:
        word, number = match.groups()
        key = f"table{number}" if (word or "").startswith("t") else number.upper()
        if key in ITEMS:
            return key
    known = ", ".join(ITEMS)
    raise InputError(f"no figure or table '{methods.shorten(name)}': there are {known}")


def _word(name: str) -> str:
    return name.replace("table", "table ") if name.startswith("table") else f"figure {name}"


def _needed(folder: Path, name: str) -> pd.DataFrame:
    """A table of the folder."""
    try:
        return pd.read_csv(folder / name)
    except FileNotFoundError:
        raise InputError(f"{folder} has no {name}") from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{name} is empty") from None
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise InputError(f"{name} is not a table of comma-separated values: {error}") from None


def _save(figure: Figure, output: Path, name: str) -> list[Path]:
    return list(outputs.save_pictures(figure, output / name).values())


def _pair(
    name: str, plot: Callable[..., Figure], sources: Mapping[str, Callable[[pd.DataFrame], object]], cnn: bool = False
) -> Callable[[Path, Path, Say], list[Path]]:
    """A figure of two tables (file -> what tells whether it can be drawn), either of which may be missing."""

    def make(folder: Path, output: Path, say: Say) -> list[Path]:
        found: list[pd.DataFrame | None] = []
        reasons = []
        for file, check in sources.items():
            table = None
            try:
                table = _needed(folder, file)
                table = _of_family(table, "cnn", file) if cnn else table
                check(table)
            except ValueError as error:
                table = None
                reasons.append(" ".join(str(error).split()))
            found.append(table)
        if all(table is None for table in found):
            raise InputError("; ".join(dict.fromkeys(reasons)))
        for reason in reasons:
            say(f"figure {name} lacks a part: {reason}")
        return _save(plot(*found), output, f"figure{name}")

    return make


def _of_family(table: pd.DataFrame, family: str, file: str) -> pd.DataFrame:
    if "network" not in table:
        raise InputError(f"{file} has no column network, which tells CNNs from transformers")
    rows = table[table["network"].map(methods.family) == family]
    if rows.empty:
        raise InputError(f"{file} has no row of a {'CNN' if family == 'cnn' else family} (column network)")
    return rows


def _figure6(folder: Path, output: Path, say: Say) -> list[Path]:
    return _save(figure6.plot(_needed(folder, "token_place.csv")), output, "figure6")


def _reconstructions(
    name: str, networks: dict[str, str], without_token: bool, family: str | None
) -> Callable[..., list[Path]]:
    """Figures of pixels, and beside each the errors by frequency.

    Args:
        networks: ending of the file of pixels that a claim writes -> label in the figure.
        family: of the networks whose errors are drawn; None for all.
    """

    def make(folder: Path, output: Path, say: Say) -> list[Path]:
        written, reasons = [], []
        try:
            found = {label: _pixels(folder / f"{PIXELS}_{ending}.npz") for ending, label in networks.items()}
            found = {label: pixels for label, pixels in found.items() if pixels} or {
                "": _pixels(folder / f"{PIXELS}.npz")
            }
            if any(found.values()):
                written += _save(figure5.plot(found, without_token=without_token), output, f"figure{name}")
        except ValueError as error:
            reasons.append(str(error))
        try:
            table = _needed(folder, _BANDS)
            if family and "network" in table:
                table = _of_family(table, family, _BANDS)
            written += _save(bands.plot_methods(table, without_token=without_token), output, f"figure{name}_bands")
        except ValueError as error:
            reasons.append(f"no errors by frequency: {' '.join(str(error).split())}")
        if not written:
            raise InputError("; ".join(reasons) or f"{folder} has no pixels ({PIXELS}.npz)")
        for reason in reasons:
            say(f"figure {name}: {reason}")
        return written

    return make


def _pixels(path: Path) -> dict[str, np.ndarray]:
    """What a file of pixels holds; nothing where there is none.

    Raises:
        InputError: no arrays of NumPy, or arrays of Python objects, which would have to be unpickled.
    """
    if not path.is_file():
        return {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        raise InputError(
            f"{path.name} is not a file of pixels that a2mim-analyze reconstruct wrote: {error}"
        ) from error


def _table(number: int) -> Callable[[Path, Path, Say], list[Path]]:
    """Table 1, 2 or 5 of our results with the paper's beside; 3 and 4 of the paper alone."""

    def make(folder: Path, output: Path, say: Say) -> list[Path]:
        paper = pd.read_csv(RESULTS / "paper.csv")
        paper = paper[paper["table"] == number]
        if number in (3, 4):
            say(f"table {number}: not run here, the paper's numbers alone")
            return _write(output, number, paper, [tables.paper_grid(paper, number)])
        table = _needed(folder, "loss_ablation.csv" if number == 5 else "classification.csv")
        if number == 5:
            found = tables.ablation(table)
            return _write(output, number, found, [tables.ablation_grid(found, paper)])
        found = tables.classification(table, "cnn" if number == 1 else "transformer")
        return _write(output, number, found, tables.classification_grid(found, paper, number))

    return make


def _write(output: Path, number: int, table: pd.DataFrame, grids: list[tables.Grid]) -> list[Path]:
    name = f"table{number}"
    texts = {
        "csv": table.to_csv(index=False),
        "md": table_text.markdown(grids),
        "tex": table_text.latex(grids, name),
    }
    for ending, text in texts.items():
        files.write_text(output / f"{name}.{ending}", text)
    return [output / f"{name}.{ending}" for ending in texts]


_FIGURE1 = {"occlusion.csv": figure1.prepare_occlusion, "interactions.csv": figure1.prepare_interactions}
_FIGURE3 = {"spectrum.csv": figure3.prepare_spectrum, "variance.csv": figure3.prepare_variance}
_BANDS, PIXELS = "reconstruct_bands.csv", "reconstruct_pixels"


def _pixel_files(*endings: str) -> tuple[str, ...]:
    """What a figure of pixels can be drawn from: a claim's files, or those of the analysis itself."""
    return *(f"{PIXELS}_{ending}.npz" for ending in endings), f"{PIXELS}.npz", _BANDS


ITEMS: dict[str, Item] = {
    "1": Item(tuple(_FIGURE1), _pair("1", figure1.plot, _FIGURE1)),
    "3": Item(tuple(_FIGURE3), _pair("3", figure3.plot, _FIGURE3)),
    "5": Item(_pixel_files("vit"), _reconstructions("5", {"vit": ""}, False, "transformer")),
    "6": Item(("token_place.csv",), _figure6),
    "A1": Item(tuple(_FIGURE1), _pair("A1", figure1.plot, _FIGURE1, cnn=True)),
    "A2": Item(_pixel_files("resnet"), _reconstructions("A2", {"resnet": ""}, False, "cnn")),
    "A3": Item(_pixel_files("vit", "resnet"), _reconstructions("A3", {"vit": "ViT", "resnet": "ResNet"}, True, None)),
    "table1": Item(("classification.csv",), _table(1)),
    "table2": Item(("classification.csv",), _table(2)),
    "table3": Item((), _table(3)),
    "table4": Item((), _table(4)),
    "table5": Item(("loss_ablation.csv",), _table(5)),
}
