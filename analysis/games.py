"""Games by their public name; see ``a2mim.analysis.interactions.games``."""

from .core.choices import BASELINES
from .core.grids import check_grid
from .core.networks import eval_mode, memory_format, out_of_memory
from .interactions.games import (
    SCORES,
    Game,
    PatchGame,
    amp_noise,
    check_coalitions,
    check_scores,
    log_odds,
    log_prob,
    logit,
)

__all__ = [
    "BASELINES",
    "SCORES",
    "Game",
    "PatchGame",
    "amp_noise",
    "check_coalitions",
    "check_grid",
    "check_scores",
    "eval_mode",
    "log_odds",
    "log_prob",
    "logit",
    "memory_format",
    "out_of_memory",
]
