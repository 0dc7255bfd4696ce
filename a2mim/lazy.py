"""Names that are imported when first used, so that ``--help`` and ``import a2mim`` answer without loading torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], modules: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a package; a TYPE_CHECKING block serves type checkers.

    Args:
        package: its ``__name__``.
        names: module (``.curves`` within the package, or absolute) -> the public names that it holds.
        modules: public sub-modules.
    """
    home = {name: module for module, found in names.items() for name in found}
    every = sorted([*home, *modules])

    def getter(name: str) -> Any:
        if name in home:
            return getattr(importlib.import_module(home[name], package), name)
        if name in modules:
            return importlib.import_module(f"{package}.{name}")
        raise AttributeError(f"module '{package}' has no attribute '{name}'")

    return getter, lambda: every, every
