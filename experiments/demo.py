"""All steps from pre-training to the report in minutes: ``python -m a2mim.experiments.demo`` (what ``make demo`` runs).

Pre-trains a small ViT and a small ResNet with A2MIM on the embedded images, fine-tunes each of them from these weights
and from scratch, and analyses the results: occlusion, interactions, spectra, variances, reconstructions, and a page
that shows them all. Each step is a public command, printed before it runs; a complete training is not run again. At
this size the numbers show that every step works, not which method is better.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import click

NETWORKS = ("vit", "resnet")
PAGE = "report.html"


def commands(output: str, epochs: int, finetune_epochs: int) -> list[list[str]]:
    """Every command of the demo, in order."""
    steps = []
    finished = []
    for net in NETWORKS:
        steps.append(
            f"a2mim-pretrain -c fashion-{net} --epochs {epochs} --output {output} --experiment {net}-pretrain".split()
        )
        for start, flag in (("a2mim", ""), ("scratch", "--from-scratch")):
            run = f"{net}-{start}"
            steps.append(
                f"a2mim-finetune {output}/{net}-pretrain {flag} -c fashion-finetune --epochs {finetune_epochs} "
                f"--output {output} --experiment {run}".split()
            )
            finished.append(f"{output}/{run}")
    results = f"{output}/results"
    steps.append(f"a2mim-analyze occlusion {' '.join(finished)} --images 500 --runs 3 --output {results}".split())
    steps.append(
        f"a2mim-analyze interactions {' '.join(finished)} --images 4 --pairs 12 --contexts 8 --output {results}".split()
    )
    for probe in ("spectrum", "variance"):
        steps.append(f"a2mim-analyze {probe} {' '.join(finished)} --images 300 --output {results}".split())
    pretrained = " ".join(f"{output}/{net}-pretrain" for net in NETWORKS)
    steps.append(f"a2mim-analyze reconstruct {pretrained} --images 300 --output {results}".split())
    steps.append(f"a2mim-analyze report {output} --output {output}/{PAGE}".split())
    return steps


def complete(step: list[str]) -> bool:
    """Whether a step is a training that has reached its last epoch."""
    if "--experiment" not in step:
        return False
    output, name, epochs = (step[step.index(flag) + 1] for flag in ("--output", "--experiment", "--epochs"))
    summary = Path(output, name, "summary.csv")
    if not summary.is_file() or not summary.with_name("backbone.safetensors").is_file():
        return False
    return summary.read_text(encoding="utf-8").splitlines()[-1].split(",")[0] == epochs


def run(step: list[str]) -> None:
    """Run one command as a user would; if it fails, exit with its status, after its own error message."""
    click.secho(f"\n$ {' '.join(step)}", bold=True)
    if complete(step):
        click.echo("(complete, not run again)")
        return
    started = time.perf_counter()
    program = Path(sys.executable).parent / step[0]
    code = subprocess.run([str(program), *step[1:]], check=False).returncode
    if code:
        raise SystemExit(code)
    click.echo(f"({time.perf_counter() - started:.0f} s)")


def summary(output: str) -> str:
    """Accuracy of the four classifiers in per cent, on whole images and with half of each image hidden."""
    import pandas as pd

    table = pd.read_csv(Path(output) / "results" / "occlusion.csv")
    accuracy = table.groupby(["checkpoint", "ratio"], sort=False).accuracy.mean().unstack() * 100
    lines = [f"{'':<18}{'top-1':>8}{'half hidden':>14}"]
    lines += [f"{name:<18}{row[0.0]:>8.1f}{row[0.5]:>14.1f}" for name, row in accuracy.iterrows()]
    return "\n".join(lines)


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--output", default="demo", show_default=True, help="Folder for runs and results.")
@click.option("--epochs", default=4, show_default=True, help="Pre-training epochs.")
@click.option("--finetune-epochs", default=3, show_default=True, help="Fine-tuning epochs.")
def main(output: str, epochs: int, finetune_epochs: int) -> None:
    started = time.perf_counter()
    for step in commands(output, epochs, finetune_epochs):
        run(step)
    click.echo(f"\n{summary(output)}\n\nPictures:")
    for picture in sorted(Path(output).glob("**/*.png")):
        click.echo(f"  {picture}")
    click.echo(f"\n{time.perf_counter() - started:.0f} s in all; the page that shows it all, for a browser:")
    click.echo(f"  {Path(output) / PAGE}")


if __name__ == "__main__":
    main()
