"""What the page shows of ``reconstruct``: errors over the hidden part, differences, error and energy by frequency."""

from __future__ import annotations

import pandas as pd

from ..core import statistics
from ..core.numbers import (
    LABELS,
    Cell,
    Numbers,
    Table,
    Tables,
    agree,
    count,
    differences,
    each,
    framed,
    number,
    text,
    who,
    within,
)


def reconstruct(tables: Tables) -> Numbers:
    """Errors with intervals; paired differences where the summary agrees with the errors image by image."""
    rows, summary = tables[""], tables.get("summary")
    own = _averages(rows)
    unlike = summary is not None and not agree(summary, own, ("checkpoint", "token", "measure"))
    known = own if summary is None or unlike else summary
    images = rows.groupby(["checkpoint", "token"], sort=False)["image"].nunique()
    lines, best = [], dict[str, float]()
    for (name, token), one in known.groupby(["checkpoint", "token"], sort=False):
        cells = {
            LABELS.get(row["measure"], str(row["measure"])): within(row["value"], row["ci_low"], row["ci_high"], 3)
            for _, row in one.iterrows()
        }
        best.setdefault(name, float(one["value"][one["measure"] == "psnr"].sum()))
        lines.append(who(rows, name) | {"Token": text(token), "Images": count(images[name, token])} | cells)
    found = Numbers([framed("Errors over the hidden part, with 95 % intervals", lines)])
    found.gist = each(best, lambda value: f"{value:.1f} dB")
    found.unlike = ["summary"] if unlike else []
    found.tables += [] if known is own else differences(rows, known)
    found.tables += [_bands(rows, tables["bands"])] if "bands" in tables else []
    return found


def _averages(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over images with their intervals, as reconstruct_summary.csv has them; without differences."""
    names = [name for name in ("l1", "psnr", "ssim") if name in rows]
    groups = dict(iter(rows.groupby(["checkpoint", "token"], sort=False)))
    found = statistics.compare({key: one[names].to_numpy(dtype=float) for key, one in groups.items()}, {}, 0)
    return pd.concat(
        [one.assign(checkpoint=key[0], token=key[1], measure=names) for key, one in found.items()], ignore_index=True
    )


def _bands(rows: pd.DataFrame, bands: pd.DataFrame) -> Table:
    lines = [
        who(rows, row["checkpoint"])
        | {
            "Token": text(row["token"]),
            "Band": Cell(f"{number(row['low'], 2)}π to {number(row['high'], 2)}π", float(row["low"])),
        }
        | {"Error / target": within(row["error"], row["ci_low"], row["ci_high"])}
        | {"Prediction / target": within(row["energy"], row["energy_ci_low"], row["energy_ci_high"])}
        for _, row in bands.iterrows()
    ]
    note = "Energies in each band of frequencies, relative to those of the original; 1 is the error of a flat colour."
    return framed("Error and energy by frequency", lines, note)
