"""From images to batches: a loader that can repeat every epoch, from any batch on.

The order of epoch e depends only on (seed, e), the augmentation of image i in it only on (seed, e, i): not on the
number of worker processes, the batch size, or earlier draws. A resumed run therefore sees the same data, bit for bit,
and several processes share the batches that one process would have.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler, get_worker_info

from a2mim import seeds
from a2mim.data.sources import ImageSource, UnreadableError, balanced_subset
from a2mim.data.timm_sources import TimmStream
from a2mim.data.transforms import ImageTransform
from a2mim.data.workers import settle_worker, start_workers
from a2mim.errors import InputError, RunError

MAX_UNREADABLE = 0.01
SHOWN = 20  # warnings about single images, at most
MANY = 8  # a whole unreadable batch of this many images ends the run
Transform = Callable[[Image.Image], torch.Tensor]
_LOGGER = logging.getLogger("a2mim.data")


class Batch(NamedTuple):
    """images float32 (B, 3, H, W), normalised; labels int64 (B,), -1 = none; indices int64 (B,) in the source."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor


_Item = tuple[Batch | None, list[tuple[str, str]]]  # a batch, and its unreadable images: path, reason


class ImageLoader:
    """Batches of a source, epoch by epoch.

    ``loader.epoch(3, skip=10)`` gives epoch 3 without its first ten batches, ``iter(loader)`` epoch 0; ``len(loader)``
    is the number of batches in an epoch. An unreadable image is left out (its batch is shorter, and omitted if nothing
    is left), reported once and kept in ``unreadable`` {path: reason}; more than 1 % of them end the run with a
    ``RunError``.

    Args:
        source: the images. A ``TimmStream`` keeps its own order, see ``a2mim.data.timm_sources``.
        transform: PIL image -> tensor (3, H, W).
        batch_size: images in a batch.
        shuffle: a new order for every epoch; otherwise the order of the source.
        drop_last: leave out the last batch if it is smaller than the others.
        seed: seed of the order, the augmentations and ``limit``.
        workers: processes that read ahead; 0 reads in this process.
        limit: number of images to use, always the same ones, balanced over classes; ``n_images`` is the number used.
        pin_memory: put batches into page-locked memory, from which a GPU copies faster.
        rank, world: number of this process, and of all that train together. Each global batch has world · batch_size
            images; this process gets the rows from rank · batch_size on, so every image comes once. The last batch of
            some processes may be shorter.
        repeats: repeated augmentation ("Augment Your Batch", Hoffer et al., 2020, arXiv:1901.09335): each image comes
            ``repeats`` times in a row, with different augmentations; the epoch keeps its length, with 1/repeats of the
            images. Needs ``shuffle``, and not a stream.
    """

    def __init__(
        self,
        source: ImageSource,
        transform: Transform,
        *,
        batch_size: int,
        shuffle: bool = False,
        drop_last: bool = False,
        seed: int = 0,
        workers: int = 0,
        limit: int | None = None,
        pin_memory: bool = False,
        rank: int = 0,
        world: int = 1,
        repeats: int = 1,
    ):
        least_values = (
            ("batch size", batch_size, 1),
            ("workers", workers, 0),
            ("limit", limit, 1),
            ("repeats", repeats, 1),
        )
        for name, value, least in least_values:
            if value is not None and value < least:
                raise InputError(f"{name} {value} must be at least {least}")
        self.source = source
        self.batch_size = batch_size
        self.n_images = min(len(source), limit or len(source))
        self.transform = transform
        if self.n_images < (batch_size * world if drop_last else 1):
            batch = f"{batch_size} for each of {world} processes" if world > 1 else batch_size
            raise InputError(
                f"{source.name} gives {self.n_images} images, not one full batch of {batch}: lower the batch size"
            )
        self.unreadable: dict[str, str] = {}
        self._turn = 0
        if repeats > 1 and (isinstance(source, TimmStream) or not shuffle):
            raise InputError(
                f"the images of {source.name} cannot be repeated {repeats} times: they are not shuffled, or a stream"
            )
        settings = _Settings(
            self.n_images, batch_size, shuffle, drop_last, seed, workers, pin_memory, repeats, rank, world
        )
        self._feed: _Stream | _Numbered
        if isinstance(source, TimmStream):
            self._feed = _Stream(source, transform, settings)
        else:
            self._feed = _Numbered(source, transform, settings)

    def __len__(self) -> int:
        return len(self._feed)

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of epoch ``number`` without the first ``skip``; ends an unfinished epoch of this loader."""
        return (batch for batch in self._begin(number, skip) if batch is not None)

    def steps(self, number: int, skip: int = 0) -> Iterator[Batch]:
        """As ``epoch``, but always one batch for each of the ``len(self)`` steps that processes take together.

        A batch of which nothing is left, or without rows for this process, is replaced by grey images with index -1.
        """
        for batch in self._begin(number, skip):
            yield self._blank() if batch is None else batch

    def _begin(self, number: int, skip: int) -> Iterator[Batch | None]:
        if number < 0 or skip < 0:
            raise InputError(f"epoch {number} and skip {skip} must not be negative")
        self._turn += 1
        return self._run(self._turn, self._feed.start(number, skip))

    def batches(self, numbers: Sequence[int]) -> Iterator[tuple[int, Batch | None]]:
        """(number, batch) for the given batches of epoch 0, in rising order; None if no image of it can be read.

        Images of other batches are not read, except from a stream.
        """
        self._turn += 1
        return zip(sorted(numbers), self._run(self._turn, self._feed.some(sorted(numbers))), strict=False)

    def _blank(self) -> Batch:
        with seeds.isolated(0):
            grey = _one_by_one(self.transform)(Image.new("RGB", (64, 64), (128, 128, 128)))
        blank = _stack([(grey, 0, -1)] * self.batch_size, self.transform)
        assert blank is not None
        return blank

    def _run(self, turn: int, items: Iterator[_Item]) -> Iterator[Batch | None]:
        while True:
            if turn != self._turn:  # both would read from the same worker processes
                raise RuntimeError("another epoch of this loader was started; use a separate loader for each")
            try:
                batch, failures = next(items)
            except StopIteration:
                return
            except RuntimeError as error:
                if (reason := _of_worker(error)) is None:
                    raise
                raise RunError(reason) from error
            if batch is None and len(failures) >= MANY:
                path, reason = failures[0]
                raise RunError(
                    f"none of the {len(failures)} images of a batch could be read ({path}: {reason}); "
                    f"is {self.source.name} still in its place?"
                )
            for path, reason in failures:
                self._report(path, reason)
            yield batch

    def _report(self, path: str, reason: str) -> None:
        if path in self.unreadable:
            return
        self.unreadable[path] = reason
        if len(self.unreadable) <= SHOWN:
            more = "; further ones are only counted" if len(self.unreadable) == SHOWN else ""
            message = "skipped an unreadable image (number %d): %s: %s%s"
            _LOGGER.warning(message, len(self.unreadable), path, reason, more)
        if len(self.unreadable) > MAX_UNREADABLE * self.n_images:
            examples = "; ".join(f"{name}: {why}" for name, why in list(self.unreadable.items())[:3])
            raise RunError(
                f"{len(self.unreadable)} of the {self.n_images} images of {self.source.name} cannot be read, more than "
                f"{MAX_UNREADABLE:.0%}: {examples}{'; ...' if len(self.unreadable) > 3 else ''}"
            )


@dataclass(frozen=True)
class _Settings:
    n_images: int
    batch_size: int
    shuffle: bool
    drop_last: bool
    seed: int
    workers: int
    pin_memory: bool
    repeats: int = 1
    rank: int = 0
    world: int = 1

    def batches(self, images: int, batch_size: int) -> int:
        return images // batch_size if self.drop_last else -(-images // batch_size)


class _Numbered:
    """Batches of a source with numbered images."""

    def __init__(self, source: ImageSource, transform: Transform, settings: _Settings):
        chosen = np.arange(len(source))
        if settings.n_images < len(source):
            chosen = balanced_subset(source.labels(), len(source), settings.n_images, settings.seed)
        self.plan = _Plan(chosen, len(source), settings)
        self.loader = DataLoader(
            _Samples(source, transform, settings),
            sampler=self.plan,
            batch_size=None,
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
            pin_memory=settings.pin_memory,
            collate_fn=_unchanged,
            worker_init_fn=settle_worker,
            generator=torch.Generator(),  # otherwise every epoch would draw from the global generator
        )

    def __len__(self) -> int:
        return len(self.plan)

    def start(self, epoch: int, skip: int) -> Iterator[_Item]:
        self.plan.epoch, self.plan.numbers = epoch, range(skip, len(self.plan))
        return start_workers(self.loader)

    def some(self, numbers: Sequence[int]) -> Iterator[_Item]:
        self.plan.epoch, self.plan.numbers = 0, numbers
        return start_workers(self.loader)


class _Plan(Sampler[list[int]]):
    """The batches of one epoch as lists of (epoch · repeats + repeat) · n + index.

    The number tells worker processes which epoch it is.
    """

    def __init__(self, chosen: np.ndarray, n_source: int, settings: _Settings):
        self.chosen = chosen
        self.n_source = n_source
        self.settings = settings
        self.epoch = 0
        self.numbers: Sequence[int] = range(len(self))

    def __len__(self) -> int:
        return self.settings.batches(len(self.chosen), self.settings.batch_size * self.settings.world)

    def __iter__(self) -> Iterator[list[int]]:
        order = self.chosen
        if self.settings.shuffle:
            order = seeds.numpy_generator(self.settings.seed, "order", self.epoch).permutation(order)
        repeats = self.settings.repeats
        turns = self.epoch * repeats + np.arange(len(order)) % repeats
        numbers = np.repeat(order, repeats)[: len(order)] + turns * self.n_source
        size, world = self.settings.batch_size, self.settings.world
        own = slice(size * self.settings.rank, size * (self.settings.rank + 1))  # rows of the global batch
        return (numbers[size * world * k : size * world * (k + 1)][own].tolist() for k in self.numbers)


class _Samples(Dataset[_Item]):
    """Reads and augments a batch of a plan; runs in the worker processes."""

    def __init__(self, source: ImageSource, transform: Transform, settings: _Settings):
        self.source = source
        self.transform = transform
        self.seed = settings.seed
        self.repeats = settings.repeats

    def __getitem__(self, numbers: list[int]) -> _Item:
        one = _one_by_one(self.transform)
        samples, failures = [], []
        with seeds.preserved():
            for number in numbers:
                turn, index = divmod(number, len(self.source))
                epoch, repeat = divmod(turn, self.repeats)
                try:
                    image, label = self.source[index]
                except UnreadableError as error:
                    failures.append((error.path, error.reason))
                    continue
                seeds.reseed(self.seed, "augment", epoch, index, *([repeat] if repeat else []))
                samples.append((one(image), label, index))
        return _stack(samples, self.transform), failures


class _Stream:
    """Batches of a source that is read in sequence; ``a2mim.data.timm_sources`` says what it cannot guarantee."""

    def __init__(self, source: TimmStream, transform: Transform, settings: _Settings):
        self.source = source
        self.transform = transform
        self.settings = settings

    def __len__(self) -> int:
        return self.settings.batches(self._samples(0).n_images, self.settings.batch_size) * max(
            self.settings.workers, 1
        )

    def _samples(self, epoch: int) -> _StreamSamples:
        return _StreamSamples(self.source, self.transform, self.settings, epoch)

    def start(self, epoch: int, skip: int) -> Iterator[_Item]:
        loader = DataLoader(
            self._samples(epoch),
            batch_size=None,
            num_workers=self.settings.workers,
            pin_memory=self.settings.pin_memory,
            collate_fn=_unchanged,
            worker_init_fn=settle_worker,
            generator=seeds.generator(self.settings.seed, "stream", epoch),  # timm's readers shuffle by it
        )
        if self.settings.rank and not self.settings.shuffle:
            return iter(())
        items = itertools.islice(start_workers(loader), skip, None)
        first = next(items, None)
        if first is None and not skip:
            raise RunError(f"no image of {self.source.name} could be read; timm's messages above may say why")
        return itertools.chain([first] if first else [], items)

    def some(self, numbers: Sequence[int]) -> Iterator[_Item]:
        return (item for number, item in enumerate(self.start(0, 0)) if number in numbers)


class _StreamSamples(IterableDataset[_Item]):
    """One worker's share of an epoch of a stream, in batches."""

    def __init__(self, source: TimmStream, transform: Transform, settings: _Settings, epoch: int):
        workers = max(settings.workers, 1)
        self.transform = transform
        self.settings = settings
        self.epoch = epoch
        rank, world = (settings.rank, settings.world) if settings.shuffle else (0, 1)  # in order: the first reads all
        self.first = rank * workers
        self.apart = world * workers
        self.reader, self.n_images = source.reader(
            shuffle=settings.shuffle, batch_size=settings.batch_size, seed=settings.seed, epoch=epoch, workers=workers,
            rank=rank, world=world,
        )  # fmt: skip
        self.limit = -(-settings.n_images // self.apart) if settings.n_images < len(source) else None
        self.n_images = min(self.n_images, self.limit or self.n_images)

    def __iter__(self) -> Iterator[_Item]:
        info = get_worker_info()
        worker = self.first + (info.id if info else 0)
        one = _one_by_one(self.transform)
        samples = []
        for count, (image, label) in enumerate(itertools.islice(self.reader, self.limit)):
            place = worker + self.apart * count
            with seeds.isolated(self.settings.seed, "augment", self.epoch, place):
                samples.append((one(image), -1 if label is None else int(label), place))
            if len(samples) == self.settings.batch_size:
                yield _stack(samples, self.transform), []
                samples = []
        if samples and not self.settings.drop_last:
            yield _stack(samples, self.transform), []


def _one_by_one(transform: Transform) -> Transform:
    """The part of a transform that is applied per image; ``_stack`` applies the rest to the batch."""
    return transform.pixels if isinstance(transform, ImageTransform) else transform


def _stack(samples: list[tuple[torch.Tensor, int, int]], transform: Transform) -> Batch | None:
    if not samples:
        return None
    images, labels, indices = zip(*samples, strict=True)
    pixels = torch.stack(images)
    if isinstance(transform, ImageTransform):
        pixels = transform.normalise(pixels)
    batch = Batch(pixels, torch.tensor(labels), torch.tensor(indices))
    if get_worker_info() is not None:
        # here, where an error reaches the process that waits: torch's queue would print it, send nothing, and that
        # process would wait for ever
        for values in batch:
            values.share_memory_()
    return batch


def _of_worker(error: RuntimeError) -> str | None:
    """What a worker process met, in one line; None for anything that was not foreseen."""
    text = str(error).strip()
    lines = text.splitlines()
    if "shared memory" in text and lines[0].startswith("Caught"):
        return (
            f"a worker process found no shared memory for a batch ({lines[-1]}): use fewer --workers (0 needs none), a "
            "smaller --batch-size, or more of it (docker run --shm-size=8g)"
        )
    if "DataLoader worker (pid" in text:  # killed, or gone
        return (
            "a worker process that reads images died, often because (shared) memory ran out: use fewer --workers or a "
            f"smaller --batch-size ({lines[0]})"
        )
    return None


def _unchanged(item: Any) -> Any:
    return item
