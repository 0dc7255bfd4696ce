"""``a2mim-pretrain``: pre-training by A2MIM or another method, on any images, for any timm architecture."""

from __future__ import annotations

from typing import Any

import click

from a2mim import recipes
from a2mim.commands import _common
from a2mim.settings import PretrainSettings


@click.command(context_settings=_common.CONTEXT)
@click.option("-c", "--config", metavar="NAME|PATH", help="Recipe (YAML). Flags override it.")
@click.option("--output", default="runs", show_default=True, help="Folder in which runs are created.")
@click.option("--experiment", help="Name of the run.  [default: pretrain-<recipe or model>[-<method>]]")
@click.option(
    "--resume",
    is_flag=False,
    flag_value="auto",
    metavar="[auto|RUN]",
    help="Continue a run from its last checkpoint; auto is the newest.",
)
@_common.list_recipes("a2mim-pretrain")
@_common.settings_options(PretrainSettings)
@_common.clear_errors
def main(config: str | None, output: str, experiment: str | None, resume: str | None, **flags: Any) -> None:
    """Pre-train an encoder without labels.

    The default method hides cells of each image and reconstructs them; --method names the others. Without --config,
    --model, --dataset and --data-dir, it trains a small ViT on the embedded images (recipe fashion-vit).
    """
    values = _common.given(flags)
    default = recipes.default(PretrainSettings, values)
    named = [_common.stem(config or default or values.get("model") or "default"), values.get("method", "a2mim")]
    experiment = experiment or "-".join(["pretrain", *named[: 1 if named[1] == "a2mim" else 2]])
    begun = _common.resumed_run(resume, output, experiment)
    recipe = config or (None if begun else default)
    settings = _common.resolve(PretrainSettings, recipe, begun, values)
    from a2mim.commands import _pictures
    from a2mim.methods import masked_method
    from a2mim.pretraining import pretrain

    run = pretrain(
        settings,
        output=output,
        experiment=experiment,
        resume=begun,
        on_epoch_end=_pictures.reconstructions(settings),
        echo=click.echo,
        command=_common.command_line(),
        recipe=recipe or "",
    )
    click.echo(f"learning curve: {_pictures.learning_curve(run)}")
    reconstructs = masked_method(settings.method) is not None
    look = f"   or: a2mim-analyze reconstruct {run.path}" if reconstructs else ""
    click.echo(f"next: a2mim-finetune {run.path}{look}")
