"""Globs over the names of tensors, quick enough to try a table of formats on a thousand names."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Collection


def fits(name: str, globs: tuple[str, ...]) -> bool:
    """Whether the name fits one of the globs (``*``, ``?``, ``[0-9]``; a ``*`` goes over dots)."""
    return bool(globs) and _pattern(globs).match(name) is not None


def any_fits(names: Collection[str], globs: tuple[str, ...]) -> bool:
    """Whether one of the names (best a set or a dictionary) fits one of the globs."""
    plain = [glob for glob in globs if not any(character in glob for character in "*?[")]
    if any(glob in names for glob in plain):
        return True
    return len(plain) < len(globs) and any(map(_pattern(globs).match, names))


@functools.cache
def _pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs))
