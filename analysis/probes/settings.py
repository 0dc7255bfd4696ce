"""Settings of the analyses ``spectrum`` and ``variance``; no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from a2mim.errors import InputError

from ..core.options import Asks, option

LAYERS = "stem and all blocks"


def _layers() -> Any:
    return option(
        None,
        "Layer, as in named_modules(), once for each; BLOCK:attn is the stream after a block's attention.",
        flag="layer",
        kind="names",
        shown=LAYERS,
    )


@dataclass(frozen=True)
class SpectrumSettings:
    """Relative log amplitude of the feature maps' Fourier transform by depth (section 3.3, Figure 3 a)."""

    asks: ClassVar = Asks("encoders", most=1000, batch_size=64)

    layers: tuple[str, ...] | None = _layers()
    reduction: str = option(
        "diagonal",
        "What is taken of the two-dimensional spectrum: its half diagonal, as published, or the mean over rings.",
        ("diagonal", "radial"),
    )
    frequency: float | None = option(
        None,
        "Frequency at which all layers are compared, in units of pi.",
        kind="share",
        shown="the highest that all of them have",
    )

    def __post_init__(self) -> None:
        if self.frequency is not None and not 0 < self.frequency <= 1:
            raise InputError(f"frequency {self.frequency} must be above 0 and at most 1, in units of π")

    def to_json(self) -> dict[str, Any]:
        """As parts hold them: another frequency needs no new measuring."""
        return {"layers": None if self.layers is None else list(self.layers), "reduction": self.reduction}


@dataclass(frozen=True)
class VarianceSettings:
    """Spatial variance of the feature maps by depth (section 3.3, Figure 3 b)."""

    asks: ClassVar = Asks("encoders", most=1000, batch_size=64)

    layers: tuple[str, ...] | None = _layers()
    kind: str = option("variance", "What is measured.", ("variance", "std"))
    ddof: int = option(1, "Divide by H·W - ddof.", between=(0, 1))

    def to_json(self) -> dict[str, Any]:
        """As parts hold them."""
        return asdict(self) | {"layers": None if self.layers is None else list(self.layers)}
