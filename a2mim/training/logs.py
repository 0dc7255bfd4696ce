"""Where the numbers of a run are written: every log gets the same ones.

log.jsonl and summary.csv (see ``runs``) always; TensorBoard and Weights & Biases on request, with the
names ``train/loss``, ``epoch/loss``, ... over the number of updates.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, Protocol

from tqdm import tqdm

from a2mim import durations
from a2mim.errors import InputError
from a2mim.settings import TrainSettings
from a2mim.training.runs import Run


class Sink(Protocol):
    """A log besides the files of the run."""

    def write(self, numbers: Mapping[str, float], update: int) -> None: ...

    def close(self) -> None: ...


class Logs:
    """The logs of one run.

    Args:
        run: folder of the run.
        settings: settings of the run; they say which logs there are.
        update: where the run stands; TensorBoard drops its numbers of later updates (after a resume).
    """

    def __init__(self, run: Run, settings: TrainSettings, update: int = 0):
        self.run = run
        self.sinks: list[Sink] = []
        if not run.writes:
            return
        if settings.log_wandb:
            self.sinks.append(WeightsAndBiases(run, settings.as_values()))
        if settings.log_tensorboard:
            self.sinks.append(TensorBoard(run, update))

    def train(self, epoch: int, update: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of the last update."""
        self.run.log("train", epoch=epoch, update=update, **numbers)
        self._send("train", numbers, update)

    def epoch(self, epoch: int, update: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of an epoch, also as a row of summary.csv."""
        self.run.write_row({"epoch": epoch, **numbers})
        self.run.log("epoch", epoch=epoch, **numbers)
        self._send("epoch", numbers, update)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()

    def _send(self, kind: str, numbers: Mapping[str, float], update: int) -> None:
        for sink in self.sinks:
            sink.write({f"{kind}/{name}": value for name, value in numbers.items()}, update)


def say(epoch: int, epochs: int, metrics: Mapping[str, float], images_per_second: float, seconds: float) -> None:
    """Print one line for an epoch that took ``seconds``, above the progress bar."""
    shown = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    left = (epochs - epoch) * seconds
    tqdm.write(
        f"epoch {epoch}/{epochs}  {shown}  {images_per_second:.0f} images/s"
        + (f"  {durations.describe(left)} left" if left else "")
    )


class TensorBoard:
    """TensorBoard: event files in the folder ``tensorboard`` of the run."""

    def __init__(self, run: Run, update: int):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run.path / "tensorboard"), purge_step=update + 1 if update else None)

    def write(self, numbers: Mapping[str, float], update: int) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, update)
        self.writer.flush()

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """Weights & Biases: a run of the same name, which a resumed run continues.

    The project is ``a2mim`` unless wandb's variable WANDB_PROJECT names another; WANDB_MODE=offline sends nothing.
    """

    def __init__(self, run: Run, config: dict[str, Any]):
        import wandb

        file = run.path / "wandb-id.txt"
        known = file.read_text(encoding="utf-8").strip() if file.is_file() else None
        run.path.mkdir(parents=True, exist_ok=True)
        self.session = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "a2mim"),
            name=run.path.name,
            dir=str(run.path),
            config=config,
            id=known,
            resume="allow",
        )
        file.write_text(f"{self.session.id}\n", encoding="utf-8")

    def write(self, numbers: Mapping[str, float], update: int) -> None:
        self.session.log(dict(numbers), step=update)

    def close(self) -> None:
        self.session.finish()


def check_readers(settings: TrainSettings) -> None:
    """Check, before anything is written, that the packages of the requested logs are installed.

    Raises:
        InputError: a package is missing; the message names the extra that installs it.
    """
    for package, asked in (("tensorboard", settings.log_tensorboard), ("wandb", settings.log_wandb)):
        if asked and importlib.util.find_spec(package) is None:
            raise InputError(
                f"--log-{package} needs the package {package}, which is not installed: pip install 'a2mim[{package}]'"
            )
