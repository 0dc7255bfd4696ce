"""Analyses in portions: measured once, by any process, the same whatever was there before."""

import shutil

import numpy as np
import pytest
from PIL import Image

import a2mim
from a2mim.analysis.core import pipeline, portions
from a2mim.analysis.core.pipeline import Images
from a2mim.errors import InputError


@pytest.fixture
def subject(reference):
    return pipeline.Subject("cnn", *a2mim.load_encoder(reference / "small_cnn.safetensors"))


class Counting:
    """The mean of each image, and how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, subject, batch):
        self.calls += 1
        return {"mean": batch.images.mean((1, 2, 3)).numpy(), "index": batch.indices.numpy()}


def measure(subject, output, measured=None, **changes):
    images = changes.pop("images", Images(limit=130))
    settings = changes.pop("settings", {"what": "means"})
    (folder,) = portions.measure(
        [subject], images, output, "means", settings, measured or Counting(), progress=False, **changes
    )
    return folder


def values(folder):
    _, found = portions.gather(folder)
    return np.concatenate([arrays["mean"] for arrays in found])


def test_every_image_is_measured_once_and_in_order(subject, tmp_path):
    measured = Counting()
    folder = measure(subject, tmp_path, measured)
    settings, found = portions.gather(folder)
    assert [len(arrays["mean"]) for arrays in found] == [64, 64, 2]
    indices = np.concatenate([arrays["index"] for arrays in found])
    wanted = [index for batch in Images(limit=130).loader(subject.report, 64) for index in batch.indices.tolist()]
    assert indices.tolist() == wanted
    assert len(set(indices.tolist())) == 130
    assert (measured.calls, settings["what"], settings["name"], settings["portions"]) == (3, "means", "cnn", 3)


def test_what_is_there_is_not_measured_again(subject, tmp_path):
    folder = measure(subject, tmp_path)
    whole = values(folder)
    (folder / "portion-00001.npz").unlink()
    (folder / "portion-00002.npz").write_bytes(b"half a fi")
    assert portions.missing(folder) == [1, 2]
    with pytest.raises(InputError, match="2 of the 3 portions of cnn are not there"):
        portions.gather(folder)
    again = Counting()
    measure(subject, tmp_path, again)
    assert again.calls == 2
    assert values(folder).tobytes() == whole.tobytes()
    measure(subject, tmp_path, lambda *_: pytest.fail("measured again"))


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_do_what_one_process_does(subject, tmp_path, workers):
    images = Images(limit=130, workers=workers)
    whole = values(measure(subject, tmp_path / "whole", images=images))
    counts = [Counting(), Counting()]
    measure(subject, tmp_path / "shards", counts[1], images=images, shard=(1, 2))
    said = []
    assert portions.unfinished([tmp_path / "shards" / "means.parts" / "cnn"], (1, 2), said.append)
    assert said == ["shard 2/2 is done; 2 portions of other shards are not there yet"]
    folder = measure(subject, tmp_path / "shards", counts[0], images=images, shard=(0, 2))
    assert not portions.unfinished([folder], (0, 2), said.append)
    assert [count.calls for count in counts] == [2, 1]
    assert values(folder).tobytes() == whole.tobytes()


def test_parts_of_other_settings_images_or_weights_are_refused(subject, tmp_path):
    measure(subject, tmp_path)
    with pytest.raises(InputError, match="parts of other settings: what is 'means' there, 'medians' here"):
        measure(subject, tmp_path, settings={"what": "medians"})
    with pytest.raises(InputError, match="parts of other settings: images"):
        measure(subject, tmp_path, images=Images(limit=129))
    subject.model.fc.bias.data.add_(1)
    with pytest.raises(InputError, match="parts of other settings: network"):
        measure(subject, tmp_path)


def test_images_that_cannot_be_read_are_left_out(subject, tmp_path):
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    for k in range(150):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / f"{k:03d}.png")
    (folder / "007.png").write_bytes(b"no image")
    images = Images(dataset="folder", data_dir=str(tmp_path / "images"), workers=0)
    found = values(measure(subject, tmp_path / "out", images=images))
    assert len(found) == 149


def test_an_image_that_one_network_lacks_ends_the_comparison(subject, tmp_path):
    folder = measure(subject, tmp_path)
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    assert len(portions.gather_paired([folder, other])) == 2
    with np.load(folder / "portion-00002.npz") as arrays:
        np.savez(other / "portion-00002.npz", mean=arrays["mean"][:1], image=arrays["image"][:1])
    with pytest.raises(InputError, match="read for one model and not for another"):
        portions.gather_paired([folder, other])
