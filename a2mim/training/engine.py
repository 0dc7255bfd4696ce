"""The training loop for pre-training and fine-tuning, in one process or several.

A task says what one step computes; ``Trainer`` does the rest: accumulation, mixed precision, clipping, schedule, steps
without a finite loss, log, checkpoints. Every random draw of a step comes from (seed, epoch, batch), so a run that was
interrupted and resumed ends with the same weights as one that was not, bit for bit on a CPU. Processes share the rows
of each batch and average their gradients: W processes compute what one would with W times the batch.
"""

from __future__ import annotations

import contextlib
import math
import platform
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import torch
from torch import nn
from tqdm import tqdm

from a2mim import distributed, seeds, signals
from a2mim.checkpoint import read_checkpoint
from a2mim.data import Batch, ImageLoader
from a2mim.errors import InputError, RunError
from a2mim.settings import TrainSettings
from a2mim.training import failures
from a2mim.training.devices import prepare
from a2mim.training.logs import Logs, check_readers, say
from a2mim.training.optimisation import create_scheduler
from a2mim.training.progress import Progress
from a2mim.training.runs import Run

MAX_SKIPPED = 10  # a run ends after this many updates in a row without a finite loss
Metrics = dict[str, float]


class BaseTask(ABC):
    """What is trained, and what one step computes; a method sets ``model`` and ``optimizer`` and defines ``loss``.

    A task knows nothing of epochs, files and processes. With several processes ``loss`` gets this process's rows of the
    global batch; ``a2mim.distributed.share`` gives its share of what is drawn for all.
    """

    model: nn.Module  # holds all trained weights
    optimizer: torch.optim.Optimizer
    best_metric: str | None = None  # a key of ``evaluate`` (larger is better); None: no best checkpoint
    val_interval: int = 1  # epochs between two evaluations; the last epoch is always evaluated

    @abstractmethod
    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The loss, a mean over the images, and detached scalars for the log.

        ``generator`` is on the model's device and in the same state in every process.
        """

    def after_update(self) -> None:  # noqa: B027 - optional
        """Called after each update of the weights, e.g. to update a momentum encoder or an average of the weights."""

    def evaluate(self) -> Metrics:
        """Metrics after an epoch; equal in every process (see ``a2mim.distributed.total``)."""
        return {}

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What a checkpoint says about the model: kind, arch, model_args, ..., and ``state_dict``."""

    def extra_state(self) -> dict[str, Any]:
        """What a resume needs besides ``model`` and ``optimizer``: tensors and plain values."""
        return {}

    def load_extra_state(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Restore what ``extra_state`` returned."""


class Step(NamedTuple):
    """The batch of this process, the images in all processes' batches, and its weight (1 if all are equally large)."""

    batch: Batch
    images: int
    weight: float


class Trainer:
    """Trains a task over the epochs of a loader, and writes the run.

    Each of several processes has its own trainer, inside ``distributed.group``; only the first process writes.

    Args:
        task: see ``BaseTask``.
        loader: training images; each process gets its share.
        settings: settings of the run.
        run: folder of the run.
        on_epoch_end: called with (epoch, model, run) after each epoch, in the first process.
        command, recipe: the command line and the recipe that started this process, for the log and checkpoints.

    Attributes:
        progress: where the run stands.
    """

    def __init__(
        self,
        task: BaseTask,
        loader: ImageLoader,
        settings: TrainSettings,
        run: Run,
        on_epoch_end: Callable[[int, nn.Module, Run], None] = lambda *_: None,
        *,
        command: str = "",
        recipe: str = "",
    ):
        check_readers(settings)
        self.task, self.loader, self.settings, self.run, self.on_epoch_end = task, loader, settings, run, on_epoch_end
        self.command, self.recipe = command, recipe
        self.device = next(task.model.parameters()).device
        self.updates_per_epoch = max(1, math.ceil(len(loader) / settings.grad_accum_steps))
        self.images_per_step = settings.batch_size * distributed.world()
        self.images_per_epoch = min(len(loader) * self.images_per_step, loader.n_images)
        self.scheduler = create_scheduler(task.optimizer, settings, self.updates_per_epoch)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=settings.amp and settings.amp_dtype == "float16")
        self.remarks = prepare(task.model, settings)
        self.loss = distributed.Synchronised(task.model, task.loss)
        self.progress = Progress()
        self.finite = False  # whether a loss of the present epoch was finite, as far as this process saw it
        self.waited = 0.0  # seconds of this epoch spent waiting for batches
        self.stop = signals.Stop()
        self.logs: Logs | None = None

    # --- state --------------------------------------------------------------------------------------------------------

    def state(self, metrics: Mapping[str, float] | None = None) -> dict[str, Any]:
        """Everything that a resume needs, and what a checkpoint says about the model and its run."""
        return {
            **self.task.describe(),
            "epoch": self.progress.epoch,
            "step": self.progress.updates,
            "args": self.settings.as_values(),
            "command": self.command,
            "recipe": self.recipe,
            "metric": dict(metrics or {}),
            "optimizer": self.task.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "extra": self.task.extra_state(),
            "processes": distributed.world(),
            "progress": self.progress.as_values(),
        }

    def resume(self) -> None:
        """Continue the run from its last checkpoint.

        Raises:
            InputError: no checkpoint, one of another model or from beyond the last epoch, or a run that was started
                with other settings.
        """
        state = read_checkpoint(self.run.last)
        if "progress" not in state:
            raise InputError(
                f"cannot resume from {self.run.last}: it holds only weights; a run resumes from the last.pth.tar that "
                "it wrote"
            )
        world = state.get("processes", 1)
        self.run.check_settings(self.settings.as_values(), distributed.world(), world)
        progress = Progress.from_values(state["progress"], self.run.last)
        begun = state.get("args") or {}
        progress.batch = self._translated(progress, begun.get("batch_size", self.settings.batch_size) * world)
        if progress.epoch + (progress.batch > 0) > self.settings.epochs:
            raise InputError(
                f"{self.run.last} stands after {progress.epoch} epochs and {progress.batch} batches, beyond the end of "
                f"epoch {self.settings.epochs}: raise --epochs"
            )
        try:
            self.task.model.load_state_dict(state["state_dict"], strict=True)
            self.task.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(f"{self.run.last} belongs to another model: {str(error).splitlines()[0]}") from error
        self.scaler.load_state_dict(state["scaler"])
        self.task.load_extra_state(state.get("extra", {}))
        self.progress = progress
        about = {"command": self.command, "recipe": self.recipe}
        self.run.tidy()
        self.run.log("resume", epoch=progress.epoch, batch=progress.batch, processes=distributed.world(), **about)
        # checkpoints keep the command that began the run; the log has that of every resume
        self.command = state.get("command") or self.command
        self.recipe = state.get("recipe") or self.recipe

    def _translated(self, progress: Progress, images_per_step: int) -> int:
        """The completed batches of the present epoch in batches of this process, where the run had other ones.

        Raises:
            InputError: no whole number of them, or another number of updates in an epoch.
        """
        if images_per_step == self.images_per_step:
            return progress.batch
        batch, rest = divmod(progress.batch * images_per_step, self.images_per_step)
        updates = progress.epoch * self.updates_per_epoch + math.ceil(batch / self.settings.grad_accum_steps)
        if rest or updates != progress.updates:
            raise InputError(
                f"{self.run.path} was started with batches of {images_per_step} images and cannot continue with "
                f"{self.images_per_step}: an epoch would have another number of updates; keep --batch-size"
            )
        self.remarks.append(
            f"batches have {self.images_per_step} images instead of {images_per_step}: images per update stay equal, "
            "but masks are drawn, and batch norm averages, over other batches"
        )
        return batch

    # --- loop ---------------------------------------------------------------------------------------------------------

    def fit(self) -> Metrics:
        """Train to the last epoch; returns the metrics of that epoch.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once the state is saved; its subclass Preempted after SIGTERM or SIGUSR1.
            RunError: ten updates in a row, or an epoch, without a finite loss; unreadable images; out of memory; a file
                that cannot be written.
            InputError: a network that does not take these images.
        """
        metrics: Metrics = {}
        done = self.images_per_epoch * self.progress.epoch + self.progress.batch * self.images_per_step
        bar = tqdm(
            total=self.images_per_epoch * self.settings.epochs,
            initial=done,
            unit=" images",
            disable=None if self.run.writes else True,  # None: shown in a terminal
            dynamic_ncols=True,
            smoothing=0.1,
        )
        try:
            self.logs = Logs(self.run, self.settings, self.progress.updates)
            with contextlib.closing(self.logs), bar, self.stop.listening(), seeds.preserved():
                while self.progress.epoch < self.settings.epochs:
                    started, first = time.perf_counter(), self.progress.batch
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
        self.waited, self.finite = 0.0, False
        progress, accumulated = self.progress, self.settings.grad_accum_steps
        bar.set_description(f"epoch {progress.epoch + 1}/{self.settings.epochs}")
        batches = self.loader.steps(progress.epoch, skip=progress.batch)
        step = self._next(batches)
        while step is not None:
            update = progress.batch + 1 == len(self.loader) or (progress.batch + 1) % accumulated == 0
            with failures.explained(step.batch.images.shape, failures.name_of(self.task.model)):
                found = self._forward_backward(step, update)
            images, weight = step.images, step.weight
            step = self._next(batches)  # read and sent while a GPU still computes
            values = self._update(found, weight, update)
            progress.add(values, images)
            progress.batch += 1
            bar.update(images)
            if update:
                self._after_update(values)

    def _next(self, batches: Iterator[Batch]) -> Step | None:
        """The next step, on its way to the device; None when the epoch is over in any process."""
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
        """Loss and gradient of one batch; returns the values for the log, still on the device."""
        progress = self.progress
        draw: list[int | str] = [self.settings.seed, "step", progress.epoch, progress.batch]
        generator = seeds.generator(*draw, "mask", device=self.device)
        if distributed.rank():  # masks are drawn once for all processes, dropout in each
            draw += ["process", distributed.rank()]
        seeds.reseed(*draw)  # dropout and stochastic depth draw from torch's global generators
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seeds.derive(*draw))
        if progress.batch % self.settings.grad_accum_steps == 0:
            self.task.optimizer.zero_grad()
            self.scheduler.step_update(progress.updates)
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
        """Batches in the present update; fewer at the end of an epoch."""
        first = self.progress.batch - self.progress.batch % self.settings.grad_accum_steps
        return min(self.settings.grad_accum_steps, len(self.loader) - first)

    def _update(self, found: Mapping[str, torch.Tensor], weight: float, update: bool) -> Metrics:
        """Means over the processes, as numbers, and the update when it is due; empty where the loss is not finite."""
        # one transfer after everything is queued: a step waits for the GPU once
        means = distributed.mean(torch.stack([value.float() for value in found.values()]), weight)
        numbers = dict(zip(found, means.tolist(), strict=True))
        finite = math.isfinite(numbers["loss"]) and math.isfinite(numbers.get("grad_norm", 0.0))
        self.finite |= math.isfinite(numbers["loss"])
        if update:
            self.progress.updates += 1
            if finite:
                self.progress.skipped_in_row = 0
                self.scaler.step(self.task.optimizer)
            self.scaler.update()
            if finite:
                self.task.after_update()
            else:
                self._skip(numbers)
        return numbers if finite else {}

    def _skip(self, numbers: Metrics) -> None:
        """Count an update without a finite loss or gradient, and give up after ten in a row."""
        progress = self.progress
        progress.skipped += 1
        progress.skipped_in_row += 1
        shown = {name: str(numbers[name]) for name in ("loss", "grad_norm")}  # JSON has no NaN
        self.run.log("skipped", epoch=progress.epoch, update=progress.updates, **shown)
        if progress.skipped_in_row >= MAX_SKIPPED:
            self._diverged(
                f"{MAX_SKIPPED} updates in a row had no finite loss or gradient (epoch {progress.epoch + 1})"
            )

    def _diverged(self, what: str) -> NoReturn:
        kept = f"what was saved in {self.run.path} is intact" if self.run.last.is_file() else "nothing was saved"
        raise RunError(f"{what}; {kept}; a lower --lr, --clip-grad 1 or --no-amp may help")

    def _end_epoch(self, images: int, seconds: float) -> Metrics:
        """Evaluate, write the row, the checkpoints and the line on the screen."""
        progress = self.progress
        if not self.finite and "loss" not in progress.counts and images:
            self._diverged(f"epoch {progress.epoch + 1} had no batch with a finite loss")
        lr, metrics = self._lr(), progress.means()
        distributed.share_buffers(self.task.model)
        done = progress.epoch + 1
        if done == self.settings.epochs or done % self.task.val_interval == 0:
            metrics.update(self.task.evaluate())
        unreadable = distributed.union(self.loader.unreadable)
        waited = distributed.total(self.waited)[0] / distributed.world()
        progress.end_epoch()
        score = metrics.get(self.task.best_metric or "", -math.inf)
        better, progress.best = score > progress.best, max(score, progress.best)
        speed = images / seconds
        row = {**metrics, "lr": lr, "images_per_second": speed, "waiting": waited / seconds}
        row |= {"skipped": progress.skipped, "unreadable": len(unreadable)}
        if self.logs:
            self.logs.epoch(done, progress.updates, row)
        self.run.keep(self.state(metrics), epoch=done, history=self.settings.checkpoint_hist, best=better)
        if self.run.writes:
            say(done, self.settings.epochs, metrics, speed, seconds)
            self.on_epoch_end(done, self.task.model, self.run)
        return metrics

    def _after_update(self, values: Metrics) -> None:
        """Log and save when it is time; save and stop where a signal to any of the processes asked for it."""
        progress = self.progress
        if self.logs and progress.updates % self.settings.log_interval == 0:
            self.logs.train(progress.epoch, progress.updates, {"lr": self._lr(), **values})
        asked = distributed.largest(self.stop.asked)
        if asked:
            self.run.keep(self.state())
            self.run.log("stopped", signal=signals.name(asked), epoch=progress.epoch, batch=progress.batch)
            raise signals.ended_by(asked, f"saved, go on with --resume {self.run.path}")
        every = self.settings.recovery_interval
        if every and progress.updates % every == 0:
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
    command: str = "",
    recipe: str = "",
) -> Run:
    """Open the run (a new folder, or the one to resume), say what will happen, train; returns the run.

    ``start`` says in the log where the weights come from, ``command`` and ``recipe`` what started the run.
    """
    with distributed.group(next(task.model.parameters()).device):
        run = _open(output, experiment, resume)
        trainer = Trainer(task, loader, settings, run, on_epoch_end, command=command, recipe=recipe)
        if resume:
            trainer.resume()
        run.write_settings(settings.as_values())
        if not resume:
            versions = {name: version(name) for name in ("a2mim", "torch", "timm")}
            about = {"python": platform.python_version(), "processes": distributed.world()}
            run.log("begin", start=start, command=command, recipe=recipe, **about, **versions)
        if run.writes:
            parameters = sum(parameter.numel() for parameter in task.model.parameters() if parameter.requires_grad)
            processes = f", {distributed.world()} processes" if distributed.world() > 1 else ""
            echo(
                f"run {run.path}: {loader.n_images} images, {parameters / 1e6:.2f} million trained parameters, "
                f"{trainer.device}{processes}"
            )
            for remark in trainer.remarks:
                echo(remark)
            if resume:
                echo(f"resumed after {trainer.progress.epoch} epochs and {trainer.progress.batch} batches")
        trainer.fit()
    return run


def _open(output: str | Path, experiment: str, resume: Path | None) -> Run:
    """The run, in the same folder for all processes; only the first writes to it."""
    found = distributed.from_main(str(resume))
    if found != str(resume):
        raise InputError(
            f"process {distributed.rank()} would resume {resume or 'no run'} and the first process {found}: all "
            "processes need the same --output, on a file system that they share"
        )
    run = Run(resume) if resume else Run.create(output, experiment)
    return Run(distributed.from_main(str(run.path)), writes=distributed.is_main())
