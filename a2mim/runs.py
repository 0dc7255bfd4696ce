"""A run: the folder that a training command writes.

args.yaml (every setting), log.jsonl (one line for each log interval and event), summary.csv (one row for each epoch),
last.pth.tar, checkpoint-N.pth.tar, model_best.pth.tar, backbone.safetensors.
"""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from a2mim import checkpoint, files
from a2mim.errors import InputError

# settings that may differ when a run goes on: they change where or how long it runs, not what it computes
FREE_ON_RESUME = {
    "epochs",
    "device",
    "workers",
    "log_interval",
    "checkpoint_hist",
    "recovery_interval",
    "picture_interval",
}


class Run:
    """The folder of one run; every write is atomic or appends one whole line."""

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, output: str | Path, experiment: str) -> Run:
        """A new run ``output/experiment``, with -2, -3, ... where that exists; the first write makes the folder."""
        path, number = Path(output) / experiment, 1
        while path.exists():
            number += 1
            path = Path(output) / f"{experiment}-{number}"
        return cls(path)

    @property
    def last(self) -> Path:
        return self.path / checkpoint.LAST

    def write_settings(self, values: Mapping[str, Any]) -> None:
        files.write_text(self.path / "args.yaml", yaml.safe_dump(dict(values), sort_keys=False))

    def check_settings(self, values: Mapping[str, Any]) -> None:
        """Raise InputError, with both values, where a resumed run is given other settings than it began with."""
        file = self.path / "args.yaml"
        begun = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
        for key, value in yaml.safe_load(yaml.safe_dump(dict(values))).items():  # a tuple is a list in YAML
            if key in begun and key not in FREE_ON_RESUME and begun[key] != value:
                raise InputError(f"{self.path} was begun with {key}={begun[key]}, and cannot go on with {key}={value}")

    def log(self, event: str, **values: Any) -> None:
        """Append one line to log.jsonl."""
        self.path.mkdir(parents=True, exist_ok=True)
        line = json.dumps({"time": round(time.time(), 3), "event": event, **values})
        with open(self.path / "log.jsonl", "a", encoding="utf-8") as handle:
            handle.write(line + "\n")

    def write_row(self, row: Mapping[str, Any]) -> None:
        """Add an epoch to summary.csv; rows of that epoch and later ones, of an abandoned course, go."""
        file = self.path / "summary.csv"
        rows: list[Mapping[str, Any]] = []
        if file.is_file():
            with open(file, newline="", encoding="utf-8") as handle:
                rows = [old for old in csv.DictReader(handle) if int(old["epoch"]) < row["epoch"]]
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(row), extrasaction="ignore", restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows([*rows, row])
        files.write_text(file, text.getvalue())

    def keep(self, state: Mapping[str, Any], *, epoch: int | None = None, history: int = 0, best: bool = False) -> None:
        """Save ``state`` as last.pth.tar; at the end of ``epoch`` also as checkpoint-N, and as the best when it is."""
        checkpoint.save_checkpoint(self.last, state)
        if best:
            checkpoint.save_checkpoint(self.path / checkpoint.BEST, _weights(state))
        if epoch is not None and history:
            checkpoint.save_checkpoint(self.path / f"checkpoint-{epoch}.pth.tar", _weights(state))
            numbered = sorted(self.path.glob("checkpoint-*.pth.tar"), key=_number)
            for old in numbered[:-history]:
                old.unlink()

    def export(self, state: Mapping[str, Any]) -> None:
        """Write backbone.safetensors: the encoder alone, with plain timm names."""
        checkpoint.export_safetensors(self.path / checkpoint.BACKBONE, state, encoder_only=True)


def _weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint without what only a resume needs."""
    return {key: value for key, value in state.items() if key not in ("optimizer", "scaler", "extra", "progress")}


def _number(path: Path) -> int:
    return int(path.name.removeprefix("checkpoint-").removesuffix(".pth.tar"))
