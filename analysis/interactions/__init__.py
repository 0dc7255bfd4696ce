"""Multi-order interactions between image patches (section 3.2 of the paper): Eqs. (1) and (2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2mim.lazy import attach

if TYPE_CHECKING:
    from .estimating import PAPER_RATIOS as PAPER_RATIOS
    from .estimating import InteractionResult as InteractionResult
    from .estimating import estimate as estimate
    from .estimating import orders_of as orders_of
    from .estimating import ratios_of as ratios_of
    from .estimating import relative_strength as relative_strength
    from .estimators import debiased_strength as debiased_strength
    from .estimators import every_context as every_context
    from .estimators import pair_deltas as pair_deltas
    from .estimators import pair_strength as pair_strength
    from .games import Game as Game
    from .games import PatchGame as PatchGame
    from .settings import InteractionSettings as InteractionSettings

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        ".estimating": [
            *("PAPER_RATIOS", "InteractionResult", "estimate", "orders_of", "ratios_of", "relative_strength"),
        ],
        ".estimators": ["debiased_strength", "every_context", "pair_deltas", "pair_strength"],
        ".games": ["Game", "PatchGame"],
        ".settings": ["InteractionSettings"],
    },
)
