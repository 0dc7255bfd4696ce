"""The key numbers of each analysis, from its tables: what stands below its picture on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats

from ..core import statistics
from ..core.statistics import LEVEL
from ..interactions import comparison
from ..occlusion import robustness
from . import reading
from .model import Cell, Table, count, listed, measured, number, table, text, verdict, within

SHOWN_RATIOS = (0.0, 0.3, 0.5, 0.8, 1.0)
SHOWN_ORDERS = (0.05, 0.3, 0.5, 0.7, 0.95)
BESIDE = 6  # checkpoints that have a column each
DIFFERENCE = ("difference", "difference_ci_low", "difference_ci_high")
CLAIMS = ("classification", "token_place", "loss_ablation")
LABELS = {"l1": "L1", "psnr": "PSNR (dB)", "ssim": "SSIM"}


@dataclass
class Numbers:
    """Tables, differences in words, and what was found wanting; ``gist`` is one clause for who does not see."""

    tables: list[Table]
    gist: str
    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def of(kind: str, rows: pd.DataFrame, path: Path) -> Numbers:
    """The numbers of an analysis' table; files that belong to it are read beside it."""
    return _KINDS[kind](rows, path)


def _occlusion(rows: pd.DataFrame, path: Path) -> Numbers:
    fills = rows["fill"].astype(str) if "fill" in rows else pd.Series("", index=rows.index)
    lines, own, shapes = [], [], {}
    for (fill, name), one in _groups([fills.rename("fill"), rows["checkpoint"]], rows):
        curve = _curve(one, "ratio")
        near = sorted({float(min(curve.index, key=_from(at))) for at in SHOWN_RATIOS})
        shapes[fill, name] = curve
        cells = {f"{ratio:.0%} hidden": _percent(curve, ratio) for ratio in near}
        lines.append(_who(rows, name, fill) | {"Images": _images(one)} | cells)
        if len(curve) > 1:
            values = robustness.measures(curve["value"].to_numpy(), list(curve.index))
            own += [dict(checkpoint=name, fill=fill, measure=key, value=float(one)) for key, one in values.items()]
    summary, notes = reading.read_beside(path, "summary", ("checkpoint", "measure", "value", *DIFFERENCE))
    computed = pd.DataFrame(own).drop(columns=[] if "fill" in rows else ["fill"], errors="ignore")
    if summary is not None and not _agree(summary, computed):
        notes.append(f"{path.stem}_summary.csv does not agree with {path.name} and is left out.")
        summary = None
    tables = [_framed("Top-1 accuracy (%) by the share of hidden patches", lines, path)]
    findings = []
    if len(computed):
        known = computed if summary is None else summary
        tables.append(_measures(rows, known, path))
    if summary is not None:
        tables += _differences(rows, summary, path)
        for _, one in summary.groupby("fill", sort=False) if "fill" in summary else [("", summary)]:
            findings += [line for line in robustness.sentences(one) if " against " in line]
    first: dict[str, float] = {}
    for (_, name), curve in shapes.items():
        first.setdefault(name, curve["value"].iloc[0])
    gist = f"with the fewest patches hidden, {_best(first, lambda value: f'{100 * value:.1f} %')}"
    return Numbers(tables, gist, findings, notes)


def _measures(rows: pd.DataFrame, known: pd.DataFrame, path: Path) -> Table:
    lines = []
    keys = [known["fill"].astype(str) if "fill" in known else pd.Series("", index=known.index, name="fill")]
    for (fill, name), one in _groups([*keys, known["checkpoint"]], known):
        cells = {
            str(row["measure"]).capitalize(): within(
                row["value"], row.get("ci_low", np.nan), row.get("ci_high", np.nan)
            )
            for _, row in one.iterrows()
        }
        lines.append(_who(rows, name, fill) | cells)
    note = "Area: under the curve. Kept: accuracy over that of whole images. Convexity: above 0 the curve bulges."
    return _framed("Shape of the curve", lines, path, note)


def _differences(rows: pd.DataFrame, summary: pd.DataFrame, path: Path) -> list[Table]:
    """A row for each measure of each model but the first; of ``reconstruct`` also what it is compared with."""
    lines = []
    first = str(summary["checkpoint"].iloc[0])
    for _, row in summary.iterrows():
        value, low, high = (row[name] for name in DIFFERENCE)
        if np.isfinite(value):
            against = row.get("against") or first
            name = str(row["checkpoint"]) + (", without token" if row.get("token") == "without" else "")
            lines.append(
                _who(rows, row["checkpoint"], str(row.get("fill", "")), name)
                | {"Against": text(against), "Measure": text(LABELS.get(str(row["measure"]), str(row["measure"])))}
                | {"Difference": within(value, low, high, 3, signed=True), "Verdict": verdict(low, high)}
            )
    note = "Paired over the same images; an interval without 0 tells the two apart."
    return [_framed("Differences with 95 % intervals", lines, path, note)] if lines else []


def _shuffle(rows: pd.DataFrame, path: Path) -> Numbers:
    lines, last = [], {}
    for name, one in rows.groupby("checkpoint", sort=False):
        curve = _curve(one, "side")
        last[name] = curve["value"].iloc[-1]
        cells = {f"{side:g}×{side:g}": _percent(curve, side) for side in curve.index}
        lines.append(_who(rows, name) | {"Images": _images(one)} | cells)
    gist = f"on the finest grid, {_best(last, lambda value: f'{100 * value:.1f} %')}"
    return Numbers([_framed("Top-1 accuracy (%) by the shuffled grid", lines, path)], gist)


def _interactions(rows: pd.DataFrame, path: Path) -> Numbers:
    names = list(dict.fromkeys(rows["checkpoint"]))
    low, high = comparison.MIDDLE
    lines, middle = [], {}
    for name in names:
        one = rows[rows["checkpoint"] == name]
        parts = {
            f"J below {low:g}n": one["J"][one["ratio"] < low],
            f"{low:g}n to {high:g}n": one["J"][one["ratio"].between(low, high)],
            f"above {high:g}n": one["J"][one["ratio"] > high],
        }
        middle[name] = parts[f"{low:g}n to {high:g}n"].mean()
        counts = {label: _images(one, f"n_{label.lower()}") for label in ("Images", "Pairs", "Contexts")}
        lines.append(_who(rows, name) | {label: measured(J.mean()) for label, J in parts.items()} | counts)
    tables = [_framed("Mean J(m) over low, middle and high orders", lines, path), _orders(rows, names, path)]
    columns = ("checkpoint", "ratio", "J_difference", "J_ci_low", "J_ci_high", "reference")
    difference, notes = reading.read_beside(path, "difference", columns)
    if difference is not None and not set(difference["checkpoint"]) < set(names):
        notes.append(f"{path.stem}_difference.csv speaks of other checkpoints than {path.name} and is left out.")
        difference = None
    if difference is not None:
        lines = [
            _who(rows, row["checkpoint"])
            | {"Against": text(row["reference"]), "Order": Cell(_order(row["ratio"]), float(row["ratio"]))}
            | {"Difference of J": within(row["J_difference"], row["J_ci_low"], row["J_ci_high"], signed=True)}
            | {"Verdict": verdict(row["J_ci_low"], row["J_ci_high"])}
            for _, row in difference.iterrows()
        ]
        note = "The same images and pairs for both; an interval without 0 tells the two apart at that order."
        tables.append(_framed("Differences of J(m) with paired 95 % intervals", lines, path, note))
    return Numbers(tables, f"over middle orders, {_best(middle, lambda value: f'J {value:.2f}')}", notes=notes)


def _orders(rows: pd.DataFrame, names: Sequence[str], path: Path) -> Table:
    """J by order: an order in each row, or for many checkpoints a checkpoint in each row and a few orders."""
    at = rows.set_index(["checkpoint", "ratio"])[["J", "J_ci_low", "J_ci_high"]]
    at = at[~at.index.duplicated()]
    ratios = sorted(rows["ratio"].unique())

    def cell(name: str, ratio: float) -> Cell:
        return within(*at.loc[name, ratio]) if (name, ratio) in at.index else text(None)

    caption = "J(m) with 95 % intervals, by order"
    if len(names) <= BESIDE:
        by_order = [
            {"Order": Cell(_order(ratio), ratio)} | {name: cell(name, ratio) for name in names} for ratio in ratios
        ]
        return _framed(caption, by_order, path)
    near = sorted({min(ratios, key=_from(to)) for to in SHOWN_ORDERS})
    lines = [_who(rows, name) | {f"J at {_order(ratio)}": cell(name, ratio) for ratio in near} for name in names]
    return _framed(caption, lines, path)


def _spectrum(rows: pd.DataFrame, path: Path) -> Numbers:
    highest = rows.loc[rows.groupby(["checkpoint", "layer"], sort=False)["frequency"].idxmax()]
    caption = "Δ log amplitude at the highest frequency of each layer"
    tables = [_depths(rows, highest, "log_amplitude", caption, path)]
    at, notes = reading.read_beside(path, "at", ("checkpoint", "layer", *reading.KINDS["spectrum"].numbers))
    if at is not None and set(at["checkpoint"]) - set(rows["checkpoint"]):
        notes.append(f"{path.stem}_at.csv speaks of other checkpoints than {path.name} and is left out.")
    elif at is not None:
        caption = f"Δ log amplitude at {at['frequency'].iloc[0]:.2g}π, which all layers have"
        tables.append(_depths(rows, at, "log_amplitude", caption, path))
    last = {name: one.sort_values("depth")["log_amplitude"].iloc[-1] for name, one in highest.groupby("checkpoint")}
    return Numbers(tables, f"in the last layer, {_best(last, lambda value: number(value))}", notes=notes)


def _variance(rows: pd.DataFrame, path: Path) -> Numbers:
    value = "std" if "std" in rows else "variance"
    last = {name: one.sort_values("depth")[value].iloc[-1] for name, one in rows.groupby("checkpoint", sort=False)}
    caption = f"{'Standard deviation' if value == 'std' else 'Variance'} of the maps over their pixels"
    return Numbers([_depths(rows, rows, value, caption, path)], f"in the last layer, {_best(last, number)}")


def _depths(rows: pd.DataFrame, shown: pd.DataFrame, value: str, caption: str, path: Path) -> Table:
    """First and last layer of each checkpoint, and those with the largest and the smallest value."""
    lines = []
    for name, one in shown.groupby("checkpoint", sort=False):
        by_depth = one.sort_values("depth").reset_index(drop=True)
        chosen = {"First layer": 0, "Last layer": len(by_depth) - 1}
        chosen |= {"Largest": int(by_depth[value].argmax()), "Smallest": int(by_depth[value].argmin())}
        cells = {"Layers": count(len(by_depth)), "Images": _images(by_depth)}
        for label, place in chosen.items():
            row = by_depth.iloc[place]
            cell = within(row[value], row["ci_low"], row["ci_high"], 3)
            cells[label] = Cell(f"{cell.text}, {row['layer']}", cell.value)
        lines.append(_who(rows, name) | cells)
    return _framed(caption, lines, path, "In brackets the 95 % interval over images.")


def _reconstruct(rows: pd.DataFrame, path: Path) -> Numbers:
    summary, notes = reading.read_beside(path, "summary", ("checkpoint", "token", "measure", "value", *DIFFERENCE))
    own = _averages(rows)
    if summary is not None and not _agree(summary, own, ("checkpoint", "token", "measure")):
        notes.append(f"{path.stem}_summary.csv does not agree with {path.name} and is left out.")
        summary = None
    known = own if summary is None else summary
    images = rows.groupby(["checkpoint", "token"], sort=False)["image"].nunique()
    lines, best = [], dict[str, float]()
    for (name, token), one in known.groupby(["checkpoint", "token"], sort=False):
        cells = {
            LABELS.get(row["measure"], str(row["measure"])): within(row["value"], row["ci_low"], row["ci_high"], 3)
            for _, row in one.iterrows()
        }
        best.setdefault(name, float(one["value"][one["measure"] == "psnr"].sum()))
        lines.append(_who(rows, name) | {"Token": text(token), "Images": count(images[name, token])} | cells)
    tables = [_framed("Errors over the hidden part, with 95 % intervals", lines, path)]
    tables += _differences(rows, known, path) if summary is not None else []
    columns = ("checkpoint", "token", "low", "high", "error", "ci_low", "ci_high", "energy", "energy_ci_low")
    bands, more = reading.read_beside(path, "bands", (*columns, "energy_ci_high"))
    if bands is not None:
        tables.append(_bands(rows, bands, path))
    return Numbers(tables, _best(best, lambda value: f"{value:.1f} dB"), notes=notes + more)


def _averages(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over images with their intervals, as reconstruct_summary.csv has them; without differences."""
    names = [name for name in ("l1", "psnr", "ssim") if name in rows]
    groups = dict(iter(rows.groupby(["checkpoint", "token"], sort=False)))
    found = statistics.compare({key: one[names].to_numpy(dtype=float) for key, one in groups.items()}, {}, 0)
    return pd.concat(
        [one.assign(checkpoint=key[0], token=key[1], measure=names) for key, one in found.items()], ignore_index=True
    )


def _bands(rows: pd.DataFrame, bands: pd.DataFrame, path: Path) -> Table:
    lines = [
        _who(rows, row["checkpoint"])
        | {
            "Token": text(row["token"]),
            "Band": Cell(f"{number(row['low'], 2)}π to {number(row['high'], 2)}π", float(row["low"])),
        }
        | {"Error / target": within(row["error"], row["ci_low"], row["ci_high"])}
        | {"Prediction / target": within(row["energy"], row["energy_ci_low"], row["energy_ci_high"])}
        for _, row in bands.iterrows()
    ]
    note = "Energies in each band of frequencies, relative to those of the original; 1 is the error of a flat colour."
    return _framed("Error and energy by frequency", lines, path, note)


def _claim(rows: pd.DataFrame, path: Path) -> Numbers:
    """Tables of the claims: top-1 of each setting, mean and Student's interval over seeds."""
    keys = [name for name in rows if name not in ("checkpoint", "seed", "top1", "val_loss")]
    lines, best = [], {}
    for key, one in rows.groupby(keys, sort=False, dropna=False):
        values = one["top1"].to_numpy(dtype=float)
        half = np.nan
        if len(values) > 1:
            half = scipy.stats.t.ppf(LEVEL[1], len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
        named = {name.replace("_", " ").capitalize(): _plain(value) for name, value in zip(keys, key, strict=True)}
        middle = float(values.mean())
        best[" ".join(map(str, key))] = middle
        lines.append(named | {"Seeds": count(len(values)), "Top-1 (%)": within(middle, middle - half, middle + half)})
    note = "In brackets the 95 % interval over seeds (Student's t)."
    return Numbers([_framed("Top-1 accuracy", lines, path, note)], _best(best, lambda value: f"{value:.1f} %"))


_KINDS: dict[str, Callable[[pd.DataFrame, Path], Numbers]] = {
    "occlusion": _occlusion,
    "shuffle": _shuffle,
    "interactions": _interactions,
    "spectrum": _spectrum,
    "variance": _variance,
    "reconstruct": _reconstruct,
    **dict.fromkeys(CLAIMS, _claim),
}


def _plain(value: object) -> Cell:
    return measured(float(value), 3) if isinstance(value, float) else text(value)


def _groups(keys: Sequence[pd.Series], rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    return [((str(key[0]), str(key[1])), one) for key, one in rows.groupby(list(keys), sort=False)]


def _curve(rows: pd.DataFrame, at: str) -> pd.DataFrame:
    """Mean over runs and its interval at each point, columns value, ci_low, ci_high, by rising points."""
    points = rows.groupby(at)
    ends = {end: points[end].first() if end in rows else np.nan for end in ("ci_low", "ci_high")}
    return pd.DataFrame({"value": points["accuracy"].mean(), **ends})


def _percent(curve: pd.DataFrame, at: float) -> Cell:
    value, low, high = 100 * curve.loc[at]
    return within(value, low, high, 1)


def _from(place: float) -> Callable[[float], float]:
    """The distance from a place."""
    return lambda value: abs(value - place)


def _agree(
    summary: pd.DataFrame, computed: pd.DataFrame, keys: Sequence[str] = ("checkpoint", "fill", "measure")
) -> bool:
    """Whether a file that sums a table up says what the table does."""
    keys = [key for key in keys if key in summary and key in computed]
    both = computed.merge(summary, on=keys, how="outer", suffixes=("", "_said"))
    if both[["value", "value_said"]].isna().all(axis=1).any():
        both = both.dropna(subset=["value", "value_said"], how="all")  # a measure that neither can have
    return bool(np.isclose(both["value"], both["value_said"], rtol=1e-4, atol=1e-6).all())


def _who(rows: pd.DataFrame, name: str, fill: str = "", shown: str | None = None) -> dict[str, Cell]:
    """Cells that say whose numbers these are: with network, method and seed where the table has them."""
    one = rows[rows["checkpoint"] == name]
    own: Mapping[str, object] = one.iloc[0] if len(one) else {}
    extra = {key.capitalize(): text(own.get(key)) for key in ("network", "method") if key in rows}
    if "seed" in rows and len(one):
        extra["Seed"] = count(float(one["seed"].iloc[0]))
    filled = {"Fill": text(fill)} if "fill" in rows and rows["fill"].nunique() > 1 else {}
    return {"Checkpoint": text(shown or name)} | extra | filled


def _images(rows: pd.DataFrame, column: str = "n_images") -> Cell:
    return count(float(rows[column].iloc[0])) if column in rows else text(None)


def _order(ratio: float) -> str:
    return {0.0: "0", 1.0: "n"}.get(float(ratio), f"{number(ratio, 2)}n")


def _best(values: Mapping[str, float], write: Callable[[float], str]) -> str:
    """Each value in words, the first few."""
    return listed([f"{name} has {write(value)}" for name, value in values.items()], 4)


def _framed(caption: str, lines: Sequence[Mapping[str, Cell]], path: Path, note: str = "") -> Table:
    columns = list(dict.fromkeys(name for line in lines for name in line))
    return table(
        caption, columns, [[line.get(name, text(None)) for name in columns] for line in lines], path.name, note
    )
