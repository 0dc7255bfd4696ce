"""Names that settings may take and that the code behind them shares; without torch, so that ``--help`` stays fast."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

FILLS = ("image-mean", "visible-mean", "dataset-mean", "zero", "black", "blur", "noise")
TOKENS = ("add", "replace", "none")
ROUNDINGS: Mapping[str, Callable[[float], int]] = MappingProxyType(
    {"ceil": math.ceil, "floor": math.floor, "nearest": lambda number: math.floor(number + 0.5)}
)
