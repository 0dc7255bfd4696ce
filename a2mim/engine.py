"""The training loop, one for pre-training and fine-tuning.

A task says what one step computes; ``Trainer`` does the rest: accumulation, mixed precision, clipping, schedule, steps
that are no number, log, checkpoints. All that a step draws comes from (seed, epoch, batch), so that a run that was
interrupted and resumed ends with the same weights as one that was not, bit for bit on a CPU.
"""

from __future__ import annotations

import math
import platform
import signal
import threading
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from a2mim import seeds
from a2mim.checkpoint import read_checkpoint
from a2mim.data import Batch, ImageLoader
from a2mim.errors import InputError, RunError
from a2mim.optimisation import create_scheduler
from a2mim.runs import Run
from a2mim.settings import TrainSettings

MAX_SKIPPED = 10  # steps without a finite loss, in a row, after which a run ends
Metrics = dict[str, float]


class BaseTask(ABC):
    """What is trained, and what one step computes; a method sets ``model`` and ``optimizer`` and gives ``loss``.

    A task knows nothing of epochs, files and processes. Under several processes ``loss`` sees this one's rows of the
    global batch, and takes its share of what it draws by ``a2mim.distributed.share``.
    """

    model: nn.Module  # holds every weight that is trained
    optimizer: torch.optim.Optimizer
    best_metric: str | None = None  # of ``evaluate``, the larger the better; None keeps no best checkpoint

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, a mean over the images, and detached scalars for the log.

        ``generator`` lies on the model's device and stands at the same place in every process.
        """

    def after_update(self) -> None:  # noqa: B027 - few methods need it
        """Called after each step of the optimiser that moved the weights: momentum encoders, averages of weights."""

    def evaluate(self) -> Metrics:
        """What is measured after each epoch; the same numbers in every process (see ``a2mim.distributed.total``)."""
        return {}

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a checkpoint says about the model: kind, arch, model_args, ..., and its ``state_dict``."""

    def extra_state(self) -> dict[str, Any]:
        """What a resume needs beside ``model`` and ``optimizer``: tensors and plain values."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what ``extra_state`` gave."""


class Trainer:
    """Trains a task over the epochs of a loader, and writes the run.

    Args:
        task: see ``BaseTask``.
        loader: training images.
        settings: of the run.
        run: its folder.
        on_epoch_end: called with (epoch, model, run) after each epoch.
    """

    def __init__(
        self,
        task: BaseTask,
        loader: ImageLoader,
        settings: TrainSettings,
        run: Run,
        on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    ):
        self.task, self.loader, self.settings, self.run, self.on_epoch_end = task, loader, settings, run, on_epoch_end
        self.device = next(task.model.parameters()).device
        self.updates_per_epoch = max(1, math.ceil(len(loader) / settings.grad_accum_steps))
        self.images_per_epoch = min(len(loader) * settings.batch_size, loader.n_images)
        self.scheduler = create_scheduler(task.optimizer, settings, self.updates_per_epoch)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp and settings.amp_dtype == "float16")
        self.epoch = self.batch = self.updates = 0  # where the run stands: batches of this epoch that are done
        self.skipped = self.skipped_in_row = 0
        self.best = -math.inf
        self.sums: dict[str, float] = defaultdict(float)  # of this epoch, over images
        self.counts: dict[str, int] = defaultdict(int)
        self.stop: signal.Signals | None = None

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self, metrics: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Everything that a resume needs, and what a checkpoint says of the model."""
        progress = {
            key: getattr(self, key) for key in ("epoch", "batch", "updates", "skipped", "skipped_in_row", "best")
        }
        return {
            **self.task.describe(),
            "epoch": self.epoch,
            "step": self.updates,
            "args": self.settings.as_values(),
            "metric": dict(metrics or {}),
            "optimizer": self.task.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "extra": self.task.extra_state(),
            "progress": {**progress, "sums": dict(self.sums), "counts": dict(self.counts)},
        }

    def resume(self) -> None:
        """Take up the run where its last checkpoint stands.

        Raises:
            InputError: no checkpoint, or one that belongs to another model.
        """
        state = read_checkpoint(self.run.last)
        if "progress" not in state:
            raise InputError(f"{self.run.last} holds weights alone; a run goes on from the last.pth.tar that it wrote")
        try:
            self.task.model.load_state_dict(state["state_dict"], strict=True)
            self.task.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.run.last} belongs to another model: {str(error).splitlines()[0]}") from error
        self.scaler.load_state_dict(state["scaler"])
        self.task.load_extra_state(state.get("extra", {}))
        for key, value in state["progress"].items():
            setattr(self, key, value)
        self.sums, self.counts = defaultdict(float, self.sums), defaultdict(int, self.counts)
        self.run.log("resume", epoch=self.epoch, batch=self.batch)

    # --- loop ---------------------------------------------------------------------------------------------------------

    def fit(self) -> Metrics:
        """Train to the last epoch; returns the metrics of that epoch.

        Raises:
            KeyboardInterrupt: after Ctrl-C or SIGTERM, once the state is saved.
            RunError: ten steps in a row without a finite loss, or unreadable images.
        """
        metrics: Metrics = {}
        total = self.images_per_epoch * self.settings.epochs
        done = self.images_per_epoch * self.epoch + self.batch * self.settings.batch_size
        bar = tqdm(total=total, initial=done, unit=" images", disable=None, dynamic_ncols=True, smoothing=0.1)
        with bar, self._signals(), seeds.preserved():
            while self.epoch < self.settings.epochs:
                started, first = time.perf_counter(), self.batch
                self._train_epoch(bar)
                seconds = time.perf_counter() - started
                images = self.images_per_epoch - first * self.settings.batch_size
                metrics = self._end_epoch(max(images, 0), seconds, bar)
        self.run.export(self.state())
        return metrics

    def _train_epoch(self, bar: tqdm) -> None:
        self.task.model.train()
        bar.set_description(f"epoch {self.epoch + 1}/{self.settings.epochs}")
        for batch in self.loader.epoch(self.epoch, skip=self.batch):
            last = self.batch + 1 == len(self.loader)
            values = self._step(batch, update=last or (self.batch + 1) % self.settings.grad_accum_steps == 0)
            for key, value in values.items():
                self.sums[key] += value * len(batch.images)
                self.counts[key] += len(batch.images)
            self.batch += 1
            bar.update(len(batch.images))
            if self.batch % self.settings.grad_accum_steps == 0 or last:
                self._after_update(values)

    def _step(self, batch: Batch, update: bool) -> Metrics:
        """One batch: loss and gradient, and the update when it is due; scalars for the log."""
        draw = (self.settings.seed, "step", self.epoch, self.batch)
        seeds.reseed(*draw)  # dropout and stochastic depth draw from torch's own generators
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seeds.derive(*draw))
        generator = seeds.generator(*draw, "mask", device=self.device)
        if self.batch % self.settings.grad_accum_steps == 0:
            self.task.optimizer.zero_grad()
            self.scheduler.step_update(self.updates)
        batch = Batch(*(values.to(self.device, non_blocking=True) for values in batch))
        with torch.autocast(self.device.type, getattr(torch, self.settings.amp_dtype), enabled=self.settings.amp):
            loss, values = self.task.loss(batch, generator)
        self.scaler.scale(loss / self._batches_of_update()).backward()
        values = {"loss": loss.detach(), **values}
        if update:
            self.scaler.unscale_(self.task.optimizer)
            parameters = [parameter for parameter in self.task.model.parameters() if parameter.grad is not None]
            values["grad_norm"] = nn.utils.clip_grad_norm_(parameters, self.settings.clip_grad or math.inf)
        # one transfer, after all is queued: a GPU is waited for once in a step
        numbers = dict(zip(values, torch.stack([value.float() for value in values.values()]).tolist(), strict=True))
        finite = math.isfinite(numbers["loss"]) and math.isfinite(numbers.get("grad_norm", 0.0))
        if update:
            self._update(numbers, finite)
        return numbers if finite else {}

    def _batches_of_update(self) -> int:
        """Batches that share the update of the present one; fewer at the end of an epoch."""
        first = self.batch - self.batch % self.settings.grad_accum_steps
        return min(self.settings.grad_accum_steps, len(self.loader) - first)

    def _update(self, numbers: Metrics, finite: bool) -> None:
        """Move the weights; where loss or gradient is no number count instead, and give up after ten in a row."""
        self.updates += 1
        if finite:
            self.skipped_in_row = 0
            self.scaler.step(self.task.optimizer)
            self.scaler.update()
            self.task.after_update()
            return
        self.scaler.update()
        self.skipped += 1
        self.skipped_in_row += 1
        shown = {name: str(numbers[name]) for name in ("loss", "grad_norm")}  # JSON has no NaN
        self.run.log("skipped", epoch=self.epoch, update=self.updates, **shown)
        if self.skipped_in_row >= MAX_SKIPPED:
            raise RunError(
                f"{MAX_SKIPPED} updates in a row had no finite loss or gradient (epoch {self.epoch + 1}); what was "
                f"saved in {self.run.path} is intact; a lower --lr, --clip-grad 1 or no --amp may help"
            )

    def _end_epoch(self, images: int, seconds: float, bar: tqdm) -> Metrics:
        """Evaluate, write the row, the checkpoints and the line on the screen."""
        lr = self._lr()
        metrics = {key: value / self.counts[key] for key, value in self.sums.items()}
        metrics.update(self.task.evaluate())
        self.sums.clear()
        self.counts.clear()
        self.epoch, self.batch = self.epoch + 1, 0
        score = metrics.get(self.task.best_metric or "", -math.inf)
        better, self.best = score > self.best, max(score, self.best)
        row = {"epoch": self.epoch, **metrics, "lr": lr, "images_per_second": images / seconds, "skipped": self.skipped}
        row["unreadable"] = len(self.loader.unreadable)
        self.run.keep(self.state(metrics), epoch=self.epoch, history=self.settings.checkpoint_hist, best=better)
        self.run.write_row(row)
        self.run.log("epoch", **row)
        shown = "  ".join(f"{key} {value:.4g}" for key, value in metrics.items())
        left = (self.settings.epochs - self.epoch) * seconds
        tqdm.write(
            f"epoch {self.epoch}/{self.settings.epochs}  {shown}  {images / seconds:.0f} images/s"
            + (f"  {_duration(left)} left" if left else "")
        )
        self.on_epoch_end(self.epoch, self.task.model, self.run)
        return metrics

    def _after_update(self, values: Metrics) -> None:
        """Log and save when it is time; end here when a signal asked for it."""
        if self.updates % self.settings.log_interval == 0:
            self.run.log("train", epoch=self.epoch, update=self.updates, lr=self._lr(), **values)
        if self.stop is not None:
            self.run.keep(self.state())
            self.run.log("stopped", signal=self.stop.name, epoch=self.epoch, batch=self.batch)
            raise KeyboardInterrupt(f"{self.stop.name}; saved, go on with --resume {self.run.path}")
        every = self.settings.recovery_interval
        if every and self.updates % every == 0:
            self.run.keep(self.state())

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM wait for the end of the batch, so that what is saved is whole; a second one does not."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def note(number: int, _: Any) -> None:
            if self.stop is not None:
                raise KeyboardInterrupt
            self.stop = signal.Signals(number)

        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _lr(self) -> float:
        return max(group["lr"] / group.get("lr_scale", 1.0) for group in self.task.optimizer.param_groups)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s"


def train(
    task: BaseTask,
    loader: ImageLoader,
    settings: TrainSettings,
    *,
    output: str | Path,
    experiment: str,
    resume: Path | None = None,
    on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    echo: Callable[[str], None] = print,
    start: str = "from scratch",
) -> Run:
    """Open the run (a new folder, or the one to resume), say what will happen, train; returns the run.

    ``start`` says for the log where the weights come from.
    """
    run = Run(resume) if resume else Run.create(output, experiment)
    if resume:
        run.check_settings(settings.as_values())
    trainer = Trainer(task, loader, settings, run, on_epoch_end)
    if resume:
        trainer.resume()
    run.write_settings(settings.as_values())
    if not resume:
        versions = {name: version(name) for name in ("a2mim", "torch", "timm")}
        run.log("begin", start=start, python=platform.python_version(), **versions)
    parameters = sum(parameter.numel() for parameter in task.model.parameters() if parameter.requires_grad)
    echo(
        f"run {run.path}: {loader.n_images} images, {parameters / 1e6:.2f} million trained parameters, {trainer.device}"
    )
    if trainer.epoch or trainer.batch:
        echo(f"resumed after {trainer.epoch} epochs and {trainer.batch} batches")
    trainer.fit()
    return run
