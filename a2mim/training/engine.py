"""The training loop, one for pre-training and fine-tuning, one process and many.

A task says what one step computes; ``Trainer`` does the rest: accumulation, mixed precision, clipping, schedule, steps
that are no number, log, checkpoints. All that a step draws comes from (seed, epoch, batch), so that a run that was
interrupted and resumed ends with the same weights as one that was not, bit for bit on a CPU. Processes take the rows of
each batch among them and average their gradients: W of them compute what one would with W times the batch.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from tqdm import tqdm

from a2mim import distributed, seeds, signals
from a2mim.checkpoint import read_checkpoint
from a2mim.data import Batch, ImageLoader
from a2mim.errors import InputError, RunError
from a2mim.settings import TrainSettings
from a2mim.training.devices import prepare
from a2mim.training.logs import Logs, check_readers, say
from a2mim.training.optimisation import create_scheduler
from a2mim.training.runs import Run

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
    val_interval: int = 1  # epochs between two evaluations; the last epoch always has one

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, a mean over the images, and detached scalars for the log.

        ``generator`` lies on the model's device and stands at the same place in every process.
        """

    def after_update(self) -> None:  # noqa: B027 - few methods need it
        """Called after each step of the optimiser that moved the weights: momentum encoders, averages of weights."""

    def evaluate(self) -> Metrics:
        """What is measured after an epoch; the same numbers in every process (see ``a2mim.distributed.total``)."""
        return {}

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a checkpoint says about the model: kind, arch, model_args, ..., and its ``state_dict``."""

    def extra_state(self) -> dict[str, Any]:
        """What a resume needs beside ``model`` and ``optimizer``: tensors and plain values."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Take back what ``extra_state`` gave."""


class Step(NamedTuple):
    """The batch of one process, the images in those of all, and its weight among them (1 when all are as large)."""

    batch: Batch
    images: int
    weight: float


class Trainer:
    """Trains a task over the epochs of a loader, and writes the run.

    Several processes each have one, inside ``distributed.group``; only that of the first writes.

    Args:
        task: see ``BaseTask``.
        loader: training images, shared out among the processes.
        settings: of the run.
        run: its folder.
        on_epoch_end: called with (epoch, model, run) after each epoch, in the first process.
    """

    def __init__(
        self,
        task: BaseTask,
        loader: ImageLoader,
        settings: TrainSettings,
        run: Run,
        on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
    ):
        check_readers(settings)
        self.task, self.loader, self.settings, self.run, self.on_epoch_end = task, loader, settings, run, on_epoch_end
        self.device = next(task.model.parameters()).device
        self.updates_per_epoch = max(1, math.ceil(len(loader) / settings.grad_accum_steps))
        self.images_per_step = settings.batch_size * distributed.world()
        self.images_per_epoch = min(len(loader) * self.images_per_step, loader.n_images)
        self.scheduler = create_scheduler(task.optimizer, settings, self.updates_per_epoch)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp and settings.amp_dtype == "float16")
        self.remarks = prepare(task.model, settings)
        self.loss = distributed.Synchronised(task.model, task.loss)
        self.epoch = self.batch = self.updates = 0  # where the run stands: batches of this epoch that are done
        self.skipped = self.skipped_in_row = 0
        self.best = -math.inf
        self.sums: dict[str, float] = defaultdict(float)  # of this epoch, over images
        self.counts: dict[str, int] = defaultdict(int)
        self.waited = 0.0  # seconds of this epoch without a batch to work on
        self.stop = signals.Stop()
        self.logs: Logs | None = None

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
            "processes": distributed.world(),
            "progress": {**progress, "sums": dict(self.sums), "counts": dict(self.counts)},
        }

    def resume(self) -> None:
        """Take up the run where its last checkpoint stands.

        Raises:
            InputError: no checkpoint, one of another model or from beyond the last epoch, or a run that began with
                other settings.
        """
        state = read_checkpoint(self.run.last)
        if "progress" not in state:
            raise InputError(f"{self.run.last} holds weights alone; a run goes on from the last.pth.tar that it wrote")
        self.run.check_settings(self.settings.as_values(), distributed.world(), state.get("processes", 1))
        epoch, batch = (state["progress"][key] for key in ("epoch", "batch"))
        if epoch + (batch > 0) > self.settings.epochs:
            raise InputError(
                f"{self.run.last} stands after {epoch} epochs and {batch} batches, and cannot go on to the end of "
                f"epoch {self.settings.epochs}: raise --epochs"
            )
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
        self.run.tidy()
        self.run.log("resume", epoch=self.epoch, batch=self.batch, processes=distributed.world())

    # --- loop ---------------------------------------------------------------------------------------------------------

    def fit(self) -> Metrics:
        """Train to the last epoch; returns the metrics of that epoch.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the state is saved; Preempted, which is one, after SIGTERM or SIGUSR1.
            RunError: ten steps in a row without a finite loss, unreadable images, a file that cannot be written.
        """
        metrics: Metrics = {}
        done = self.images_per_epoch * self.epoch + self.batch * self.images_per_step
        bar = tqdm(
            total=self.images_per_epoch * self.settings.epochs,
            initial=done,
            unit=" images",
            disable=None if self.run.writes else True,  # None: shown in a terminal
            dynamic_ncols=True,
            smoothing=0.1,
        )
        try:
            self.logs = Logs(self.run, self.settings, self.updates)
            with contextlib.closing(self.logs), bar, self.stop.listening(), seeds.preserved():
                while self.epoch < self.settings.epochs:
                    started, first = time.perf_counter(), self.batch
                    self._train_epoch(bar)
                    seconds = time.perf_counter() - started
                    images = self.images_per_epoch - first * self.images_per_step
                    metrics = self._end_epoch(max(images, 0), seconds)
            self.run.export(self.state())
        except OSError as error:
            intact = f"{self.run.last} is intact" if self.run.last.is_file() else "no checkpoint was written yet"
            raise RunError(f"{error}; {intact}") from error
        return metrics

    def _train_epoch(self, bar: tqdm) -> None:
        self.task.model.train()
        self.waited = 0.0
        bar.set_description(f"epoch {self.epoch + 1}/{self.settings.epochs}")
        batches = self.loader.steps(self.epoch, skip=self.batch)
        step = self._next(batches)
        while step is not None:
            update = self.batch + 1 == len(self.loader) or (self.batch + 1) % self.settings.grad_accum_steps == 0
            found = self._forward_backward(step, update)
            images, weight = step.images, step.weight
            step = self._next(batches)  # read and sent while a GPU still computes
            values = self._update(found, weight, update)
            for key, value in values.items():
                self.sums[key] += value * images
                self.counts[key] += images
            self.batch += 1
            bar.update(images)
            if update:
                self._after_update(values)

    def _next(self, batches: Iterator[Batch]) -> Step | None:
        """What the next step works on, on its way to the device; None when the epoch is over for any process."""
        started = time.perf_counter()
        batch = next(batches, None)
        self.waited += time.perf_counter() - started
        own = 0 if batch is None else int((batch.indices >= 0).sum())
        images, ready = distributed.total(own, batch is not None)
        if batch is None or ready < distributed.world():
            return None
        sent = Batch(*(values.to(self.device, non_blocking=True) for values in batch))
        return Step(sent, int(images), own * distributed.world() / max(images, 1))

    def _forward_backward(self, step: Step, update: bool) -> dict[str, torch.Tensor]:
        """Loss and gradient of one batch; what the log wants to know, still on the device."""
        draw: list[int | str] = [self.settings.seed, "step", self.epoch, self.batch]
        generator = seeds.generator(*draw, "mask", device=self.device)
        if distributed.rank():  # the masks are drawn for all processes together, dropout by each for itself
            draw += ["process", distributed.rank()]
        seeds.reseed(*draw)  # dropout and stochastic depth draw from torch's own generators
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seeds.derive(*draw))
        if self.batch % self.settings.grad_accum_steps == 0:
            self.task.optimizer.zero_grad()
            self.scheduler.step_update(self.updates)
        with contextlib.nullcontext() if update else self.loss.local():
            with torch.autocast(self.device.type, getattr(torch, self.settings.amp_dtype), enabled=self.settings.amp):
                loss, values = self.loss(step.batch, generator)
            self.scaler.scale(loss * (step.weight / self._batches_of_update())).backward()
        found = {"loss": loss.detach(), **values}
        if update:
            self.scaler.unscale_(self.task.optimizer)
            parameters = [parameter for parameter in self.task.model.parameters() if parameter.grad is not None]
            found["grad_norm"] = nn.utils.clip_grad_norm_(parameters, self.settings.clip_grad or math.inf)
        return found

    def _batches_of_update(self) -> int:
        """Batches that share the update of the present one; fewer at the end of an epoch."""
        first = self.batch - self.batch % self.settings.grad_accum_steps
        return min(self.settings.grad_accum_steps, len(self.loader) - first)

    def _update(self, found: Mapping[str, torch.Tensor], weight: float, update: bool) -> Metrics:
        """Means over the processes, as numbers, and the update when it is due; nothing where the loss is no number."""
        # one transfer, after all is queued: a GPU is waited for once in a step
        means = distributed.mean(torch.stack([value.float() for value in found.values()]), weight)
        numbers = dict(zip(found, means.tolist(), strict=True))
        finite = math.isfinite(numbers["loss"]) and math.isfinite(numbers.get("grad_norm", 0.0))
        if update:
            self.updates += 1
            if finite:
                self.skipped_in_row = 0
                self.scaler.step(self.task.optimizer)
            self.scaler.update()
            if finite:
                self.task.after_update()
            else:
                self._skip(numbers)
        return numbers if finite else {}

    def _skip(self, numbers: Metrics) -> None:
        """Count an update that would have had no number, and give up after ten in a row."""
        self.skipped += 1
        self.skipped_in_row += 1
        shown = {name: str(numbers[name]) for name in ("loss", "grad_norm")}  # JSON has no NaN
        self.run.log("skipped", epoch=self.epoch, update=self.updates, **shown)
        if self.skipped_in_row >= MAX_SKIPPED:
            raise RunError(
                f"{MAX_SKIPPED} updates in a row had no finite loss or gradient (epoch {self.epoch + 1}); what was "
                f"saved in {self.run.path} is intact; a lower --lr, --clip-grad 1 or no --amp may help"
            )

    def _end_epoch(self, images: int, seconds: float) -> Metrics:
        """Evaluate, write the row, the checkpoints and the line on the screen."""
        lr = self._lr()
        metrics = {key: value / self.counts[key] for key, value in self.sums.items()}
        distributed.share_buffers(self.task.model)
        done = self.epoch + 1
        if done == self.settings.epochs or done % self.task.val_interval == 0:
            metrics.update(self.task.evaluate())
        unreadable = distributed.union(self.loader.unreadable)
        waited = distributed.total(self.waited)[0] / distributed.world()
        self.sums.clear()
        self.counts.clear()
        self.epoch, self.batch = done, 0
        score = metrics.get(self.task.best_metric or "", -math.inf)
        better, self.best = score > self.best, max(score, self.best)
        speed = images / seconds
        row = {**metrics, "lr": lr, "images_per_second": speed, "waiting": waited / seconds}
        row |= {"skipped": self.skipped, "unreadable": len(unreadable)}
        if self.logs:
            self.logs.epoch(self.epoch, self.updates, row)
        self.run.keep(self.state(metrics), epoch=self.epoch, history=self.settings.checkpoint_hist, best=better)
        if self.run.writes:
            say(self.epoch, self.settings.epochs, metrics, speed, seconds)
            self.on_epoch_end(self.epoch, self.task.model, self.run)
        return metrics

    def _after_update(self, values: Metrics) -> None:
        """Log and save when it is time; end here when a signal asked one of the processes for it."""
        if self.logs and self.updates % self.settings.log_interval == 0:
            self.logs.train(self.epoch, self.updates, {"lr": self._lr(), **values})
        asked = distributed.largest(self.stop.asked)
        if asked:
            self.run.keep(self.state())
            self.run.log("stopped", signal=signals.name(asked), epoch=self.epoch, batch=self.batch)
            raise signals.ended_by(asked, f"saved, go on with --resume {self.run.path}")
        every = self.settings.recovery_interval
        if every and self.updates % every == 0:
            self.run.keep(self.state())

    def _lr(self) -> float:
        return max(group["lr"] / group.get("lr_scale", 1.0) for group in self.task.optimizer.param_groups)


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
    with distributed.group(next(task.model.parameters()).device):
        run = _open(output, experiment, resume)
        trainer = Trainer(task, loader, settings, run, on_epoch_end)
        if resume:
            trainer.resume()
        run.write_settings(settings.as_values())
        if not resume:
            versions = {name: version(name) for name in ("a2mim", "torch", "timm")}
            about = {"python": platform.python_version(), "processes": distributed.world()}
            run.log("begin", start=start, **about, **versions)
        if run.writes:
            parameters = sum(parameter.numel() for parameter in task.model.parameters() if parameter.requires_grad)
            processes = f", {distributed.world()} processes" if distributed.world() > 1 else ""
            echo(
                f"run {run.path}: {loader.n_images} images, {parameters / 1e6:.2f} million trained parameters, "
                f"{trainer.device}{processes}"
            )
            for remark in trainer.remarks:
                echo(remark)
            if trainer.epoch or trainer.batch:
                echo(f"resumed after {trainer.epoch} epochs and {trainer.batch} batches")
        trainer.fit()
    return run


def _open(output: str | Path, experiment: str, resume: Path | None) -> Run:
    """The run, the same folder for all processes; only the first writes there."""
    found = distributed.from_main(str(resume))
    if found != str(resume):
        raise InputError(
            f"process {distributed.rank()} finds {resume or 'no run'} to resume where the first finds {found}: all "
            "need the same --output, on a file system that they share"
        )
    run = Run(resume) if resume else Run.create(output, experiment)
    return Run(distributed.from_main(str(run.path)), writes=distributed.is_main())
