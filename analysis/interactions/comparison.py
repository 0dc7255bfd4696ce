"""Two models' J(m) curves, measured on the same images, pairs and contexts: where they differ, and how surely."""

from __future__ import annotations

import numpy as np
import pandas as pd

from a2mim import seeds
from a2mim.errors import InputError

from ..core.arrays import Bools, Floats
from ..core.statistics import interval, resampled_means
from .estimating import InteractionResult, influence

MIDDLE = (0.3, 0.7)  # ratios of what is called a middle order here


def compare(result: InteractionResult, reference: InteractionResult) -> pd.DataFrame:
    """How two models differ on the same images and pairs: one row for each ratio.

    ``strength_difference`` and ``J_difference`` are result − reference. Their 95 % intervals are paired: the same
    images and pairs are drawn for both, so that what all models find hard in an image does not widen them. An interval
    without 0 says that the models differ.

    Raises:
        InputError: results of other images, pairs or orders.
    """
    _check_comparable(result, reference)
    J = result.J - reference.J
    moved = _influence(result) - _influence(reference)
    both = np.concatenate([result.values - reference.values, moved], axis=1)
    means, moves = np.split(_resampled(result, both), 2, axis=1)
    (low, high), (J_low, J_high) = interval(means), J + interval(moves)
    return pd.DataFrame(
        {
            "ratio": result.ratios,
            "order": result.orders,
            "strength_difference": result.strength - reference.strength,
            "ci_low": low,
            "ci_high": high,
            "J_difference": J,
            "J_ci_low": J_low,
            "J_ci_high": J_high,
        }
    )


def middle_difference(result: InteractionResult, reference: InteractionResult) -> tuple[float, float, float]:
    """Difference of the mean J over the measured middle orders (``MIDDLE``), result − reference, and its 95 % interval.

    Raises:
        InputError: results of other images, pairs or orders, or no middle order among them.
    """
    _check_comparable(result, reference)
    middle = _middle(result)
    if not middle.any():
        raise InputError(f"no ratio within {MIDDLE[0]:g} to {MIDDLE[1]:g} was measured")
    difference = float((result.J - reference.J)[middle].mean())
    moved = (_influence(result) - _influence(reference))[:, middle].mean(axis=1, keepdims=True)
    low, high = difference + interval(_resampled(result, moved))[:, 0]
    return difference, float(low), float(high)


def conclusion(name: str, result: InteractionResult, reference_name: str, reference: InteractionResult) -> str:
    """One sentence: at which orders J differs, and whether ``result`` has more interactions of middle orders."""
    table = compare(result, reference)
    sides = {"higher": table.ratio[table.J_ci_low > 0], "lower": table.ratio[table.J_ci_high < 0]}
    parts = [f"{side} at {', '.join(f'{ratio:.2g}n' for ratio in at)}" for side, at in sides.items() if len(at)]
    sentence = f"J of {name} against {reference_name}: {' and '.join(parts) or 'no order differs'}"
    if _middle(result).any():
        difference, low, high = middle_difference(result, reference)
        shown = "no difference shown" if low <= 0 <= high else "more of them" if low > 0 else "fewer of them"
        sentence += (
            f"; its mean over middle orders ({MIDDLE[0]:g}n to {MIDDLE[1]:g}n) differs by {difference:+.2f} "
            f"(95 % interval {low:+.2f} to {high:+.2f}): {shown}"
        )
    return sentence


def _check_comparable(result: InteractionResult, reference: InteractionResult) -> None:
    if result.values.shape != reference.values.shape or not (
        np.array_equal(result.pairs, reference.pairs) and np.array_equal(result.orders, reference.orders)
    ):
        raise InputError("two curves can be compared on the same images, pairs and orders only")


def _middle(result: InteractionResult) -> Bools:
    return (result.ratios >= MIDDLE[0]) & (result.ratios <= MIDDLE[1])


def _influence(result: InteractionResult) -> Floats:
    return influence(result.values, result.ratios, result.normalise)


def _resampled(result: InteractionResult, values: Floats) -> Floats:
    return resampled_means(values, seeds.numpy_generator(result.seed, "bootstrap"))
