"""``a2mim-finetune``: a classifier from a pre-trained encoder, any checkpoint, or scratch."""

from __future__ import annotations

from typing import Any

import click

from a2mim.commands import _common
from a2mim.settings import FinetuneSettings

DEFAULT_RECIPE = "fashion-finetune"


@click.command(context_settings=_common.CONTEXT)
@click.argument("checkpoint", required=False)
@click.option("-c", "--config", metavar="NAME|PATH", help="Recipe; flags go before what it says.")
@click.option("--output", default="runs", show_default=True, help="Folder for runs.")
@click.option("--experiment", help="Name of the run.  [default: finetune-<checkpoint or model>]")
@click.option("--resume", is_flag=False, flag_value="auto", metavar="[auto|RUN]", help="Go on where a run stopped.")
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
    which: str | None,
    trust: bool,
    **flags: Any,
) -> None:
    """Fine-tune CHECKPOINT (a run's folder, a file) end to end, or probe it (--linear).

    Without --config, --dataset and --data-dir: on the embedded images (recipe fashion-finetune).
    """
    values = _common.given(flags)
    default = None if values.keys() & {"dataset", "data_dir"} else DEFAULT_RECIPE
    kind = "linear" if values.get("linear") else "scratch" if values.get("from_scratch") else "finetune"
    experiment = experiment or f"{kind}-{_common.stem(checkpoint or values.get('model') or 'default')}"
    begun = _common.resumed_run(resume, output, experiment)
    settings = _common.resolve(FinetuneSettings, config or (None if begun else default), begun, values)
    from a2mim.commands import _pictures
    from a2mim.finetune import finetune

    run = finetune(
        settings,
        checkpoint,
        output=output,
        experiment=experiment,
        resume=begun,
        which=which,
        trust=trust,
        echo=click.echo,
    )
    click.echo(f"learning curve: {_pictures.learning_curve(run)}")
    click.echo(f"next: a2mim-analyze occlusion {run.path}   or: a2mim-analyze interactions {run.path}")
