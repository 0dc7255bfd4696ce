"""Where a training stands: the named numbers that a checkpoint keeps and a resume takes up."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a2mim.errors import InputError


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        epoch: completed epochs.
        batch: completed batches of the present epoch.
        updates: updates of the whole run, skipped ones included.
        skipped, skipped_in_row: updates without a finite loss or gradient; the second since the last finite one.
        best: best value of the task's metric so far.
        sums, counts: of the present epoch, by name: sum of a value over images, and the number of images.
    """

    epoch: int = 0
    batch: int = 0
    updates: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    best: float = -math.inf
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def as_values(self) -> dict[str, Any]:
        """Plain values, as a checkpoint holds them."""
        values = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return {**values, "sums": dict(self.sums), "counts": dict(self.counts)}

    @classmethod
    def from_values(cls, values: Any, file: str | Path) -> Progress:
        """What ``as_values`` gave.

        Raises:
            InputError: unknown or missing names, or a value of the wrong type; the message names ``file``.
        """
        known = {entry.name for entry in dataclasses.fields(cls)}
        found = set(values) if isinstance(values, Mapping) else set()
        if found != known:
            wrong = [f"unknown: {', '.join(sorted(map(str, found - known)))}"] if found - known else []
            wrong += [f"missing: {', '.join(sorted(known - found))}"] if known - found else []
            raise InputError(f"cannot resume from {file}: the keys of its progress are wrong ({'; '.join(wrong)})")
        for name, kind in (("best", float), ("sums", dict), ("counts", dict), *((name, int) for name in _COUNTS)):
            value = values[name]
            negative = name in _COUNTS and isinstance(value, int) and value < 0
            if not isinstance(value, kind) or isinstance(value, bool) or negative:
                rule = "a whole number from 0" if name in _COUNTS else f"of type {kind.__name__}"
                raise InputError(f"cannot resume from {file}: its progress has {name}={value!r}, which must be {rule}")
        sums, counts = defaultdict(float, values["sums"]), defaultdict(int, values["counts"])
        return cls(**{**values, "sums": sums, "counts": counts})

    def add(self, values: Mapping[str, float], images: int) -> None:
        """Add the means of one batch to the sums of the epoch."""
        for name, value in values.items():
            self.sums[name] += value * images
            self.counts[name] += images

    def means(self) -> dict[str, float]:
        """Means over the images of the present epoch."""
        return {name: value / self.counts[name] for name, value in self.sums.items()}

    def end_epoch(self) -> None:
        """Go to the start of the next epoch."""
        self.sums.clear()
        self.counts.clear()
        self.epoch, self.batch = self.epoch + 1, 0


_COUNTS = ("epoch", "batch", "updates", "skipped", "skipped_in_row")
