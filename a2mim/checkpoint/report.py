"""What the loader says about a file: ``LoadReport``, which ``a2mim-checkpoint inspect`` prints."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class LoadReport:
    """What the loader found in a file, and what became of it; ``str()`` is what ``a2mim-checkpoint inspect`` prints.

    ``coverage`` is the share, 0 to 1, of the encoder's parameters (classifier left out) that got a value from the file.
    The lists hold names of tensors: ``matched`` and ``missing`` by timm's names, ``unexpected`` (no place in the model)
    and ``dropped`` (left out on purpose) by the file's; ``reshaped`` were fitted to another shape. ``parts`` groups the
    dropped ones (decoder, projection head, momentum encoder); ``notes`` says what was assumed or changed.
    """

    path: str
    format: str
    kind: str
    arch: str
    model_args: dict[str, Any]
    num_classes: int
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    has_classifier: bool
    has_head: bool
    parameters: int
    coverage: float
    matched: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    parts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    epoch: int | None = None
    args: dict[str, Any] = field(default_factory=dict)  # settings of the run that wrote the file, where it says them
    names: str = "timm"  # dialect in which the file names its layers
    which: str = ""  # the encoder taken, of ``choices``
    choices: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(name for names in self.parts.values() for name in names)

    def remarks(self) -> list[str]:
        """What a user has to know about how the network was loaded; empty where nothing was assumed or missing."""
        lines = [f"taken:{self._choice()[1:]}"] if self._choice() else []
        if self.coverage < 1:
            lines.append(f"{percent(self.coverage)} of the encoder's parameters are in the file")
        return lines + [f"note: {note}" for note in self.notes]

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {**asdict(self), "dropped": self.dropped}

    def __str__(self) -> str:
        size = "x".join(map(str, self.input_size))
        args = ", ".join(f"{key}={value}" for key, value in self.model_args.items())
        epoch = "" if self.epoch is None else f", epoch {self.epoch}"
        rows = [
            ("file", self.path),
            ("format", f"{self.format}, {self.kind}{epoch}{self._choice()}"),
            ("layers named as", self.names),
            ("architecture", f"{self.arch}({args}), {self.parameters / 1e6:.2f} million parameters"),
            ("input", f"{size}, mean {_numbers(self.mean)}, std {_numbers(self.std)}"),
            ("classifier", f"{self.num_classes} classes" if self.has_classifier else "none"),
            ("reconstruction head", "yes" if self.has_head else "none"),
            ("coverage", f"{percent(self.coverage)} of the encoder's parameters"),
        ]
        rows += [("", f"{group:<14}{counts}") for group, counts in self._groups()]
        for label in ("missing", "unexpected", "reshaped"):
            names = getattr(self, label)
            rows.append((label, f"{len(names)} ({some(names)})" if names else "0"))
        rows += [("dropped", f"{part}: {len(names)} ({some(names, 2)})") for part, names in self.parts.items()]
        rows += [("note", note) for note in self.notes]
        return "\n".join(f"{label + ':' if label else '':<21}{text}" for label, text in rows)

    def _choice(self) -> str:
        others = [label for label in self.choices if label != self.which]
        return f", encoder '{self.which}' (--which: {', '.join(others)})" if others else ""

    def _groups(self) -> list[tuple[str, str]]:
        """Counts of matched, missing, unexpected and reshaped tensors for each top-level module."""
        kinds = ("matched", "missing", "unexpected", "reshaped")
        counts = {kind: Counter(name.split(".")[0] for name in getattr(self, kind)) for kind in kinds}
        groups = dict.fromkeys(name.split(".")[0] for kind in kinds for name in getattr(self, kind))
        return [
            (group, ", ".join(f"{counts[kind][group]} {kind}" for kind in kinds if counts[kind][group]))
            for group in groups
        ]


def some(names: Iterable[str], limit: int = 4) -> str:
    """The first names and how many more there are, for messages."""
    names = tuple(name if name.isprintable() else ascii(name) for name in names)  # a damaged file's may hold anything
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"


def percent(share: float) -> str:
    """A share in words, rounded down."""
    return f"{math.floor(share * 1000) / 10:.1f}%"  # 99.97 % is not 100 %


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
