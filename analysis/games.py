"""Games by their public name; see ``a2mim.analysis.interactions.games``."""

from .interactions.games import (
    BASELINES,
    SCORES,
    Game,
    PatchGame,
    amp_noise,
    check_coalitions,
    check_grid,
    check_scores,
    eval_mode,
    log_odds,
    log_prob,
    logit,
    memory_format,
    out_of_memory,
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
