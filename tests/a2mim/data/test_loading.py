"""The loader: the same data whatever the workers, the batch size or the start; broken images; subsets; streams."""

import logging
import os
import random

import numpy as np
import pytest
import torch
from PIL import Image

from a2mim.data.loading import Batch, ImageLoader
from a2mim.data.sources import ImageSource, UnreadableError
from a2mim.data.transforms import eval_transform, train_transform
from a2mim.errors import InputError, RunError

MEAN = STD = (0.5, 0.5, 0.5)
TRAIN = train_transform(8, MEAN, STD)
PLAIN = eval_transform(8, MEAN, STD)


class Noise(ImageSource):
    """n noise images of 8x8 in n_classes classes; those in ``broken`` cannot be read."""

    name = "noise"

    def __init__(self, n=23, n_classes=3, broken=()):
        self.n, self.broken = n, set(broken)
        self.classes = tuple("abc"[:n_classes])

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index in self.broken:
            raise UnreadableError(self.path(index), "broken on purpose")
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), np.uint8)
        return Image.fromarray(pixels), index % len(self.classes)

    def labels(self):
        return np.arange(self.n) % len(self.classes)


def images_by_index(batches):
    return {int(k): image for batch in batches for k, image in zip(batch.indices, batch.images, strict=True)}


def same(first, second):
    first, second = list(first), list(second)
    assert len(first) == len(second)
    return all(torch.equal(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True))


def test_what_a_batch_is():
    batch = next(iter(ImageLoader(Noise(), PLAIN, batch_size=4)))
    assert isinstance(batch, Batch)
    images, labels, indices = batch
    assert (images.shape, images.dtype, images.is_contiguous()) == ((4, 3, 8, 8), torch.float32, True)
    assert torch.equal(images[2], PLAIN(Noise()[2][0]))
    assert (labels.tolist(), labels.dtype) == ([0, 1, 2, 0], torch.int64)
    assert (indices.tolist(), indices.dtype) == ([0, 1, 2, 3], torch.int64)


@pytest.mark.parametrize("drop_last", [False, True])
def test_length_and_last_batch(drop_last):
    loader = ImageLoader(Noise(23), PLAIN, batch_size=5, drop_last=drop_last)
    sizes = [len(batch.images) for batch in loader]
    assert sizes == [5, 5, 5, 5] + [3] * (not drop_last)
    assert len(loader) == len(sizes)


def test_workers_change_nothing_and_an_epoch_resumes_anywhere():
    here = ImageLoader(Noise(), TRAIN, batch_size=4, shuffle=True, seed=7)
    there = ImageLoader(Noise(), TRAIN, batch_size=4, shuffle=True, seed=7, workers=2)
    epochs = [list(here.epoch(number)) for number in range(3)]
    for number in (2, 0, 1):
        assert same(epochs[number], there.epoch(number))
    for skip in (1, 5, 6, 9):
        assert same(epochs[1][skip:], here.epoch(1, skip))
    assert same(epochs[1][3:], there.epoch(1, skip=3))
    next(there.epoch(2))  # left after its first batch
    assert same(epochs[0], there)
    assert sorted(images_by_index(epochs[1])) == list(range(23))


def test_epochs_and_seeds_differ_in_order_and_augmentation():
    loader = ImageLoader(Noise(), TRAIN, batch_size=23, shuffle=True)
    other = ImageLoader(Noise(), TRAIN, batch_size=23, shuffle=True, seed=1)
    first, second, third = next(loader.epoch(0)), next(loader.epoch(1)), next(other.epoch(0))
    for a, b in ((first, second), (first, third)):
        assert a.indices.tolist() != b.indices.tolist()
        a, b = images_by_index([a]), images_by_index([b])
        assert sum(torch.equal(a[k], b[k]) for k in a) < 3


def test_batch_size_order_and_limit_do_not_change_an_image():
    full = images_by_index(ImageLoader(Noise(), TRAIN, batch_size=4, shuffle=True).epoch(3))
    for options in (dict(batch_size=7, shuffle=True), dict(batch_size=23), dict(batch_size=2, shuffle=True, limit=9)):
        other = images_by_index(ImageLoader(Noise(), TRAIN, **options).epoch(3))
        assert all(torch.equal(full[k], image) for k, image in other.items())


def test_a_plain_callable_is_a_transform_too():
    def transform(image):
        return torch.rand(2) + torch.tensor(image.getpixel((0, 0))[:2])

    a, b = (next(iter(ImageLoader(Noise(), transform, batch_size=n))).images[:3] for n in (3, 5))
    assert torch.equal(a, b)


@pytest.mark.parametrize("workers", [0, 1])
def test_global_generators_are_left_alone(workers):
    loader = ImageLoader(Noise(), TRAIN, batch_size=4, shuffle=True, workers=workers)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state()  # noqa: NPY002
    list(loader)
    assert random.getstate() == before[0]
    assert np.random.get_state()[1].tolist() == before[1]  # noqa: NPY002
    assert torch.equal(torch.random.get_rng_state(), before[2])


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_images_are_skipped_counted_and_reported_once(workers, caplog):
    loader = ImageLoader(Noise(300, broken=[5, 6, 250]), PLAIN, batch_size=4, workers=workers)
    with caplog.at_level(logging.WARNING, "a2mim.data"):
        for _ in range(2):
            sizes = [len(batch.images) for batch in loader.epoch(1)]
            assert (sum(sizes), min(sizes), len(sizes)) == (297, 2, 75)
    assert loader.unreadable == {f"noise/train[{k}]": "broken on purpose" for k in (5, 6, 250)}
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 3
    assert "noise/train[250]: broken on purpose" in messages[-1]


def test_a_batch_of_which_nothing_is_left_is_not_given():
    loader = ImageLoader(Noise(400, broken=range(4, 8)), PLAIN, batch_size=4)
    batches = list(loader)
    assert len(batches) == 99
    assert min(len(batch.images) for batch in batches) == 4


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(("n", "broken"), [(20, [7]), (300, [1, 100, 200, 299])])
def test_more_than_one_in_a_hundred_unreadable_ends_the_run(n, broken, workers):
    loader = ImageLoader(Noise(n, broken=broken), PLAIN, batch_size=8, workers=workers)
    with pytest.raises(RunError, match=rf"{len(broken)} of the {n} images of noise cannot be read.*noise/train\["):
        list(loader)


def test_one_in_a_hundred_is_not_more():
    assert sum(len(batch.images) for batch in ImageLoader(Noise(100, broken=[3]), PLAIN, batch_size=8)) == 99


def test_limit_is_always_the_same():
    loader = ImageLoader(Noise(30), PLAIN, batch_size=4, shuffle=True, limit=7)
    kept = [sorted(images_by_index(loader.epoch(number))) for number in range(2)]
    assert kept[0] == kept[1]
    assert (len(kept[0]), len(loader), loader.n_images) == (7, 2, 7)
    assert ImageLoader(Noise(30), PLAIN, batch_size=4, limit=99).n_images == 30


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(batch_size=0), "batch size 0"),
        (dict(workers=-1), "workers -1"),
        (dict(limit=0), "limit 0"),
        (dict(batch_size=24, drop_last=True), "noise gives 23 images, not one full batch of 24"),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(InputError, match=message):
        ImageLoader(Noise(), PLAIN, **{"batch_size": 4, **options})


def test_negative_epochs_and_skips():
    loader = ImageLoader(Noise(), PLAIN, batch_size=4)
    for arguments in ((-1,), (0, -1)):
        with pytest.raises(InputError, match="must not be negative"):
            loader.epoch(*arguments)


@pytest.mark.parametrize("workers", [0, 1])
def test_two_epochs_at_once_are_refused(workers):
    loader = ImageLoader(Noise(), PLAIN, batch_size=4, workers=workers)
    first = iter(loader)
    next(first)
    second = loader.epoch(1)
    with pytest.raises(RuntimeError, match="another epoch"):
        next(first)
    assert sum(len(batch.images) for batch in second) == 23


def _die(image):
    os._exit(3)


def test_a_worker_that_dies_ends_the_run_in_words():
    with pytest.raises(RunError, match="a worker process that reads images died"):
        list(ImageLoader(Noise(), _die, batch_size=4, workers=1))


def test_repeated_augmentation_shows_each_image_several_times_in_one_batch_and_no_more_in_all():
    settings = dict(batch_size=6, shuffle=True, drop_last=True, seed=3)
    draw = lambda image: torch.rand(3, 1, 1)  # noqa: E731
    plain, repeated = ImageLoader(Noise(24), draw, **settings), ImageLoader(Noise(24), draw, **settings, repeats=3)
    assert len(plain) == len(repeated) == 4
    epochs = [list(repeated.epoch(number)) for number in range(2)]
    seen = [index for batch in epochs[0] for index in batch.indices.tolist()]
    assert all(len(set(seen[k : k + 3])) == 1 for k in range(0, 24, 3))
    assert len(set(seen)) == 8
    first = epochs[0][0].images
    # the first of each is what it is without repeats; no draw comes again in another epoch
    assert torch.equal(first[0], images_by_index(plain.epoch(0))[seen[0]])
    shared = set(seen) & {index for batch in epochs[1] for index in batch.indices.tolist()}
    views = {}
    for batch in (*epochs[0], *epochs[1]):
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            views.setdefault(index, []).append(image)
    assert shared
    assert all(len(torch.unique(torch.stack(views[index]), dim=0)) == 6 for index in shared)
    assert same(epochs[1][2:], repeated.epoch(1, skip=2))
    with pytest.raises(InputError, match="cannot be repeated 3 times: they are not shuffled"):
        ImageLoader(Noise(), PLAIN, batch_size=4, repeats=3)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [24, 23, 17])
def test_processes_share_each_global_batch_row_by_row(n, drop_last):
    options = dict(shuffle=True, drop_last=drop_last, seed=3)
    alone = ImageLoader(Noise(n), TRAIN, batch_size=8, **options)
    together = [ImageLoader(Noise(n), TRAIN, batch_size=4, rank=rank, world=2, **options) for rank in range(2)]
    assert [len(loader) for loader in together] == [len(alone)] * 2
    steps = [list(loader.steps(2)) for loader in together]
    for k, batch in enumerate(alone.epoch(2)):
        rows = [step for steps_of_rank in steps for step in steps_of_rank[k].indices.tolist() if step >= 0]
        assert rows == batch.indices.tolist()
        own = torch.cat([part[k].images[part[k].indices >= 0] for part in steps])
        assert torch.equal(own, batch.images)
    if not drop_last:
        seen = [int(k) for loader in together for batch in loader.epoch(2) for k in batch.indices]
        assert sorted(seen) == list(range(n))


def test_every_process_takes_every_step():
    loader = ImageLoader(Noise(400, broken=range(4, 8)), PLAIN, batch_size=4)
    steps = list(loader.steps(0))
    assert (len(steps), len(loader)) == (100, 100)
    assert steps[1].indices.tolist() == [-1] * 4
    assert steps[1].images.shape == steps[0].images.shape
    assert sum(len(batch.images) for batch in loader) == 396


def test_one_batch_for_all_processes_is_the_least():
    with pytest.raises(InputError, match="23 images, not one full batch of 8 for each of 3 processes"):
        ImageLoader(Noise(), PLAIN, batch_size=8, drop_last=True, world=3)


def test_images_that_vanish_end_the_run_at_once():
    loader = ImageLoader(Noise(10_000, broken=range(16, 10_000)), PLAIN, batch_size=8)
    with pytest.raises(RunError, match=r"none of the 8 images of a batch could be read.*is noise still in its place"):
        list(loader)
    assert not loader.unreadable
