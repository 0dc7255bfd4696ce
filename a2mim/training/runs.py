"""A run: the folder that a training command writes.

args.yaml (every setting), log.jsonl (one line per log interval and event; the events "begin" and "resume" hold the
command line and the recipe), summary.csv (one row per epoch), last.pth.tar, checkpoint-N.pth.tar, model_best.pth.tar,
backbone.safetensors.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from a2mim import checkpoint, files
from a2mim.errors import InputError

# settings that may change on resume: they change where or how long a run computes, not what
FREE_ON_RESUME = {
    "epochs",
    "device",
    "workers",
    "log_interval",
    "checkpoint_hist",
    "recovery_interval",
    "picture_interval",
    "val_interval",
    "torchcompile",
    "grad_checkpointing",
    # these two only with equal images per update
    "batch_size",
    "grad_accum_steps",
    "log_tensorboard",
    "log_wandb",
}


class Run:
    """The folder of one run; every write is atomic or appends one complete line.

    Args:
        path: the folder.
        writes: False in all processes but the first, which alone writes.
    """

    def __init__(self, path: str | Path, writes: bool = True):
        self.path = Path(path)
        self.writes = writes

    @classmethod
    def create(cls, output: str | Path, experiment: str) -> Run:
        """A new run ``output/experiment``, with -2, -3, ... if that exists; the first write creates the folder."""
        path, number = Path(output) / experiment, 1
        while path.exists():
            number += 1
            path = Path(output) / f"{experiment}-{number}"
        return cls(path)

    @property
    def last(self) -> Path:
        return self.path / checkpoint.LAST

    def write_settings(self, values: Mapping[str, Any]) -> None:
        if not self.writes:
            return
        files.write_text(self.path / "args.yaml", yaml.safe_dump(dict(values), sort_keys=False))

    def check_settings(self, values: Mapping[str, Any], world: int = 1, begun_world: int = 1) -> None:
        """Raise InputError, with both values, if a resumed run is given other settings than it was started with.

        Batch size, accumulation and processes may change together, as long as the images per update stay equal.
        """
        file = self.path / "args.yaml"
        begun = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        now = yaml.safe_load(yaml.safe_dump(dict(values), sort_keys=False))  # a tuple is a list in YAML
        before, after = _images_per_update(begun, begun_world), _images_per_update({**begun, **now}, world)
        if begun and math.prod(before) != math.prod(after):
            raise InputError(
                f"{self.path} was started with {_product(*before)} images per update and cannot continue with "
                f"{_product(*after)}: batch_size x grad_accum_steps x processes must stay equal"
            )
        for key, value in now.items():
            if key in begun and key not in FREE_ON_RESUME and begun[key] != value:
                raise InputError(
                    f"{self.path} was started with {key}={begun[key]} and cannot continue with {key}={value}"
                )

    def log(self, event: str, **values: Any) -> None:
        """Append one line to log.jsonl."""
        if not self.writes:
            return
        self.path.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "event": event, **values})
        file = self.path / "log.jsonl"
        try:
            with open(file, "ab") as handle:
                handle.write(line.encode() + b"\n")
        except OSError as error:
            error.filename = str(file)
            raise

    def tidy(self) -> None:
        """Remove what a process that was killed during a write has left: temporary files, half a line of the log."""
        if not self.writes:
            return
        files.clean(self.path)
        log = self.path / "log.jsonl"
        if log.is_file() and not (text := log.read_bytes()).endswith(b"\n"):
            os.truncate(log, text.rfind(b"\n") + 1)

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Add an epoch to summary.csv; rows of that epoch and later ones are replaced (after a resume)."""
        if not self.writes:
            return
        file = self.path / "summary.csv"
        rows: list[Mapping[str, Any]] = []
        if file.is_file():
            with open(file, newline="", encoding="utf-8") as handle:
                rows = [old for old in csv.DictReader(handle) if int(old["epoch"]) < row["epoch"]]
        text = io.StringIO()
        columns = dict.fromkeys([*row, *(name for old in rows for name in old)])  # not every epoch is evaluated
        writer = csv.DictWriter(text, fieldnames=list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])
        files.write_text(file, text.getvalue())

    def keep(self, state: Mapping[str, Any], *, epoch: int | None = None, history: int = 0, best: bool = False) -> None:
        """Save ``state`` as last.pth.tar; at the end of ``epoch`` also as checkpoint-N, and as the best if it is.

        last.pth.tar comes last: a run killed in between resumes from before the epoch and writes all of them again.
        """
        if not self.writes:
            return
        if best:
            checkpoint.save_checkpoint(self.path / checkpoint.BEST, _weights(state))
        if epoch is not None and history:
            checkpoint.save_checkpoint(self.path / f"checkpoint-{epoch}.pth.tar", _weights(state))
        checkpoint.save_checkpoint(self.last, state)
        if epoch is not None and history:
            for old in sorted(self.path.glob("checkpoint-*.pth.tar"), key=_number)[:-history]:
                old.unlink()

    def export(self, state: Mapping[str, Any]) -> None:
        """Write backbone.safetensors: only the encoder, with timm's names."""
        if not self.writes:
            return
        checkpoint.export_safetensors(self.path / checkpoint.BACKBONE, state, encoder_only=True)


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint without the entries that only a resume needs."""
    return {
        key: value
        for key, value in state.items()
        if key not in ("optimizer", "scaler", "extra", "progress", "processes")
    }


def _images_per_update(values: Mapping[str, Any], world: int) -> tuple[int, int, int]:
    """Factors of the images per update: batch size, accumulated batches, processes."""
    return int(values.get("batch_size", 1)), int(values.get("grad_accum_steps", 1)), world


def _product(batch_size: int, steps: int, world: int) -> str:
    return f"{batch_size * steps * world} ({batch_size} x {steps} x {world})"


def _number(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-").removesuffix(".pth.tar"))
