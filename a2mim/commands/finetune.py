"""``a2mim-finetune``: a classifier from a pre-trained encoder, any checkpoint, or from scratch."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a2mim import recipes
from a2mim.commands import _common
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings

if TYPE_CHECKING:
    from a2mim.training.runs import Run

KINDS = {"knn": "knn", "linear": "linear", "from_scratch": "scratch"}  # flag -> first word of the run's name


class SeedsCommand(click.Command):
    """Accepts ``--seeds 0 1 2`` as well as ``--seeds 0,1,2``; click only reads the second form."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        joined = list(args)
        if "--seeds" in joined:
            start = joined.index("--seeds") + 1
            numbers = list(itertools.takewhile(lambda text: text.rstrip(",").isdecimal(), joined[start:]))
            joined[start : start + len(numbers)] = [",".join(numbers)] if numbers else []
        return super().parse_args(ctx, joined)


@click.command(cls=SeedsCommand, context_settings=_common.CONTEXT)
@click.argument("checkpoint", required=False)
@click.option("-c", "--config", metavar="NAME|PATH", help="Recipe (YAML). Flags override it.")
@click.option("--output", default="runs", show_default=True, help="Folder in which runs are created.")
@click.option("--experiment", help="Name of the run.  [default: <recipe, or finetune>-<checkpoint or model>]")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="auto",
    metavar="[auto|RUN]",
    help="Continue a run from its last checkpoint; auto is the newest.",
)
@click.option(
    "--seeds", metavar="N N ...", help="Run one trial per seed, and write a table with mean and standard deviation."
)
@_common.list_recipes("a2mim-finetune")
@_common.WHICH
@_common.TRUST
@_common.settings_options(FinetuneSettings)
@_common.clear_errors
def main(
    checkpoint: str | None,
    config: str | None,
    output: str,
    experiment: str | None,
    resume: str | None,
    seeds: str | None,
    which: str | None,
    trust: bool,
    **flags: Any,
) -> None:
    """Train a classifier on CHECKPOINT (a run's folder or a file).

    The whole network is trained; --linear trains only the classifier, --knn nothing: it classifies by nearest
    neighbours. Without --config, the embedded images are trained by recipe fashion-finetune (--linear: fashion-linear),
    other images by the defaults below (--linear: recipe linear-moco).
    """
    values = _common.given(flags)
    kind = next((name for flag, name in KINDS.items() if values.get(flag)), _common.stem(config or "finetune"))
    experiment = experiment or f"{kind}-{_common.stem(checkpoint or values.get('model') or 'default')}"
    reading = {"which": which, "trust": trust}
    if values.get("knn"):
        if resume or seeds:
            raise InputError("--knn trains nothing: remove --resume and --seeds")
        if values.get("linear"):
            raise InputError("--knn and --linear exclude each other: give one of them")
        _classify_by_neighbours(checkpoint, config, values, Path(output, experiment), reading)
        return
    from a2mim.training import trials

    folder = trials.trials_folder(output, experiment, resume) if seeds else None
    begun = trials.begun_settings(folder) if folder else _common.resumed_run(resume, output, experiment)
    recipe = config or (None if begun else recipes.default(FinetuneSettings, values))
    settings = _common.resolve(FinetuneSettings, recipe, begun, values)
    options = {**reading, "command": _common.command_line(), "recipe": recipe or ""}
    train = functools.partial(_train, checkpoint, options)
    if folder:
        trials.run_trials(folder, trials.parse_seeds(seeds or ""), settings, train, click.echo)
        click.echo(f"table: {folder / trials.TABLE}")
        return
    run = train(settings, Path(output, experiment), begun)
    click.echo(f"next: a2mim-analyze occlusion {run.path}   or: a2mim-analyze interactions {run.path}")


def _train(
    checkpoint: str | None, options: dict[str, Any], settings: FinetuneSettings, path: Path, begun: Path | None
) -> Run:
    """One run in the folder ``path``, with its pictures."""
    from a2mim.commands import _pictures
    from a2mim.training.finetuning import finetune

    run = finetune(
        settings, checkpoint, output=path.parent, experiment=path.name, resume=begun, echo=click.echo, **options
    )
    click.echo(f"learning curve: {_pictures.learning_curve(run)}")
    if picture := _pictures.confusion(run):
        click.echo(f"confusion matrix: {picture}")
    return run


def _classify_by_neighbours(
    checkpoint: str | None, config: str | None, values: dict[str, Any], path: Path, reading: dict[str, Any]
) -> None:
    recipe = config or recipes.default(FinetuneSettings, values)
    settings = _common.resolve(FinetuneSettings, recipe, None, values)
    from a2mim.training.knn import nearest_neighbours
    from a2mim.training.runs import Run

    folder = Run.create(path.parent, path.name).path
    about = {"command": _common.command_line(), "recipe": recipe or ""}
    nearest_neighbours(settings, checkpoint, folder=folder, echo=click.echo, **about, **reading)
    click.echo(f"result: {folder / 'knn.json'}")
