"""A2MIM beside its rivals on Fashion-MNIST: ``python -m a2mim.experiments.rivals``.

Pre-trains a small ViT and a small ResNet by inpainting, SimMIM, MoCo v3 and A2MIM, for several seeds; fine-tunes each
end to end and probes it with a linear classifier, as it does a network that was not pre-trained; and writes
``rivals.csv`` (one row for each training that was evaluated) and ``rivals.md`` (means, deviations over seeds, paired
differences to A2MIM). Every line is a public command. A stage that is complete is not run again and one that was
stopped goes on, so that the experiment can be continued, with more seeds too.
"""

from __future__ import annotations

import math
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import pandas as pd
import scipy.stats

from a2mim import checkpoint, files

NETWORKS = ("resnet", "vit")
METHODS = ("scratch", "inpainting", "simmim", "mocov3", "a2mim")
EVALUATIONS = {"end to end": "", "linear": "--linear"}


@dataclass(frozen=True)
class Scale:
    """How much is trained on what."""

    data_dir: str | None
    limit: int | None
    epochs: int
    finetune_epochs: int
    linear_epochs: int

    @property
    def data(self) -> str:
        """Flags that name the training images."""
        given = {"--data-dir": self.data_dir, "--limit": self.limit}
        return " ".join(f"{flag} {shlex.quote(str(value))}" for flag, value in given.items() if value)


@dataclass(frozen=True)
class Stage:
    """One training: its run is a folder, complete once the encoder is exported."""

    run: Path
    command: str

    @property
    def complete(self) -> bool:
        return (self.run / checkpoint.BACKBONE).is_file()

    def arguments(self) -> list[str]:
        """The command, with what takes up a run that was stopped."""
        place = ["--output", str(self.run.parent), "--experiment", self.run.name]
        resume = ["--resume", str(self.run)] if (self.run / checkpoint.LAST).is_file() else []
        return [*shlex.split(self.command), *place, *resume]


def stages(output: Path, network: str, method: str, seed: int, scale: Scale) -> dict[str, Stage]:
    """What a network, method and seed take, in order: pre-training, where there is one, and its evaluations.

    A network that is not pre-trained takes its architecture from the shipped one, and random weights.
    """
    found = {}
    start, scratch = f"fashion-{network}-pretrained", "--from-scratch"
    if method != "scratch":
        run = output / f"{network}-{method}-{seed}"
        command = f"a2mim-pretrain -c fashion-{network} --method {method} --epochs {scale.epochs} --seed {seed}"
        found["pre-training"] = Stage(run, f"{command} {scale.data}")
        start, scratch = shlex.quote(str(run)), ""
    for evaluation, flag in EVALUATIONS.items():
        epochs = scale.linear_epochs if flag else scale.finetune_epochs
        recipe = "fashion-linear" if flag else "fashion-finetune"
        run = output / f"{network}-{method}-{seed}-{evaluation.replace(' ', '-')}"
        command = f"a2mim-finetune {start} {scratch} -c {recipe} --epochs {epochs} --seed {seed}"
        if flag:  # the recipe's steps are at these shares of the run
            command += f" --decay-milestones {math.ceil(0.6 * epochs)},{math.ceil(0.8 * epochs)}"
        found[evaluation] = Stage(run, f"{command} {scale.data}")
    return found


def measured(output: Path, networks: Sequence[str], seeds: Sequence[int], scale: Scale) -> pd.DataFrame:
    """One row for each evaluation that is complete: the last epoch's accuracy in per cent and cross-entropy."""
    return pd.DataFrame(
        _rows(output, networks, seeds, scale), columns=["network", "method", "evaluation", "seed", "top1", "val_loss"]
    )


def _rows(output: Path, networks: Sequence[str], seeds: Sequence[int], scale: Scale) -> Iterator[dict[str, object]]:
    for network in networks:
        for method in METHODS:
            for seed in seeds:
                for evaluation, stage in stages(output, network, method, seed, scale).items():
                    if evaluation in EVALUATIONS and stage.complete:
                        last = pd.read_csv(stage.run / "summary.csv").iloc[-1]
                        about = dict(network=network, method=method, evaluation=evaluation, seed=seed)
                        yield about | dict(top1=last.top1, val_loss=last.val_loss)


def table(rows: pd.DataFrame) -> str:
    """Markdown: mean and deviation over seeds, and A2MIM's lead with its paired 95 % interval (Student's t)."""
    lines = ["| network | evaluation | method | seeds | top-1 (%) | a2mim leads by |", "|---|---|---|---|---|---|"]
    for (network, evaluation), group in rows.groupby(["network", "evaluation"], sort=False):
        by_seed = group.pivot(index="seed", columns="method", values="top1")
        for method in (name for name in METHODS if name in by_seed):
            values = by_seed[method].dropna()
            deviation = f" ± {values.std():.2f}" if len(values) > 1 else ""
            lead = _lead(by_seed["a2mim"] - by_seed[method]) if "a2mim" in by_seed and method != "a2mim" else ""
            lines.append(
                f"| {network} | {evaluation} | {method} | {len(values)} | {values.mean():.2f}{deviation} | {lead} |"
            )
    return "\n".join(lines) + "\n"


def _lead(differences: pd.Series) -> str:
    values = differences.dropna()
    if values.empty:
        return ""
    if len(values) == 1:
        return f"{values.iloc[0]:+.2f}"
    reach = scipy.stats.t.ppf(0.975, len(values) - 1) * values.std() / math.sqrt(len(values))
    return f"{values.mean():+.2f} ({values.mean() - reach:+.2f} to {values.mean() + reach:+.2f})"


@click.command(help=__doc__.split("\n\n")[1])
@click.option("--output", default="runs/rivals", show_default=True, help="Folder for the runs and the table.")
@click.option("--network", "networks", multiple=True, type=click.Choice(NETWORKS), default=NETWORKS, show_default=True)
@click.option("--seed", "seeds", multiple=True, type=int, default=(0, 1, 2), show_default=True, help="Once for each.")
@click.option("--data-dir", help="Folder of the original Fashion-MNIST files.  [default: the embedded part of them]")
@click.option("--limit", type=int, help="Training images.  [default: all]")
@click.option("--epochs", default=30, show_default=True, help="Of pre-training.")
@click.option("--finetune-epochs", default=12, show_default=True)
@click.option("--linear-epochs", default=20, show_default=True)
@click.option("--plan", is_flag=True, help="Print the commands and end.")
def main(
    output: str, networks: Sequence[str], seeds: Sequence[int], plan: bool, data_dir: str | None, limit: int | None,
    epochs: int, finetune_epochs: int, linear_epochs: int,
) -> None:  # fmt: skip
    scale = Scale(data_dir, limit, epochs, finetune_epochs, linear_epochs)
    folder = Path(output)
    for seed in seeds:  # all methods of a seed before the next: what is there can be compared at any time
        for network in networks:
            for method in METHODS:
                for stage in stages(folder, network, method, seed, scale).values():
                    _run(stage, plan)
                if not plan:
                    _write(folder, measured(folder, networks, seeds, scale))
    if not plan:
        click.echo((folder / "rivals.md").read_text())


def _run(stage: Stage, plan: bool) -> None:
    if stage.complete:
        return
    program, *arguments = stage.arguments()
    click.secho(f"$ {shlex.join([program, *arguments])}", bold=not plan)
    if not plan:
        subprocess.run([str(Path(sys.executable).parent / program), *arguments], check=True)


def _write(folder: Path, rows: pd.DataFrame) -> None:
    files.write_text(folder / "rivals.csv", rows.to_csv(index=False))
    files.write_text(folder / "rivals.md", table(rows))


if __name__ == "__main__":
    main()
