"""The loss of A2MIM (section 4, Eqs. 3 to 6): spatial and frequency distance between a prediction and the image.

``spatial``: L_spa. ``frequency``: L_freq. ``whole``: their sum ``MIMLoss``. ``settings``: its settings and presets,
without torch; the other names load torch when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .settings import PRESETS as PRESETS
from .settings import LossSettings as LossSettings

if TYPE_CHECKING:
    from .frequency import REPLACEMENTS as REPLACEMENTS
    from .frequency import blended_residual as blended_residual
    from .frequency import focal_weight as focal_weight
    from .frequency import frequency_loss as frequency_loss
    from .frequency import mirror_counts as mirror_counts
    from .spatial import DISTANCES as DISTANCES
    from .spatial import focal_l1 as focal_l1
    from .spatial import spatial_loss as spatial_loss
    from .spatial import squared as squared
    from .whole import MIMLoss as MIMLoss

_HOME = {
    **dict.fromkeys(("DISTANCES", "focal_l1", "spatial_loss", "squared"), "spatial"),
    **dict.fromkeys(
        ("REPLACEMENTS", "blended_residual", "focal_weight", "frequency_loss", "mirror_counts"), "frequency"
    ),
    "MIMLoss": "whole",
}
__all__ = sorted([*_HOME, "PRESETS", "LossSettings"])


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module 'a2mim.losses' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
