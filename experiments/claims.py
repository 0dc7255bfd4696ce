"""A claim of the paper that can be run: stages, tables, findings.

Each claim is one module. Its docstring states the claim, its place in the paper, the command, the cost, and what would
support or oppose it. Its ``CLAIM`` names the trainings and analyses that the claim needs, turns their results into tidy
tables and compares them. ``python -m a2mim.experiments.<module> --scale demo`` runs it.
"""

from __future__ import annotations

import datetime
import json
import platform
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pandas as pd
import torch

from a2mim import files
from a2mim.errors import InputError, RunError

from . import stages
from .findings import Finding
from .stages import Stage
from .trainings import SCALES, Scale, scale_of

Tables = Mapping[str, pd.DataFrame]
VERSIONS = ("a2mim", "torch", "timm", "numpy")


@dataclass(frozen=True)
class Claim:
    """What the module of a claim declares.

    Args:
        doc: docstring of the module; its first paragraph is the claim.
        place: place of the claim in the paper.
        tables: names of the tables that it makes.
        stages: the stages to run at a scale; none if the claim is not run here.
        collect: tables by name, from the folders of the stages.
        findings: verdicts from the tables.
        pictures: files with pixels in the folders of the stages, by the name of their copy; not part of any table.
        drawn: figures and tables of the paper that show the claim, by their names in ``gallery``.
    """

    doc: str
    place: str
    tables: tuple[str, ...]
    stages: Callable[[Scale], list[Stage]]
    collect: Callable[[Scale, Path], dict[str, pd.DataFrame]]
    findings: Callable[[Tables], list[Finding]]
    pictures: Callable[[Scale, Path], dict[str, Path]] = lambda *_: {}
    drawn: tuple[str, ...] = ()

    @property
    def statement(self) -> str:
        """The claim in one sentence."""
        return " ".join(self.doc.strip().split("\n\n")[0].split())


def measured(scale: Scale, output: Path, file: str, analysis: Callable[[Scale, str, int], Stage]) -> pd.DataFrame:
    """One table of an analysis over all networks and seeds that are complete; empty if none is.

    Args:
        file: name of the table in the folders of the analysis.
        analysis: scale, network, seed -> its stage, whose checkpoints are named after their variants.
    """
    found = []
    for network, seed in scale.each():
        stage = analysis(scale, network, seed)
        if not stages.complete(stage, output):
            continue
        table = pd.read_csv(stage.folder(output) / f"{file}.csv")
        about = {"network": scale.networks[network].label, "method": table["checkpoint"], "seed": seed}
        called = [f"{network}-{variant}-{seed}" for variant in table["checkpoint"]]
        found.append(pd.DataFrame({"checkpoint": called, **about}).join(table.drop(columns="checkpoint")))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def accuracies(scale: Scale, output: Path, classifiers: Iterable[tuple[dict[str, Any], Stage]]) -> pd.DataFrame:
    """One row per complete classifier: the given columns, and top-1 (%) and cross-entropy of the last epoch."""
    rows = []
    for about, stage in classifiers:
        if not stages.complete(stage, output):
            continue
        last = pd.read_csv(stage.folder(output) / "summary.csv").iloc[-1]
        rows.append({**about, "top1": last["top1"], "val_loss": last["val_loss"]})
    return pd.DataFrame(rows)


def run(
    claims: Sequence[Claim],
    scale: Scale,
    output: Path,
    results: Path,
    execute: Callable[[Sequence[str]], int] | None = stages.execute,
) -> None:
    """Run the claims' stages that are not complete, and write the claims' tables to ``results``.

    Args:
        execute: runs a command; with None nothing is run, and complete stages give the tables.

    Raises:
        RunError: a command failed; complete stages stay.
    """
    todo = [stage for claim in claims for stage in claim.stages(scale)]
    if execute:
        stages.run(todo, output, execute)
    for claim in claims:
        for name, table in claim.collect(scale, output).items():
            if len(table):
                files.write_text(results / f"{name}.csv", table.to_csv(index=False))
        for name, picture in claim.pictures(scale, output).items():
            if not picture.is_file():
                continue
            with files.atomic(results / name) as partial:
                shutil.copyfile(picture, partial)
    _describe(scale, todo, output, results)


def read_tables(claim: Claim, results: Path) -> dict[str, pd.DataFrame]:
    """The tables of a claim that a folder of results has."""
    there = {name: results / f"{name}.csv" for name in claim.tables}
    return {name: pd.read_csv(path) for name, path in there.items() if path.is_file()}


def found(claim: Claim, results: Path) -> list[Finding]:
    """Findings of the claim from a folder of results; none if a table is missing."""
    tables = read_tables(claim, results)
    return claim.findings(tables) if claim.tables and len(tables) == len(claim.tables) else []


def _describe(scale: Scale, todo: Iterable[Stage], output: Path, results: Path) -> None:
    """Write about.json: scale, machine, versions, and the command and time of each stage.

    Stages that it listed before stay listed. It is left as it is if no stage is complete in ``output``: then nothing
    was measured here and now.
    """
    path = results / "about.json"
    before = json.loads(path.read_text(encoding="utf-8")).get("stages", {}) if path.is_file() else {}
    listed = {
        stage.name: {"command": stage.command, "seconds": stages.seconds(stage, output)}
        for stage in stages.in_order(todo)
        if stages.complete(stage, output)
    }
    if before and not listed:
        return
    machine = {"architecture": platform.machine(), "system": platform.system(), "python": platform.python_version()}
    machine["GPU"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    about = {
        "scale": scale.name,
        "data": scale.data or "the embedded images",
        "seeds": scale.seeds,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": {name: version(name) for name in VERSIONS},
        "stages": {**before, **listed},
    }
    files.write_json(path, about)


def options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that every claim has."""
    for option in (
        click.option("--plan", is_flag=True, help="Print the commands and the cost, then exit."),
        click.option("--collect", is_flag=True, help="Run nothing; make the tables from complete runs."),
        click.option("--seed", "seeds", type=int, multiple=True, help="Seed; repeatable.  [default: the scale's]"),
        click.option("--data-dir", help="Folder of images.  [default: that of the scale]"),
        click.option("--results", help="Folder for the tables.  [default: results in OUTPUT]"),
        click.option("--output", help="Folder for the runs.  [default: runs/claims-SCALE]"),
        click.option(
            *("--scale", "name"),
            type=click.Choice(list(SCALES)),
            default="demo",
            show_default=True,
            help="How much is trained and measured, and on which images.",
        ),
    ):
        command = option(command)
    return command


def start(
    claims: Sequence[Claim],
    name: str,
    output: str | None,
    results: str | None,
    data_dir: str | None,
    seeds: tuple[int, ...],
    plan: bool,
    collect: bool,
) -> Path | None:
    """Plan, or run the claims; returns the folder of the results, or None after ``--plan``."""
    try:
        scale = scale_of(name, data_dir if data_dir or name != "paper" or not plan else "IMAGENET", seeds)
        folder = Path(output or f"runs/claims-{name}")
        if plan:
            show_plan(claims, scale, folder)
            return None
        place = Path(results or folder / "results")
        run(claims, scale, folder, place, None if collect else stages.execute)
    except (InputError, RunError, OSError) as error:
        raise click.ClickException(str(error)) from error
    return place


def show_plan(claims: Sequence[Claim], scale: Scale, output: Path) -> None:
    """Print the commands in order and what they cost."""
    todo = [stage for claim in claims for stage in claim.stages(scale)]
    for line in stages.plan(todo, output):
        click.echo(line)
    for claim in claims:
        if not claim.stages(scale):
            click.echo("\n".join(f"# {line}".rstrip() for line in claim.doc.strip().splitlines()))
    if todo:
        click.echo(f"# {len(stages.in_order(todo))} commands; cost: {scale.cost}")


def show(claim: Claim, results: Path) -> None:
    """Print the claim and its findings."""
    click.secho(f"\n{claim.statement}  ({claim.place})", bold=True)
    for finding in found(claim, results):
        click.echo(f"* {finding.statement}\n    {finding.measured}\n    -> {finding.verdict}")


def main(claim: Claim) -> None:
    """The command line of one claim."""

    @click.command(help=claim.doc.strip().replace("\n\n", "\n\n\b\n", 1))
    @options
    def command(**given: Any) -> None:
        results = start([claim], **given)
        if results and not claim.tables:
            click.echo(claim.doc.strip())
        elif results:
            show(claim, results)
            click.echo(f"\ntables: {results}")

    command()
