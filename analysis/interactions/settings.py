"""Settings of the analysis ``interactions``; no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from a2mim.errors import InputError

from ..core.choices import BASELINES
from ..core.options import Asks, option

SCORES = ("log-odds", "log-prob", "logit")
TARGETS = ("label", "predicted")
ESTIMATORS = ("efficient", "paper")
NORMALISE = ("ratios", "uniform-m")
COUNT = (1, float("inf"))


@dataclass(frozen=True)
class InteractionSettings:
    """Strength J(m) of interactions between patches by order (section 3.2, Figure 1 e-h)."""

    asks: ClassVar = Asks("classifiers", images="100; 20 of the embedded images")

    grid: tuple[int, int] | None = option(
        None, "Players over the image.", kind="grid", shown="14x14, or what divides the image"
    )
    ratios: tuple[float, ...] | None = option(
        None, "Orders m as shares of n - 2.", kind="ratios", shown="the paper's 13"
    )
    orders: tuple[int, ...] | None = option(None, "Orders m as numbers of players, such as 0,10,31.", kind="counts")
    n_pairs: int | None = option(
        None, "Pairs for each image.", between=COUNT, flag="pairs", shown="200; 50 with --estimator paper"
    )
    n_contexts: int | None = option(
        None, "Contexts for each pair.", between=COUNT, flag="contexts", shown="12; 50 with --estimator paper"
    )
    pairs: Any = option(
        "neighbours",
        "Which pairs: neighbours; clamped, the published drawing with its bias at the border; all; or a file with a "
        "pair in each line, such as 17,18 (players counted along the rows).",
        flag="draw",
        kind="pairs",
    )
    distance: int = option(2, "Largest distance between neighbours, in cells.", between=COUNT)
    estimator: str = option(
        "efficient", "Estimator; 'paper' is the published one, pair for pair and context for context.", ESTIMATORS
    )
    score: str = option("log-odds", "Score of the class.", SCORES)
    target: str = option("label", "Class whose score is taken.", TARGETS)
    baseline: str = option("dataset-mean", "What hidden patches are replaced with.", BASELINES)
    normalise: str = option(
        "ratios", "Let J have mean 1 over the measured ratios, as published, or over all orders.", NORMALISE
    )
    only_correct: bool = option(False, "Leave out images that one of the networks gets wrong.")
    amp: bool = option(False, "Use bfloat16, and say how much noise that adds.")
    evaluations: int | None = option(
        None, "Choose images and pairs for this number of evaluations in all.", between=COUNT
    )
    seconds: float | None = option(
        None, "Choose images and pairs for this time, such as 90s, 10m, 2h.", flag="budget", kind="duration"
    )
    seed: int = option(0, "Seed for choosing images and for every random draw.", flag="none")

    def __post_init__(self) -> None:
        if self.orders is not None and self.ratios is not None:
            raise InputError("orders are given as ratios and as numbers; choose one of the two")
        if not isinstance(self.pairs, str) and self.n_pairs not in (None, len(self.pairs)):
            raise InputError(f"{self.n_pairs} pairs asked for, and a list of pairs given; leave out one of the two")

    def to_json(self) -> dict[str, Any]:
        """As parts and the file of settings hold them: what was chosen, not what it was chosen for."""
        return {key: one for key, one in asdict(self).items() if key not in ("orders", "evaluations", "seconds")}
