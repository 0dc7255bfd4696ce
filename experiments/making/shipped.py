"""Make the small checkpoints that ship with the package: ``python -m a2mim.experiments.shipped``.

For the small ViT and the small ResNet: A2MIM pre-training on the embedded images (recipe fashion-vit, fashion-resnet),
fine-tuning from that start and, as its twin, from scratch (recipe fashion-finetune); written in half precision as
``a2mim/assets/fashion-<net>-{pretrained,a2mim,scratch}.safetensors``. About an hour on two cores; a complete stage is
not run again, and a stopped one is resumed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

NETWORKS = ("resnet", "vit")


def stages(net: str) -> dict[str, str]:
    """Name of the shipped checkpoint -> the command that trains it."""
    name = f"fashion-{net}"
    return {
        f"{name}-pretrained": f"a2mim-pretrain -c {name}",
        f"{name}-a2mim": f"a2mim-finetune {{output}}/{name}-pretrained -c fashion-finetune",
        f"{name}-scratch": f"a2mim-finetune {{output}}/{name}-pretrained -c fashion-finetune --from-scratch",
    }


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--output", default="runs/shipped", show_default=True, help="Folder for the runs.")
@click.option(
    *("--network", "networks"),
    multiple=True,
    type=click.Choice(NETWORKS),
    default=NETWORKS,
    show_default=True,
    help="Network to train; repeatable.",
)
def main(output: str, networks: tuple[str, ...]) -> None:
    from a2mim import checkpoint

    for net in networks:
        for name, command in stages(net).items():
            run = Path(output) / name
            if not (run / checkpoint.BACKBONE).is_file():  # written last
                resume = ["--resume", str(run)] if (run / checkpoint.LAST).is_file() else []
                step = [*command.format(output=output).split(), "--output", output, "--experiment", name, *resume]
                click.secho(f"$ {' '.join(step)}", bold=True)
                subprocess.run([str(Path(sys.executable).parent / step[0]), *step[1:]], check=True)
            best = run / (checkpoint.BEST if (run / checkpoint.BEST).is_file() else checkpoint.LAST)
            target = checkpoint.SHIPPED / f"{name}.safetensors"
            checkpoint.export_safetensors(target, checkpoint.read_checkpoint(best), half=True)
            click.echo(f"{target}: {target.stat().st_size / 1e6:.2f} MB")
