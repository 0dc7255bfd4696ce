"""``a2mim-finetune``: a classifier from a pre-trained encoder, any checkpoint, or scratch."""

from __future__ import annotations

import functools
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a2mim.commands import _common
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings

if TYPE_CHECKING:
    from a2mim.training.runs import Run

KINDS = {"knn": "knn", "linear": "linear", "from_scratch": "scratch"}  # flag -> how such runs are called


class SeedsCommand(click.Command):
    """Takes ``--seeds 0 1 2`` as well as ``--seeds 0,1,2``, which is what click can do by itself."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        joined = list(args)
        if "--seeds" in joined:
            start = joined.index("--seeds") + 1
            numbers = list(itertools.takewhile(lambda text: text.rstrip(",").isdecimal(), joined[start:]))
            joined[start : start + len(numbers)] = [",".join(numbers)] if numbers else []
        return super().parse_args(ctx, joined)


@click.command(cls=SeedsCommand, context_settings=_common.CONTEXT)
@click.argument("checkpoint", required=False)
@click.option("-c", "--config", metavar="NAME|PATH", help="Recipe; flags go before what it says.")
@click.option("--output", default="runs", show_default=True, help="Folder for runs.")
@click.option("--experiment", help="Name of the run.  [default: <recipe, or finetune>-<checkpoint or model>]")
@click.option("--resume", is_flag=False, flag_value="auto", metavar="[auto|RUN]", help="Go on where a run stopped.")
@click.option(
    "--seeds", metavar="N N ...", help="Several trials, one for each seed, and a table with mean and deviation."
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
    """Fine-tune CHECKPOINT (a run's folder, a file) end to end, probe it (--linear), or look at its neighbours (--knn).

    Without --config: on the embedded images recipe fashion-finetune (--linear: fashion-linear), on others the settings'
    defaults (--linear: recipe linear-moco).
    """
    values = _common.given(flags)
    kind = next((name for flag, name in KINDS.items() if values.get(flag)), _common.stem(config or "finetune"))
    experiment = experiment or f"{kind}-{_common.stem(checkpoint or values.get('model') or 'default')}"
    reading = {"which": which, "trust": trust}
    if values.get("knn"):
        if resume or seeds:
            raise InputError("--knn trains nothing, so that there is nothing to --resume and no --seeds to tell apart")
        if values.get("linear"):
            raise InputError("--knn and --linear are two ways to look at an encoder; give one of them")
        _look_at_neighbours(checkpoint, config, values, Path(output, experiment), reading)
        return
    from a2mim.training import trials

    folder = trials.trials_folder(output, experiment, resume) if seeds else None
    begun = trials.begun_settings(folder) if folder else _common.resumed_run(resume, output, experiment)
    settings = _common.resolve(FinetuneSettings, config or (None if begun else _default(values)), begun, values)
    train = functools.partial(_train, checkpoint, reading)
    if folder:
        trials.run_trials(folder, trials.parse_seeds(seeds or ""), settings, train, click.echo)
        click.echo(f"table: {folder / trials.TABLE}")
        return
    run = train(settings, Path(output, experiment), begun)
    click.echo(f"next: a2mim-analyze occlusion {run.path}   or: a2mim-analyze interactions {run.path}")


def _default(values: dict[str, Any]) -> str | None:
    """The recipe that holds where none is named."""
    own_images = bool(values.keys() & {"dataset", "data_dir"})
    if values.get("linear"):
        return "linear-moco" if own_images else "fashion-linear"
    return None if own_images else "fashion-finetune"


def _train(
    checkpoint: str | None, reading: dict[str, Any], settings: FinetuneSettings, path: Path, begun: Path | None
) -> Run:
    """One run in the folder ``path``, with its pictures."""
    from a2mim.commands import _pictures
    from a2mim.training.finetuning import finetune

    run = finetune(
        settings, checkpoint, output=path.parent, experiment=path.name, resume=begun, echo=click.echo, **reading
    )
    click.echo(f"learning curve: {_pictures.learning_curve(run)}")
    if picture := _pictures.confusion(run):
        click.echo(f"confusions: {picture}")
    return run


def _look_at_neighbours(
    checkpoint: str | None, config: str | None, values: dict[str, Any], path: Path, reading: dict[str, Any]
) -> None:
    settings = _common.resolve(FinetuneSettings, config or _default(values), None, values)
    from a2mim.training.knn import nearest_neighbours
    from a2mim.training.runs import Run

    folder = Run.create(path.parent, path.name).path
    nearest_neighbours(settings, checkpoint, folder=folder, echo=click.echo, **reading)
    click.echo(f"result: {folder / 'knn.json'}")
