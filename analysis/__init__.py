"""Analyses of vision encoders: one folder for each; a function from a network and images to a result with error bars.

``from a2mim.analysis import occlusion, interactions, spectrum``: names are imported when first used.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import features as features
    from . import games as games
    from . import interactions as interactions
    from . import occlusion as occlusion
    from . import probes as probes
    from . import reconstruction as reconstruction
    from . import report as report
    from . import spectrum as spectrum
    from . import variance as variance

__all__ = [
    "features",
    "games",
    "interactions",
    "occlusion",
    "probes",
    "reconstruction",
    "report",
    "spectrum",
    "variance",
]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
