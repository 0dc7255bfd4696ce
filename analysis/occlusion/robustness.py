"""Numbers that sum up an occlusion curve, with intervals over images and paired differences between models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.integrate import trapezoid

from a2mim import seeds
from a2mim.errors import InputError

from ..core.arrays import Bools, Floats
from ..core.statistics import RESAMPLES, interval, resampled_means

KEPT_AT = (0.5, 0.8)


def area(accuracy: Floats, ratios: Sequence[float]) -> Floats:
    """Area under the curve by the trapezoid rule, over the span of the ratios: (..., ratios) -> (...)."""
    return trapezoid(accuracy, ratios, axis=-1) / (ratios[-1] - ratios[0])


def kept(accuracy: Floats, ratios: Sequence[float], at: float) -> Floats:
    """Accuracy at the ratio ``at`` over that at the smallest, (..., ratios) -> (...); interpolated on a line."""
    above = min(int(np.searchsorted(ratios, at)), len(ratios) - 1)
    below = max(above - 1, 0)
    share = (at - ratios[below]) / (ratios[above] - ratios[below]) if above != below else 0.0
    there = accuracy[..., below] * (1 - share) + accuracy[..., above] * share
    first = accuracy[..., 0]
    return np.divide(there, first, out=np.full_like(there, np.nan), where=first > 0)


def convexity(accuracy: Floats, ratios: Sequence[float]) -> Floats:
    """The paper's "convex" curve made a number: (..., ratios) -> (...).

    (area under the curve − area under its chord) / area under its chord, where the chord is the line from the first
    point to the last. Positive: the curve bulges above the line, which the paper calls convex and robust (accuracy
    stays, then falls); negative: it sags below (accuracy falls at once); 0: it falls evenly. NaN for a chord at zero.
    """
    chord = (accuracy[..., 0] + accuracy[..., -1]) / 2
    return np.divide(area(accuracy, ratios) - chord, chord, out=np.full_like(chord, np.nan), where=chord > 0)


def measures(accuracy: Floats, ratios: Sequence[float]) -> dict[str, Floats]:
    """``area``, ``kept`` at 50 and 80 % where the ratios reach so far, ``convexity``: name -> (...).

    Raises:
        InputError: fewer than two ratios, or ratios that do not rise.
    """
    if len(ratios) < 2 or not (np.diff(ratios) > 0).all():
        raise InputError(f"a curve needs two ratios or more that rise, got {list(ratios)}")
    inside = [at for at in KEPT_AT if ratios[0] <= at <= ratios[-1]]
    return {
        "area": area(accuracy, ratios),
        **{f"kept at {at:.0%}": kept(accuracy, ratios, at) for at in inside},
        "convexity": convexity(accuracy, ratios),
    }


def resampled_curves(correct: Bools, seed: int, runs_too: bool = False) -> Floats:
    """Bootstrap of the curve: bool (images, runs, ratios) -> (resamples, ratios), 0 to 1; see ``resampled_means``.

    Images are drawn with replacement. Each image has its own masks in every run, so that drawing images draws masks
    as well; where a run's masks are shared by all images (``runs_too``), runs are drawn besides, and what each of the
    two draws changes is added. Equal seeds draw the same images and runs, which makes differences between models
    paired. NaN for one image, which says nothing of others.
    """
    if len(correct) < 2:
        return np.full((RESAMPLES, correct.shape[2]), np.nan)
    generator = seeds.numpy_generator(seed, "occlusion bootstrap")
    curves = resampled_means(correct.mean(axis=1)[:, :, None], generator)
    if runs_too:
        curves += resampled_means(correct.mean(axis=0)[:, :, None], generator) - correct.mean(axis=(0, 1))
    return curves.clip(0, 1)


def curve_interval(correct: Bools, seed: int, runs_too: bool = False) -> Floats:
    """95 % interval of the accuracy at each ratio, (2, ratios)."""
    return interval(resampled_curves(correct, seed, runs_too))


def summary(correct: Mapping[str, Bools], ratios: Sequence[float], seed: int, runs_too: bool = False) -> pd.DataFrame:
    """``measures`` of several models on the same images and masks, each with its interval and difference to the first.

    Columns: checkpoint, measure, value, ci_low, ci_high, difference, difference_ci_low, difference_ci_high; the
    differences are NaN for the first model. An interval of a difference without 0 says that the models differ.
    """
    rows: list[dict[str, object]] = []
    first: dict[str, tuple[Floats, Floats]] = {}
    for name, one in correct.items():
        values = measures(one.mean(axis=(0, 1)), ratios)
        resampled = measures(resampled_curves(one, seed, runs_too), ratios)
        for measure, value in values.items():
            low, high = _ends(resampled[measure]) if np.isfinite(value) else (np.nan, np.nan)
            row = dict(checkpoint=name, measure=measure, value=float(value), ci_low=low, ci_high=high)
            if first:
                there, draws = first[measure]
                ends = _ends(resampled[measure] - draws)
                row |= dict(difference=float(value - there), difference_ci_low=ends[0], difference_ci_high=ends[1])
            rows.append(row)
        if not first:
            first = {measure: (values[measure], resampled[measure]) for measure in values}
    columns = ["checkpoint", "measure", "value", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=[*columns, "difference", "difference_ci_low", "difference_ci_high"])


def _ends(draws: Floats) -> Floats:
    """Ends of the 95 % interval over the draws that have a value, (2,)."""
    return interval(draws[np.isfinite(draws)]) if np.isfinite(draws).any() else np.full(2, np.nan)


def sentences(table: pd.DataFrame) -> list[str]:
    """``summary`` in words: a line for each model, and one for its difference to the first."""
    lines = []
    for name, rows in table.groupby("checkpoint", sort=False):
        measured = [
            f"{row.measure} {row.value:.3f}"
            + (f" ({row.ci_low:.3f} to {row.ci_high:.3f})" if np.isfinite(row.ci_low) else "")
            for row in rows.itertuples()
        ]
        lines.append(f"{name}: {', '.join(measured)}")
        area = rows[rows.measure == "area"].iloc[0]
        if np.isfinite(area.difference_ci_low):
            low, high = area.difference_ci_low, area.difference_ci_high
            verdict = "no difference beyond chance" if low <= 0 <= high else "they differ"
            first = table["checkpoint"].iloc[0]
            lines.append(f"{name} against {first}: area {area.difference:+.3f} ({low:+.3f} to {high:+.3f}), {verdict}")
    return lines
