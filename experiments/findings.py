"""Judge a statement by a comparison over seeds: the difference, its interval and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pandas as pd

from a2mim.figures.statistics import mean_interval

SUPPORTED, OPPOSED, OPEN, ABSENT = "supported", "not supported", "undecided at this scale", "not run"


@dataclass(frozen=True)
class Finding:
    """One statement of the paper with one measurement and a verdict."""

    statement: str
    measured: str
    verdict: str


def per_seed(table: pd.DataFrame, value: str, column: str = "method") -> pd.DataFrame:
    """Means of ``value``: a row per seed, a column per method."""
    return table.pivot_table(index="seed", columns=column, values=value, sort=False)


def judge(
    statement: str,
    by_seed: pd.DataFrame,
    better: str,
    than: str,
    *,
    measure: str,
    expected: int = 1,
) -> Finding:
    """Compare two methods seed by seed.

    The verdict is: supported if the whole 95 % interval of the paired difference (Student's t) has the sign that the
    statement claims; not supported if it has the opposite sign; undecided if it contains 0 or there is only one seed;
    not run if a method is missing or no seed has both.

    Args:
        by_seed: a table made by ``per_seed``.
        measure: what the numbers are, in words.
        expected: the claimed sign of ``better - than``, 1 or -1.
    """
    if not {better, than} <= set(by_seed.columns):
        absent = ", ".join(sorted({better, than} - set(by_seed.columns)))
        return Finding(statement, f"no runs of {absent}", ABSENT)
    pairs = by_seed[[better, than]].dropna()
    if pairs.empty:
        return Finding(statement, f"{better} and {than} have no seed in common", ABSENT)
    mean, low, high = mean_interval(pairs[better] - pairs[than])
    verdict = SUPPORTED if expected * low > 0 and expected * high > 0 else OPEN
    verdict = OPPOSED if expected * low < 0 and expected * high < 0 else verdict
    within = f" ({low:+.2f} to {high:+.2f})" if math.isfinite(low) else ""
    many = f"{len(pairs)} seeds" if len(pairs) != 1 else "1 seed"
    values = f"{better} {pairs[better].mean():.2f}, {than} {pairs[than].mean():.2f}"
    return Finding(statement, f"{measure}: {values}; difference {mean:+.2f}{within}, {many}", verdict)
