"""Settings of analyses: dataclasses of ``option(...)``, from which flags, JSON and report are made; no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from a2mim import settings

Kind = Literal["classifiers", "encoders", "masked models"]


@dataclass(frozen=True)
class Asks:
    """What an analysis takes besides its settings; ``asks`` of its class of settings.

    Args:
        load: what its subjects are.
        most: images without ``--images``; None: all.
        batch_size: images in one forward pass by default; None: the fastest by a short trial.
        images: the default number of images in words, where ``most`` does not say it.
        files: whether image files may be given instead of a data set.
    """

    load: Kind
    most: int | None = None
    batch_size: int | None = None
    images: str = ""
    files: bool = False


def option(
    default: Any,
    meaning: str,
    choices: Iterable[str] = (),
    between: tuple[float, float] | None = None,
    *,
    flag: str = "",
    kind: str = "",
    shown: str = "",
) -> Any:
    """A field of an analysis' settings, and with it a flag.

    Args:
        default: also of the flag.
        meaning: the help text: capital letter, noun or verb first, full stop.
        choices, between: allowed values; the range includes its ends.
        flag: its name, where it is not the field's; "none" makes no flag.
        kind: how the command line reads it, where the type does not say: see ``a2mim.commands._types.KINDS``.
        shown: the default in words, where it follows from the networks or the images.
    """
    found = settings.option(default, meaning, choices, between)
    metadata = {**found.metadata, "flag": flag, "kind": kind, "shown": shown}
    return dataclasses.field(default=default, metadata=metadata)
