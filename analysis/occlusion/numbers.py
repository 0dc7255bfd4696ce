"""What the page shows of ``occlusion`` and ``shuffle``: accuracies, the shape of each curve, paired differences."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ..core.numbers import Cell, Numbers, Table, Tables, agree, differences, each, framed, images, nearest, who, within
from . import robustness

SHOWN_RATIOS = (0.0, 0.3, 0.5, 0.8, 1.0)


def occlusion(tables: Tables) -> Numbers:
    """Accuracy by the share of hidden patches, and the numbers that sum up each curve."""
    rows, summary = tables[""], tables.get("summary")
    lines, own = [], []
    first: dict[str, float] = {}
    for (fill, name), one in _by_fill(rows):
        curve = _curve(one, "ratio")
        near = nearest(curve.index, SHOWN_RATIOS)
        lines.append(
            who(rows, name, fill)
            | {"Images": images(one)}
            | {f"{ratio:.0%} hidden": _percent(curve, ratio) for ratio in near}
        )
        first.setdefault(name, curve["value"].iloc[0])
        if len(curve) > 1:
            values = robustness.measures(curve["value"].to_numpy(), list(curve.index))
            own += [dict(checkpoint=name, fill=fill, measure=key, value=float(one)) for key, one in values.items()]
    computed = pd.DataFrame(own).drop(columns=[] if "fill" in rows else ["fill"], errors="ignore")
    found = Numbers([framed("Top-1 accuracy (%) by the share of hidden patches", lines)])
    found.gist = f"with the fewest patches hidden, {each(first, lambda value: f'{100 * value:.1f} %')}"
    if summary is not None and not agree(summary, computed, ("checkpoint", "fill", "measure")):
        found.unlike, summary = ["summary"], None
    if len(computed):
        found.tables.append(_shapes(rows, computed if summary is None else summary))
    if summary is not None:
        found.tables += differences(rows, summary)
        by_fill = summary.groupby("fill", sort=False) if "fill" in summary else [("", summary)]
        found.findings = [line for _, one in by_fill for line in robustness.sentences(one) if " against " in line]
    return found


def shuffle(tables: Tables) -> Numbers:
    """Accuracy by the grid whose cells are shuffled."""
    rows = tables[""]
    lines, last = [], {}
    for name, one in rows.groupby("checkpoint", sort=False):
        curve = _curve(one, "side")
        last[name] = curve["value"].iloc[-1]
        cells = {f"{side:g}×{side:g}": _percent(curve, side) for side in curve.index}
        lines.append(who(rows, name) | {"Images": images(one)} | cells)
    gist = f"on the finest grid, {each(last, lambda value: f'{100 * value:.1f} %')}"
    return Numbers([framed("Top-1 accuracy (%) by the shuffled grid", lines)], gist)


def _shapes(rows: pd.DataFrame, known: pd.DataFrame) -> Table:
    lines = []
    for (fill, name), one in _by_fill(known):
        cells = {
            str(row["measure"]).capitalize(): within(
                row["value"], row.get("ci_low", np.nan), row.get("ci_high", np.nan)
            )
            for _, row in one.iterrows()
        }
        lines.append(who(rows, name, fill) | cells)
    note = "Area: under the curve. Kept: accuracy over that of whole images. Convexity: above 0 the curve bulges."
    return framed("Shape of the curve", lines, note)


def _by_fill(rows: pd.DataFrame) -> list[tuple[tuple[str, str], pd.DataFrame]]:
    fills = rows["fill"].astype(str) if "fill" in rows else pd.Series("", index=rows.index)
    groups = rows.groupby([fills.rename("fill"), rows["checkpoint"]], sort=False)
    return [((str(fill), str(name)), one) for (fill, name), one in groups]


def _curve(rows: pd.DataFrame, at: str) -> pd.DataFrame:
    """Mean over runs and its interval at each point, columns value, ci_low, ci_high, in rising order."""
    points = rows.groupby(at)
    ends = {end: points[end].first() if end in rows else np.nan for end in ("ci_low", "ci_high")}
    return pd.DataFrame({"value": points["accuracy"].mean(), **ends})


def _percent(curve: pd.DataFrame, at: float) -> Cell:
    value, low, high = 100 * curve.loc[at]
    return within(value, low, high, 1)
