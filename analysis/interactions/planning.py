"""What an estimate of J(m) costs and how right it will be, before it is made; and the best one that a budget buys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from a2mim import durations
from a2mim.errors import InputError

from . import estimating
from .estimators import DEFAULTS

# Spread of the strength as a share of its mean, typical of the shipped networks at middle orders: between the means of
# images, between the pairs of an image, and of the difference in one context
BETWEEN_IMAGES, BETWEEN_PAIRS, BETWEEN_CONTEXTS = 0.5, 1.2, 3.5
PAIRS = (10, 25, 50, 100, 200, 400, 800)


@dataclass(frozen=True)
class Plan:
    """Numbers of images, pairs and contexts, and the evaluations of one image at all orders."""

    n_images: int
    n_pairs: int
    n_contexts: int
    n_ratios: int
    evaluations_of_image: int

    @property
    def evaluations(self) -> int:
        return self.n_images * self.evaluations_of_image

    @property
    def standard_error(self) -> float:
        """Expected standard error of the strength at a middle order, as a share of it."""
        pairs = (BETWEEN_PAIRS**2 + BETWEEN_CONTEXTS**2 / self.n_contexts) / self.n_pairs
        return math.sqrt((BETWEEN_IMAGES**2 + pairs) / self.n_images)

    def describe(self, n_subjects: int, rate: float, shard: tuple[int, int]) -> str:
        """One line: what is measured, evaluations, time, error."""
        each = f"{self.n_images} images x {self.n_ratios} orders x {self.n_pairs} pairs x {self.n_contexts} contexts"
        total = self.evaluations * n_subjects
        mine = f", of which this shard does 1/{shard[1]}" if shard[1] > 1 else ""
        return (
            f"cost: {each} on {n_subjects} network(s) = {total:,} evaluations{mine}, about "
            f"{durations.describe(total / shard[1] / rate)} at {rate:,.0f} images/s; expected standard error about "
            f"{self.standard_error:.1%} of the strength"
        )


def plan(
    n_players: int,
    question: Mapping[str, Any],
    *,
    n_images: int | None,
    most_images: int,
    n_pairs: int | None = None,
    n_contexts: int | None = None,
    evaluations: float | None = None,
) -> Plan:
    """How many images, pairs and contexts: those given or the defaults, or the best within a number of evaluations.

    Args:
        question: keywords of ``estimating.estimate`` (grid, ratios, pairs, distance, estimator).
        n_images: as many, or None if the budget decides.
        most_images: that there are.
        evaluations: what one network may cost.

    Raises:
        InputError: a budget that is not enough for one image.
    """
    usual = DEFAULTS[question["estimator"]]
    n_contexts = n_contexts or usual[1]
    counts = (n_pairs,) if n_pairs else PAIRS if evaluations else (usual[0],)
    options = []
    for count in counts:
        each = evaluations_of_image(n_players, question, count, n_contexts)
        images = min(n_images or most_images, most_images, int(evaluations // each) if evaluations else most_images)
        if images:
            options.append(Plan(images, count, n_contexts, len(question["ratios"]), each))
    if not options:
        raise InputError(
            f"{evaluations or 0:,.0f} evaluations of a network are not enough for one image with "
            f"{counts[0]} pairs; take fewer --ratios, --pairs or --contexts, or a larger budget"
        )
    return min(options, key=lambda option: (option.standard_error, option.evaluations))


def evaluations_of_image(n_players: int, question: Mapping[str, Any], n_pairs: int, n_contexts: int) -> int:
    """Evaluations of one image at all orders, counted on a game that knows nothing."""
    nothing = lambda coalitions: np.zeros(len(coalitions))  # noqa: E731
    found = estimating.estimate([nothing], n_players, n_pairs=n_pairs, n_contexts=n_contexts, **question)
    orders = dict(zip(found.orders.tolist(), found.evaluations.tolist(), strict=True))
    return sum(orders.values())
