"""Long experiments as stages: each stage is one public command that writes one folder.

A stage that is complete (same command, same inputs) is not run again; a stage that was stopped is resumed; a stage that
was run with other settings is renamed (``NAME.old-1``) and run again. Several processes may work on the same stages in
one folder: each takes stages that no other is running. The state of a stage is in ``<output>/stages/<name>.json``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from a2mim import checkpoint, files
from a2mim.errors import RunError

WAIT = 2.0  # seconds between two checks of the stages that other processes run


@dataclass(frozen=True)
class Stage:
    """One command and the folder that it writes.

    Args:
        name: name of the folder; stages that share an output folder need distinct names.
        command: a public command without its output flags; ``{name}`` stands for the folder of stage ``name``.
        needs: stages whose folders the command reads.
    """

    name: str
    command: str
    needs: tuple[Stage, ...] = ()

    @property
    def trains(self) -> bool:
        return self.command.split()[0] != "a2mim-analyze"

    @property
    def fingerprint(self) -> str:
        """Hash of the command and of all stages it needs. A recipe counts by its name; its content is not read."""
        parts = [self.command, *(f"{need.name}={need.fingerprint}" for need in self.needs)]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]

    def folder(self, output: Path) -> Path:
        return output / self.name

    def arguments(self, output: Path) -> list[str]:
        """The command with its folders; a training that has a checkpoint resumes from it."""
        folders = {need.name: shlex.quote(str(need.folder(output))) for need in self.needs}
        words = shlex.split(self.command.format_map(folders))
        if not self.trains:  # analyses resume by themselves
            return [*words, "--output", str(self.folder(output))]
        resume = ["--resume", str(self.folder(output))] if (self.folder(output) / checkpoint.LAST).is_file() else []
        return [*words, "--output", str(output), "--experiment", self.name, *resume]


def in_order(stages: Iterable[Stage]) -> list[Stage]:
    """The stages and all stages they need, each once, in the order in which they can run.

    Raises:
        ValueError: two different stages have the same name.
    """
    found: dict[str, Stage] = {}
    for stage in stages:
        for one in (*in_order(stage.needs), stage):
            if found.setdefault(one.name, one) != one:
                raise ValueError(f"two stages have the name {one.name}: {found[one.name].command} and {one.command}")
    return list(found.values())


def complete(stage: Stage, output: Path) -> bool:
    """Whether the stage was run to its end, with its present command, and its folder is there."""
    record = _record(stage, output)
    return record.get("fingerprint") == stage.fingerprint and "seconds" in record and stage.folder(output).is_dir()


def seconds(stage: Stage, output: Path) -> float:
    """How long a complete stage took."""
    return float(_record(stage, output)["seconds"])


def execute(command: Sequence[str]) -> int:
    """Run one of our commands in its own process; returns its exit status."""
    program, *arguments = command
    return subprocess.run([str(Path(sys.executable).parent / program), *arguments], check=False).returncode


def run(stages: Iterable[Stage], output: str | Path, execute: Callable[[Sequence[str]], int] = execute) -> None:
    """Run all stages that are not complete.

    Raises:
        RunError: a command failed; complete stages stay, and the same call continues from there.
    """
    output, left = Path(output), in_order(stages)
    total = len(left)
    while left := [stage for stage in left if not complete(stage, output)]:
        ready = [stage for stage in left if all(complete(need, output) for need in stage.needs)]
        place = f"[{total - len(left) + 1}/{total}]"
        if not any(_try(stage, output, place, execute) for stage in ready):
            time.sleep(WAIT)  # other processes run all stages that are ready


def plan(stages: Iterable[Stage], output: str | Path) -> list[str]:
    """The commands in order, as one would type them; complete ones are marked."""
    output = Path(output)
    lines = []
    for stage in in_order(stages):
        done = "   # complete" if complete(stage, output) else ""
        lines.append(shlex.join(stage.arguments(output)) + done)
    return lines


def _try(stage: Stage, output: Path, place: str, execute: Callable[[Sequence[str]], int]) -> bool:
    """Run a stage unless another process runs it; returns whether this process had it."""
    with _claim(output / "stages" / f"{stage.name}.lock") as mine:
        if not mine or complete(stage, output):
            return mine
        _make_way(stage, output)
        command = stage.arguments(output)
        click.secho(f"{place} $ {shlex.join(command)}", bold=True)
        about: dict[str, Any] = {"fingerprint": stage.fingerprint, "command": stage.command}
        about["needs"] = [need.name for need in stage.needs]
        before = _record(stage, output)  # if the same command was stopped
        spent = before.get("spent", 0.0) if before.get("fingerprint") == stage.fingerprint else 0.0
        files.write_json(_place(stage, output), about | {"spent": spent})
        started = time.perf_counter()
        try:
            code = execute(command)
        finally:
            spent = round(spent + time.perf_counter() - started, 1)
            files.write_json(_place(stage, output), about | {"spent": spent})
        if code:
            raise RunError(f"stage {stage.name} ended with status {code}; the same command continues from there")
        about |= {"seconds": spent, "machine": platform.machine()}
        files.write_json(_place(stage, output), about)
        return True


@contextmanager
def _claim(path: Path) -> Iterator[bool]:
    """Take a lock; yields whether it was free. It is released when the process ends, in whatever way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def _make_way(stage: Stage, output: Path) -> None:
    """Set aside a folder with other settings, or of a training that was stopped before it saved a checkpoint."""
    folder = stage.folder(output)
    if not folder.exists():
        return
    same = _record(stage, output).get("fingerprint") == stage.fingerprint
    if same and (not stage.trains or (folder / checkpoint.LAST).is_file()):
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(aside)
    click.echo(f"{folder} was made with other settings or has no checkpoint; renamed to {aside.name}")


def _place(stage: Stage, output: Path) -> Path:
    return output / "stages" / f"{stage.name}.json"


def _record(stage: Stage, output: Path) -> dict[str, Any]:
    try:
        return json.loads(_place(stage, output).read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return {}
