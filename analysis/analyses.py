"""The list of analyses: ours, and those that other packages register by the entry point ``a2mim.analyses``.

An analysis of ours is a package with ``settings.py`` (``Settings``: what flags are made from; no torch) and
``record.py`` (``ANALYSIS``). One of another package is an entry point whose value is the record itself::

    [project.entry-points."a2mim.analyses"]
    sharpness = "my_package.sharpness:SHARPNESS"
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from a2mim.errors import InputError

from .core.options import Asks

if TYPE_CHECKING:
    from .core.analysis import Analysis

GROUP = "a2mim.analyses"
OURS = {  # name -> package, and the name of its settings and of its record there
    "interactions": ("interactions", "InteractionSettings", "INTERACTIONS"),
    "occlusion": ("occlusion", "OcclusionSettings", "OCCLUSION"),
    "shuffle": ("occlusion", "ShuffleSettings", "SHUFFLE"),
    "spectrum": ("probes", "SpectrumSettings", "SPECTRUM"),
    "variance": ("probes", "VarianceSettings", "VARIANCE"),
    "reconstruct": ("reconstruction", "ReconstructionSettings", "RECONSTRUCTION"),
}


class _Analyses(Mapping[str, "Analysis[Any]"]):
    """Name -> record; a record, and torch with it, is loaded when it is asked for."""

    def __iter__(self) -> Iterator[str]:
        yield from OURS
        yield from sorted({one.name for one in entry_points(group=GROUP)} - OURS.keys())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in list(iter(self))

    def __getitem__(self, name: str) -> Analysis[Any]:
        if name in OURS:
            package, _, record = OURS[name]
            found: Analysis[Any] = getattr(importlib.import_module(f"a2mim.analysis.{package}.record"), record)
            return found
        return _registered(name)

    def usable(self, echo: Callable[[str], None] = lambda _: None) -> list[Analysis[Any]]:
        """The records of all analyses that can be loaded; ``echo`` gets the reason for each that cannot."""
        found = []
        for name in self:
            try:
                found.append(self[name])
            except InputError as error:
                echo(f"note: {error}; it is left out")
        return found

    def settings(self, name: str) -> type[Any]:
        """The class of an analysis' settings; of ours without loading torch."""
        if name in OURS:
            package, settings, _ = OURS[name]
            found: type[Any] = getattr(importlib.import_module(f"a2mim.analysis.{package}.settings"), settings)
            return found
        return self[name].settings

    def asks(self, name: str) -> Asks:
        """What an analysis takes besides its settings; of ours without loading torch."""
        if name in OURS:
            found: Asks = self.settings(name).asks
            return found
        record = self[name]
        return Asks(record.load, record.most, record.batch_size)


def _registered(name: str) -> Analysis[Any]:
    for one in entry_points(group=GROUP, name=name):
        try:
            found: Analysis[Any] = one.load()
        except Exception as error:  # another package's own fault, whatever it is
            raise InputError(f"analysis '{name}' of {one.value} cannot be loaded: {error}") from error
        if found.name != name:
            raise InputError(f"analysis '{name}' of {one.value} calls itself '{found.name}'; the two must be equal")
        return found
    raise KeyError(name)


ANALYSES = _Analyses()
