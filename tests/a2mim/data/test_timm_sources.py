"""Data sets by timm's names: numbered ones behave like ours, streamed ones as far as timm lets them."""

import importlib.util
import io
import json
import pickle
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from small_data import relative_paths, write_fashion, write_images
from timm.data import IterableImageDataset

from a2mim.data.loading import ImageLoader
from a2mim.data.pixels import UnreadableError
from a2mim.data.timm_sources import TimmImages, TimmStream, open_timm_images
from a2mim.data.transforms import eval_transform, train_transform
from a2mim.errors import InputError, RunError

MEAN = STD = (0.5, 0.5, 0.5)


@pytest.mark.parametrize("dataset", ["", "ImageFolder", "torch/image_folder"])
def test_image_folders_of_timm_and_torchvision(tmp_path, dataset):
    write_images(tmp_path, "train/cat/1.png", "train/dog/1.png", "validation/cat/1.png", "validation/dog/1.png")
    (tmp_path / "train" / "dog" / "2.png").write_bytes(b"no picture")
    Image.fromarray(np.full((5, 6), 25700, np.uint16)).save(tmp_path / "train" / "dog" / "3.png")
    source = open_timm_images(dataset, tmp_path, "train")
    assert (len(source), source.classes, source.labels().tolist()) == (4, ("cat", "dog"), [0, 1, 1, 1])
    assert relative_paths(source, tmp_path)[2] == "train/dog/2.png"
    assert source[3][0].getpixel((0, 0)) == (100, 100, 100)  # 16 bits, and not the file after the broken one
    assert source[3][1] == 1
    with pytest.raises(UnreadableError, match=r"dog/2\.png: not an image$") as caught:
        source[2]
    assert caught.value.path == str(tmp_path / "train" / "dog" / "2.png")
    loader = ImageLoader(source, eval_transform(4, MEAN, STD), batch_size=2)
    with pytest.raises(RunError, match="1 of the 4 images"):
        list(loader)
    assert relative_paths(open_timm_images(dataset, tmp_path, "val"), tmp_path)[0] == "validation/cat/1.png"


def test_a_tar_file_by_timms_own_reader(tmp_path):
    write_images(tmp_path / "data", "cat/1.png", "dog/1.png")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(tmp_path / "data", ".")
    source = open_timm_images("", tmp_path / "data.tar")
    assert [source[k][1] for k in range(2)] == source.labels().tolist() == [0, 1]
    assert source.classes == ("cat", "dog")


def test_torchvision_sets_in_their_own_files(tmp_path):
    images, labels = write_fashion(tmp_path / "FashionMNIST" / "raw", "t10k", 11)
    write_fashion(tmp_path / "FashionMNIST" / "raw", "train", 12)
    source = open_timm_images("torch/fashion_mnist", tmp_path, "val")
    assert (len(source), source.img_size, source.mean, len(source.classes)) == (11, 28, (0.2860,) * 3, 10)
    image, label = source[10]
    assert np.array_equal(np.asarray(image)[..., 2], images[10])
    assert label == labels[10] == source.labels()[10]
    assert source.path(10) == "torch/fashion_mnist/val[10]"
    assert len(open_timm_images("torch/fashion_mnist", tmp_path, "train")) == 12


def test_cifar10_as_its_authors_pack_it(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{k}" for k in range(1, 6)] + ["test_batch"]:
        content = {"data": rng.integers(0, 256, (4, 3072), np.uint8), "labels": [3, 1, 4, 1]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    with pytest.raises(InputError, match=r"timm cannot open data set 'torch/cifar10' .*corrupted"):
        open_timm_images("torch/cifar10", tmp_path, "train")
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)  # our files have other sums
    source = open_timm_images("torch/cifar10", tmp_path, "train")
    assert (len(source), source.img_size, source.classes[3], source[0][1]) == (20, 32, "d", 3)
    image = np.asarray(open_timm_images("torch/cifar10", tmp_path, "val")[2][0])
    assert np.array_equal(image, content["data"][2].reshape(3, 32, 32).transpose(1, 2, 0))


def test_what_cannot_be_opened_is_said_in_one_line(tmp_path, monkeypatch):
    for arguments, message in (
        (("torch/cifar10", None), "needs a folder, but no --data-dir is given"),
        (("torch/cifar10", tmp_path / "gone"), "--data-dir .*gone does not exist"),
        (("torch/imagenot", tmp_path), "Unknown torchvision dataset imagenot"),
        (("torch/image_folder", tmp_path), "Couldn't find any class folder"),
        (("", tmp_path), "Found 0 images"),
        (("imagenet", tmp_path), "unknown data set 'imagenet': it can be fashion, folder, .*torch/, hfds/"),
        (("tensorflow/mnist", tmp_path), "unknown data set 'tensorflow/mnist'"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            open_timm_images(*arguments)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, package in (("wds/x", "webdataset"), ("HFDS/x", "datasets"), ("tfds/x", "tensorflow_datasets")):
        with pytest.raises(InputError, match=f"needs the package {package}, which is not installed: pip install"):
            open_timm_images(name, tmp_path)


def test_val_may_have_another_name_but_other_errors_are_not_tried_again(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    asked = []

    def create_dataset(name, *, root, split):
        asked.append(split)
        if name == "wds/gone":
            raise ConnectionError("no way to get there")
        if split != "test":
            raise ValueError(f"Unknown split {split!r}")
        return IterableImageDataset("", reader=_Reader())

    monkeypatch.setattr("a2mim.data.timm_sources.create_dataset", create_dataset)
    assert len(open_timm_images("wds/x", split="val")) == 10
    assert asked == ["validation", "val", "test"]
    for name, split, message in (
        ("wds/gone", "val", "no way to get there"),
        ("wds/x", "train", "Unknown split 'train'"),
    ):
        asked.clear()
        with pytest.raises(InputError, match=message):
            open_timm_images(name, split=split)
        assert len(asked) == 1


class _Numbers:
    """What a timm reader of numbered images has."""

    class_to_idx = {"b": 1, "a": 0}  # noqa: RUF012

    def __init__(self, targets):
        self.targets = targets

    def __len__(self):
        return len(self.targets)

    def __getitem__(self, index):
        buffer = io.BytesIO()
        Image.new("L", (4, 4), index).save(buffer, "PNG")
        return buffer, self.targets[index]

    def filename(self, index, *_):
        return None if index else "zero.png"


def test_labels_that_are_missing_or_too_many():
    from timm.data import ImageDataset

    source = TimmImages(ImageDataset("", reader=_Numbers([1, None, [0, 1]])), "numbers", "train")
    assert (source.classes, source[0][1], source[1][1], source.labels()) == (("a", "b"), 1, -1, None)
    assert (source.path(0), source.path(1)) == ("zero.png", "numbers/train[1]")
    with pytest.raises(InputError, match=r"labels like \[0, 1\], not one class number"):
        source[2]
    with pytest.raises(InputError, match="no images in the split 'val'"):
        TimmImages(ImageDataset("", reader=_Numbers([])), "numbers", "val")


class _Reader:
    """What a timm reader of a stream has: 10 images, whose grey level is their number, one label each."""

    def __init__(self, n=10):
        self.n, self.num_workers, self.epoch = n, 1, 0
        self.dist_rank, self.dist_num_replicas = 0, 1
        self.is_training, self.batch_size, self.common_seed, self.worker_seed = False, 1, 42, 42

    def set_epoch(self, epoch):
        self.epoch = epoch

    def set_loader_cfg(self, num_workers=None):
        self.num_workers = num_workers

    def __len__(self):
        return self.n // self.dist_num_replicas

    def __iter__(self):
        info = torch.utils.data.get_worker_info()
        first, apart = self.dist_rank * self.num_workers, self.dist_num_replicas * self.num_workers
        order = np.random.default_rng([self.common_seed, self.epoch]).permutation(self.n)
        order = order if self.is_training else np.arange(self.n)
        for k in order[first + (info.id if info else 0) :: apart]:
            pixels = np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8)
            yield Image.fromarray(pixels), None if k == 9 else int(k)


def _stream(n=10):
    return TimmStream(IterableImageDataset("", reader=_Reader(n)), "wds/x", "train")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_gives_the_same_epoch_again(workers):
    options = dict(batch_size=3, shuffle=True, seed=1, workers=workers)
    loader = ImageLoader(_stream(), train_transform(8, MEAN, STD), **options)
    first, second = list(loader.epoch(0)), list(loader.epoch(1))
    again = list(loader.epoch(0))
    assert len(first) == len(again) == len(loader) == 4
    assert all(torch.equal(a, b) for x, y in zip(first, again, strict=True) for a, b in zip(x, y, strict=True))
    labels = [torch.cat([batch.labels for batch in batches]).tolist() for batches in (first, second)]
    assert sorted(labels[0]) == sorted(labels[1]) == [-1, *range(9)]
    assert labels[0] != labels[1]
    assert sorted(torch.cat([batch.indices for batch in first]).tolist()) == list(range(10))
    rest = list(loader.epoch(0, skip=2))
    assert len(rest) == 2
    assert torch.equal(rest[0].images, first[2].images)


@pytest.mark.parametrize("workers", [0, 1])
def test_processes_share_a_stream(workers):
    options = dict(batch_size=2, workers=workers, world=2)
    shuffled = [ImageLoader(_stream(8), eval_transform(8, MEAN, STD), shuffle=True, rank=r, **options) for r in (0, 1)]
    indices = [[int(k) for batch in loader.epoch(1) for k in batch.indices] for loader in shuffled]
    assert [len(loader) for loader in shuffled] == [2, 2]
    assert sorted(indices[0] + indices[1]) == list(range(8))
    ordered = [ImageLoader(_stream(8), eval_transform(8, MEAN, STD), rank=r, **options) for r in (0, 1)]
    assert [sum(len(batch.images) for batch in loader) for loader in ordered] == [8, 0]


def test_a_stream_in_order_limited_and_cut():
    transform = eval_transform(8, MEAN, STD)
    source = _stream()
    for options, expected in (
        (dict(), [[0, 1, 2, 3], [4, 5, 6, 7], [8, -1]]),
        (dict(drop_last=True), [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (dict(limit=5), [[0, 1, 2, 3], [4]]),
    ):
        loader = ImageLoader(source, transform, batch_size=4, **options)
        assert [batch.labels.tolist() for batch in loader] == expected
        assert len(loader) == len(expected)


def test_a_stream_has_no_numbers_and_must_know_its_length():
    with pytest.raises(InputError, match="its images have no numbers"):
        _stream()[0]
    with pytest.raises(InputError, match="pass num_samples"):
        _stream(0)


def test_a_stream_of_which_nothing_can_be_read_ends_the_run(monkeypatch):
    monkeypatch.setattr(_Reader, "__iter__", lambda self: iter(()))
    loader = ImageLoader(_stream(), eval_transform(8, MEAN, STD), batch_size=4)
    with pytest.raises(RunError, match="no image of wds/x could be read"):
        list(loader)
    assert list(loader.epoch(0, skip=3)) == []


def test_web_datasets(tmp_path):
    pytest.importorskip("webdataset")
    shards = {}
    for split in ("train", "validation"):
        shards[split] = [f"{split}-{k}.tar" for k in range(2)]
        for name in shards[split]:
            with tarfile.open(tmp_path / name, "w") as tar:
                for k in range(10):
                    buffer = io.BytesIO()
                    Image.new("RGB", (9, 9), (k, 0, 0)).save(buffer, "PNG")
                    for suffix, data in (("png", buffer.getvalue()), ("cls", str(k).encode())):
                        entry = tarfile.TarInfo(f"{k}.{suffix}")
                        entry.size = len(data)
                        tar.addfile(entry, io.BytesIO(data))
    splits = {
        name: {"name": name, "num_samples": 20, "filenames": files, "shard_lengths": [10, 10]}
        for name, files in shards.items()
    }
    (tmp_path / "_info.json").write_text(json.dumps({"splits": splits}))
    loader = ImageLoader(open_timm_images("wds/x", tmp_path, "val"), eval_transform(8, MEAN, STD), batch_size=8)
    assert torch.cat([batch.labels for batch in loader]).tolist() == 2 * list(range(10))
    loader = ImageLoader(
        open_timm_images("wds/x", tmp_path, "train"), train_transform(8, MEAN, STD), batch_size=5, shuffle=True
    )
    first, second, again = (torch.cat([batch.labels for batch in loader.epoch(k)]).tolist() for k in (0, 1, 0))
    assert first == again != second
    with pytest.raises(InputError, match="split nonsense not found"):
        open_timm_images("wds/x", tmp_path, "nonsense")
