"""Tables 1 to 5 of the paper as grids of cells: 1, 2 and 5 from a user's own results beside the paper's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from . import means, methods
from .statistics import mean_interval

EVALUATIONS = ("end to end", "linear")
ABLATION_ROWS = ("L_spa", "+ L_freq without ω", "+ L_freq", "+ L_freq + token inside")
OURS = "a2mim"
PAPER = {
    1: "ResNet-50, ImageNet-1K",
    2: "ImageNet-1K",
    3: "ResNet-50, COCO and ADE-20K",
    4: "ViT-B, COCO and ADE-20K",
    5: "ImageNet-100",
}
CAPTIONS = {
    1: "Top-1 accuracy (%) of convolutional networks",
    2: "Top-1 accuracy (%) of transformers",
    3: "Detection and segmentation with ResNet-50",
    4: "Detection and segmentation with ViT-B",
    5: "Ablation of the frequency loss, top-1 accuracy (%)",
}
NOTE = "Bold: best of the column; underlined: second best, by the rounded values shown."


@dataclass(frozen=True)
class Cell:
    """One cell of a table; ``value`` is the number it is ranked by, None if it is not ranked."""

    text: str = "–"
    value: float | None = None
    rank: int = 0  # 1 best, 2 second, 0 neither


@dataclass(frozen=True)
class Grid:
    """A table to show: ``columns`` are (group, header), ``rows`` are (label, cells)."""

    title: str
    first: str
    columns: list[tuple[str, str]]
    rows: list[tuple[str, list[Cell]]]
    notes: list[str]


def classification(table: pd.DataFrame, network: str | None = None) -> pd.DataFrame:
    """Means over seeds for each network, method and evaluation, with A2MIM's lead over each method.

    The lead is the mean difference over the seeds that both methods have, with its paired 95 % Student-t interval.

    Args:
        table: classification.csv; ``network``, ``seed``, ``evaluation`` and ``pretrain_epochs`` are optional.
        network: a family (``cnn`` or ``transformer``); networks of the other family are left out.

    Returns:
        network, method, evaluation, epochs, seeds, top1, deviation, lead, lead_low, lead_high, lead_seeds

    Raises:
        ValueError: an empty table, missing columns or numbers, or no network of the family.
    """
    table = means.prepare(table, "classification", ("top1",), ("top1",))
    given = table["evaluation"].astype("object") if "evaluation" in table else pd.Series("top-1", table.index)
    table["evaluation"] = given.fillna(EVALUATIONS[0]).astype(str)
    if network is not None:
        other = {"cnn": "transformer", "transformer": "cnn"}[network]
        family = table["network"].map(methods.family)  # None for unknown networks: Table 1 shows them
        table = table[family != other] if network == "cnn" else table[family == network]
        if table.empty:
            raise ValueError(f"classification table: no row of a {network} in column network")
    columns = ["top1", "pretrain_epochs"] if "pretrain_epochs" in table else ["top1"]
    keys = [*means.GROUP, "evaluation"]
    seeds = table.groupby([*keys, "seed"], sort=False, dropna=False)[columns].mean(numeric_only=True).reset_index()
    found = _averaged(seeds, keys)
    leads = [_lead(seeds, *row) for row in found[keys].itertuples(index=False, name=None)]
    found[["lead", "lead_low", "lead_high", "lead_seeds"]] = leads
    return _sorted(found)


def ablation(table: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds of the loss ablation: network, row, seeds, top1, deviation.

    Raises:
        ValueError: an empty table, or missing columns or numbers.
    """
    if "row" in table:
        table = table.assign(method=table["row"])
    table = means.prepare(table, "loss ablation", ("row", "top1"), ("top1",))
    keys = ["network", "method"]
    seeds = table.groupby([*keys, "seed"], sort=False, dropna=False)["top1"].mean().reset_index()
    found = _averaged(seeds, keys).drop(columns="epochs").rename(columns={"method": "row"})
    places = [*ABLATION_ROWS, *dict.fromkeys(found["row"])]
    order = [(methods.family(row.network) != "transformer", places.index(row.row)) for row in found.itertuples()]
    return found.iloc[sorted(range(len(found)), key=order.__getitem__)].reset_index(drop=True)


def classification_grid(found: pd.DataFrame, paper: pd.DataFrame, number: int) -> list[Grid]:
    """Table 1 or 2, one grid per network: our columns, then the paper's."""
    return [
        _classification_grid(found[found["network"] == network], paper, number)
        for network in dict.fromkeys(found["network"])
    ]


def ablation_grid(found: pd.DataFrame, paper: pd.DataFrame) -> Grid:
    """Table 5: one column per network, then the paper's columns."""
    names = {name: name for name in dict.fromkeys([*_by_ablation(found["row"]), *paper["method"]])}
    ours = {}
    for network in methods.ordered_networks(found["network"]):
        cells = found[found["network"] == network].set_index("row")
        ours[("ours", network or "top-1")] = {name: _mean_cell(row) for name, row in cells.iterrows()}
    columns = _ranked(ours | _paper_columns(paper, 5))
    notes = [_counts(found), NOTE, _source(paper)]
    return Grid(CAPTIONS[5], "Loss", *_filled(columns, names, dict.fromkeys(names)), notes)


def paper_grid(paper: pd.DataFrame, number: int) -> Grid:
    """A table with only the paper's numbers."""
    columns = _ranked(_paper_columns(paper, number))
    names = {name: "A²MIM" if name == "A2MIM" else name for name in dict.fromkeys(paper["method"])}
    labels, rows = _filled(columns, names, dict.fromkeys(names))
    notes = ["Not run here: all numbers are from the paper.", _source(paper), NOTE]
    return Grid(CAPTIONS[number], "Method", labels, rows, notes)


def _classification_grid(found: pd.DataFrame, paper: pd.DataFrame, number: int) -> Grid:
    network = found["network"].iloc[0]
    columns: dict[tuple[str, str], dict[str, Cell]] = {}
    present = list(dict.fromkeys(found["evaluation"]))
    for evaluation in sorted(present, key=lambda name: [*EVALUATIONS, *present].index(name)):
        rows = found[found["evaluation"] == evaluation].set_index("method")
        columns[("ours", evaluation)] = {name: _mean_cell(row) for name, row in rows.iterrows()}
        if rows["lead"].notna().any():
            columns[("ours", f"A²MIM's lead, {evaluation}")] = {name: _lead_cell(row) for name, row in rows.iterrows()}
    if found["epochs"].notna().any():
        epochs = found.groupby("method", sort=False)["epochs"].first()
        columns = {("ours", "epochs"): {name: _count_cell(value) for name, value in epochs.items()}} | columns
    ours = _row_names(found["method"], paper["method"])
    labels = methods.labels([name for name in ours if name in set(found["method"])])
    names = {name: labels.get(name, name) for name in ours}
    of_paper = {methods.known(name) or name: name for name in paper["method"]}
    twin = {name: of_paper.get(methods.known(name) or name) for name in names}
    grid = _filled(_ranked(columns | _paper_columns(paper, number)), names, twin)
    title = f"{CAPTIONS[number]}: {network}" if network else CAPTIONS[number]
    notes = [_counts(found), "Leads are mean differences over shared seeds, with paired 95 % intervals.", NOTE]
    return Grid(title, "Method", *grid, [*notes, _source(paper)])


def _filled(
    columns: Mapping[tuple[str, str], Mapping[str, Cell]], names: Mapping[str, str], twin: Mapping[str, str | None]
) -> tuple[list[tuple[str, str]], list[tuple[str, list[Cell]]]]:
    """Columns as (group, header), and rows; the paper's columns are looked up by the names that the paper uses."""
    rows = []
    for name, label in names.items():
        cells = [
            values.get((twin[name] or name) if group.startswith("paper") else name, Cell())
            for (group, _), values in columns.items()
        ]
        rows.append((label, cells))
    return list(columns), rows


def _row_names(ours: pd.Series, paper: pd.Series) -> list[str]:
    """Our methods in order, then those that only the paper has."""
    own = methods.ordered(ours)
    have = {methods.known(name) or name for name in own}
    return [*own, *(name for name in dict.fromkeys(paper) if (methods.known(name) or name) not in have)]


def _by_ablation(rows: pd.Series) -> list[str]:
    present = list(dict.fromkeys(rows))
    return sorted(present, key=lambda name: [*ABLATION_ROWS, *present].index(name))


def _averaged(seeds: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    groups = seeds.groupby(keys, sort=False, dropna=False)
    found = groups["top1"].agg(seeds="count", top1="mean", deviation="std").reset_index()
    epochs = groups["pretrain_epochs"].mean() if "pretrain_epochs" in seeds else pd.Series(math.nan, found.index)
    found.insert(len(keys), "epochs", epochs.to_numpy())
    return found


def _lead(seeds: pd.DataFrame, network: str, method: str, evaluation: str) -> tuple[float, float, float, float]:
    """A2MIM's lead over a method, the ends of its paired interval, and the number of shared seeds."""
    rows = seeds[(seeds["network"] == network) & (seeds["evaluation"] == evaluation)]
    ours = next((name for name in dict.fromkeys(rows["method"]) if methods.known(name) == OURS), None)
    if ours is None or ours == method:
        return math.nan, math.nan, math.nan, math.nan
    by_seed = rows.pivot_table(index="seed", columns="method", values="top1")
    difference = (by_seed[ours] - by_seed[method]).dropna()
    if difference.empty:
        return math.nan, math.nan, math.nan, 0
    return *mean_interval(difference), len(difference)


def _sorted(found: pd.DataFrame) -> pd.DataFrame:
    networks, names = methods.ordered_networks(found["network"]), methods.ordered(found["method"])
    present = [*EVALUATIONS, *dict.fromkeys(found["evaluation"])]
    order = [
        (networks.index(r.network), names.index(r.method), present.index(r.evaluation)) for r in found.itertuples()
    ]
    return found.iloc[sorted(range(len(found)), key=order.__getitem__)].reset_index(drop=True)


def _mean_cell(row: pd.Series) -> Cell:
    text = f"{row['top1']:.2f}"
    return Cell(text if pd.isna(row["deviation"]) else f"{text} ± {row['deviation']:.2f}", round(row["top1"], 2))


def _lead_cell(row: pd.Series) -> Cell:
    if pd.isna(row["lead"]):
        return Cell()
    text = f"{row['lead']:+.2f}".replace("-", "−")
    if pd.isna(row["lead_low"]):
        return Cell(text)
    return Cell(f"{text} [{row['lead_low']:.2f}, {row['lead_high']:.2f}]".replace("-", "−"))


def _count_cell(value: float) -> Cell:
    return Cell() if pd.isna(value) else Cell(f"{value:g}")


def _paper_columns(paper: pd.DataFrame, number: int) -> dict[tuple[str, str], dict[str, Cell]]:
    """The paper's columns: (group, header) -> method -> cell, with the epochs in brackets."""
    found = {}
    for column in dict.fromkeys(paper["column"]):
        rows = paper[paper["column"] == column]
        cells = {}
        for row in rows.itertuples():
            epochs = "" if pd.isna(row.epochs) else f" ({int(row.epochs)})"
            digits = 2 if number == 5 else 1
            cells[row.method] = Cell(f"{row.value:.{digits}f}{epochs}", float(row.value))
        epochs_word = "" if rows["epochs"].isna().all() else " (epochs)"
        found[(f"paper: {PAPER[number]}", f"{column}{epochs_word}")] = cells
    return found


def _ranked(columns: Mapping[tuple[str, str], Mapping[str, Cell]]) -> dict[tuple[str, str], dict[str, Cell]]:
    """Mark the best and second best value of each column, ties alike; a column with one method has no marks."""
    found = {}
    for key, cells in columns.items():
        values = [cell.value for cell in cells.values() if cell.value is not None]
        best = sorted(set(values), reverse=True)[:2] if len(values) > 1 else []
        found[key] = {
            name: Cell(cell.text, cell.value, best.index(cell.value) + 1 if cell.value in best else 0)
            for name, cell in cells.items()
        }
    return found


def _counts(found: pd.DataFrame) -> str:
    few, most = int(found["seeds"].min()), int(found["seeds"].max())
    if most == 1:
        return "Ours: one seed."
    return f"Ours: mean ± standard deviation over {most if few == most else f'{few} to {most}'} seeds."


def _source(paper: pd.DataFrame) -> str:
    source = f"The paper's columns: {paper['source'].iloc[0]}; its networks and data differ from ours."
    marked = paper.dropna(subset=["note"]).drop_duplicates(["method", "note"])
    notes = [f"{row.method}: {row.note}" for row in marked.itertuples() if row.note]
    return " ".join([source, *(f"{note}." for note in notes)])
