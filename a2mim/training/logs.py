"""Where the numbers of a run are written: one place that gives the same ones to every reader.

log.jsonl and summary.csv (see ``runs``) always; TensorBoard and Weights & Biases when asked, with the names
``train/loss``, ``epoch/loss``, ... over the number of the update.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from typing import Any, Protocol

from tqdm import tqdm

from a2mim.errors import InputError
from a2mim.settings import TrainSettings
from a2mim.training.runs import Run


class Sink(Protocol):
    """A reader of numbers beside the files of the run."""

    def write(self, numbers: Mapping[str, float], update: int) -> None: ...

    def close(self) -> None: ...


class Logs:
    """The logs of one run.

    Args:
        run: its folder.
        settings: of the run; they say which readers there are.
        update: where the run stands; what TensorBoard has from later updates of an abandoned course, goes.
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
        """Numbers of the last update."""
        self.run.log("train", epoch=epoch, update=update, **numbers)
        self._send("train", numbers, update)

    def epoch(self, epoch: int, update: int, numbers: Mapping[str, float]) -> None:
        """Numbers of a whole epoch: also a row of summary.csv."""
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
    """One line on the screen for an epoch that took so many seconds, above the progress bar."""
    shown = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
    left = (epochs - epoch) * seconds
    tqdm.write(
        f"epoch {epoch}/{epochs}  {shown}  {images_per_second:.0f} images/s"
        + (f"  {_duration(left)} left" if left else "")
    )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"


class TensorBoard:
    """Event files in the folder ``tensorboard`` of the run."""

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
    """A run of the same name at Weights & Biases; a resumed one goes on there too.

    The project is ``a2mim`` unless wandb's own variable WANDB_PROJECT says otherwise; WANDB_MODE=offline sends nothing.
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
    """Look for the packages that only an extra installs, before anything is written.

    Raises:
        InputError: one that the settings ask for is not there; the message names the extra.
    """
    for package, asked in (("tensorboard", settings.log_tensorboard), ("wandb", settings.log_wandb)):
        if asked and importlib.util.find_spec(package) is None:
            raise InputError(
                f"--log-{package} needs the package {package}, which is not installed: pip install 'a2mim[{package}]'"
            )
