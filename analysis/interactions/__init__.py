"""Multi-order interactions between image patches (section 3.2 of the paper): Eqs. (1) and (2)."""

from .estimating import PAPER_RATIOS, InteractionResult, estimate, influence, orders_of, ratios_of, relative_strength
from .estimators import DEFAULTS, ESTIMATORS, debiased_strength, every_context, pair_deltas, pair_strength
from .games import BASELINES, SCORES, Game, PatchGame, log_odds, log_prob, logit

__all__ = [
    "BASELINES",
    "DEFAULTS",
    "ESTIMATORS",
    "PAPER_RATIOS",
    "SCORES",
    "Game",
    "InteractionResult",
    "PatchGame",
    "debiased_strength",
    "estimate",
    "every_context",
    "influence",
    "log_odds",
    "log_prob",
    "logit",
    "orders_of",
    "pair_deltas",
    "pair_strength",
    "ratios_of",
    "relative_strength",
]
