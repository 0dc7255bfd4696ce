"""Analyses of vision encoders: one folder for each; a function from a network and images to a result with error bars.

``from a2mim.analysis import occlusion, interactions, spectrum``: names are imported when first used. ``ANALYSES`` lists
the records of all analyses, by name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from a2mim.lazy import attach

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
    from .analyses import ANALYSES as ANALYSES

__getattr__, __dir__, __all__ = attach(
    __name__,
    {".analyses": ["ANALYSES"]},
    [
        *("features", "games", "interactions", "occlusion", "probes", "reconstruction", "report", "spectrum"),
        "variance",
    ],
)
