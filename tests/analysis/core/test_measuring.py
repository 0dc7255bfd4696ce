"""One sweep for all analyses: portions measured once, by any process, the same whatever was there before."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from toy import Counting, ToySettings, record

import a2mim
from a2mim.analysis.core import measuring, speed
from a2mim.analysis.core.images import Images
from a2mim.errors import InputError


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)


@pytest.fixture
def cnn(reference):
    return {"cnn": str(reference / "small_cnn.safetensors")}


def run(cnn, output, measured=None, times=1.0, **options):
    options = dict(images=Images(limit=130), batch_size=64, progress=False) | options
    return measuring.run(record(measured), cnn, ToySettings(times), output=output, **options)


def values(result):
    return result.gathered[0].joined("mean")


def test_every_image_is_measured_once_and_in_order(cnn, tmp_path):
    measured = Counting()
    result = run(cnn, tmp_path, measured)
    (one,) = result.gathered
    assert [len(arrays["mean"]) for arrays in one.parts] == [64, 64, 2]
    _, report = a2mim.load_encoder(cnn["cnn"])
    wanted = [index for batch in Images(limit=130).loader(report, 64) for index in batch.indices.tolist()]
    assert one.joined("index").tolist() == one.joined("image").tolist() == wanted
    assert len(set(wanted)) == 130
    assert (measured.calls, one.settings["times"], one.name, one.settings["portions"]) == (3, 1.0, "cnn", 3)


def test_what_is_there_is_not_measured_again(cnn, tmp_path):
    whole = values(run(cnn, tmp_path))
    folder = tmp_path / "toy.parts" / "cnn"
    (folder / "portion-00001.npz").unlink()
    (folder / "portion-00002.npz").write_bytes(b"half a fi")
    assert measuring.missing(folder) == [1, 2]
    with pytest.raises(InputError, match="2 of the 3 portions of cnn are missing"):
        measuring.gather(folder)
    again = Counting()
    assert values(run(cnn, tmp_path, again)).tobytes() == whole.tobytes()
    assert again.calls == 2
    run(cnn, tmp_path, lambda *_: pytest.fail("measured again"))


@pytest.mark.parametrize("workers", [0, 2])
def test_shards_do_what_one_process_does(cnn, tmp_path, workers):
    images = Images(limit=130, workers=workers)
    whole = values(run(cnn, tmp_path / "whole", images=images))
    counts, said = [Counting(), Counting()], []
    assert run(cnn, tmp_path / "shards", counts[1], images=images, shard=(1, 2), echo=said.append) is None
    assert said == ["shard 2/2 is done; 2 portions of other shards are not there yet"]
    result = run(cnn, tmp_path / "shards", counts[0], images=images, shard=(0, 2))
    assert [count.calls for count in counts] == [2, 1]
    assert values(result).tobytes() == whole.tobytes()
    with pytest.raises(InputError, match="shard 4 of 3 is out of range"):
        run(cnn, tmp_path / "none", shard=(3, 3))


def test_a_part_that_is_cut_short_goes_on_from_what_it_kept(cnn, tmp_path):
    begun = []

    def slow(subject, batch, settings):
        begun.append(sorted(subject.part.begun))
        subject.part.keep({"half": np.ones(2)}, 0.5)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return {"mean": np.zeros(len(batch.indices)), "index": batch.indices.numpy()}

    with pytest.raises(KeyboardInterrupt):
        run(cnn, tmp_path, slow)
    assert measuring.missing(tmp_path / "toy.parts" / "cnn") == [1, 2]
    assert len(values(run(cnn, tmp_path, slow))) == 130
    assert begun == [[], [], ["half", "unfinished"], []]


def test_parts_of_other_settings_images_or_weights_are_refused(cnn, tmp_path):
    run(cnn, tmp_path)
    with pytest.raises(InputError, match=r"parts of other settings: times is 1\.0 there, 2\.0 here"):
        run(cnn, tmp_path, times=2.0)
    with pytest.raises(InputError, match="parts of other settings: images"):
        run(cnn, tmp_path, images=Images(limit=129))
    settings = tmp_path / "toy.parts" / "cnn" / "settings.json"
    found = json.loads(settings.read_text())
    settings.write_text(json.dumps(found | {"network": "0" * 16}))
    with pytest.raises(InputError, match="parts of other settings: network"):
        run(cnn, tmp_path)


def test_images_that_cannot_be_read_are_left_out(cnn, tmp_path):
    folder = tmp_path / "images" / "a"
    folder.mkdir(parents=True)
    for k in range(150):
        Image.new("RGB", (8, 8), (k, 0, 0)).save(folder / f"{k:03d}.png")
    (folder / "007.png").write_bytes(b"no image")
    images = Images(dataset="folder", data_dir=str(tmp_path / "images"), workers=0)
    assert len(values(run(cnn, tmp_path / "out", images=images))) == 149


def test_an_image_that_one_network_lacks_ends_the_comparison(cnn, tmp_path):
    run(cnn, tmp_path)
    folder, other = tmp_path / "toy.parts" / "cnn", tmp_path / "toy.parts" / "other"
    shutil.copytree(folder, other)
    assert len(measuring.collect(record(), [folder, other], {}).gathered) == 2
    with np.load(folder / "portion-00002.npz") as arrays:
        np.savez(other / "portion-00002.npz", mean=arrays["mean"][:1], image=arrays["image"][:1])
    with pytest.raises(InputError, match="read for one model and not for another"):
        measuring.collect(record(), [folder, other], {})


def test_a_module_in_memory_gives_tables_figures_and_files(tmp_path):
    torch.manual_seed(0)
    mine = timm.create_model("resnet10t", num_classes=3).train()
    module = dict(input_size=(3, 32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    said = []
    options = dict(images=Images(limit=10), module=module, progress=False, echo=said.append, batch_size=4)
    result = measuring.run(record(), {"mine": mine, "copy": "fashion-resnet-a2mim"}, **options)
    assert result.tables[""].checkpoint.unique().tolist() == ["mine", "copy"]
    assert mine.training
    assert said == list(result.findings) == result.about["conclusions"]
    written = result.save(tmp_path)
    assert {path.name for path in written.values()} == {f"toy.{ending}" for ending in ("csv", "json", "png", "pdf")}
    assert len(result.figure().axes) == 1
    with pytest.raises(InputError, match="toy has no figure 'full'; there are: ''"):
        result.figure("full")


def test_two_networks_may_be_measured_together(tmp_path):
    def measure(pair, batches, settings):
        assert all(torch.equal(batches[0].indices, one.indices) for one in batches)
        names = "-".join(one.name for one in pair)
        return {"mean": np.full(len(batches[0].indices), float(len(names)))}

    both = {"a": "fashion-resnet-a2mim", "bcd": "fashion-vit-a2mim"}
    together = record(measure, together=True)
    result = measuring.run(together, both, images=Images(limit=70), output=tmp_path, progress=False, batch_size=64)
    assert [one.name for one in result.gathered] == ["a and a", "a and bcd", "bcd and bcd"]
    assert [one.joined("mean")[0] for one in result.gathered] == [3, 5, 7]


def test_the_command_and_the_device_are_written_down(cnn, tmp_path):
    about = run(cnn, tmp_path, command="a2mim-analyze toy 'a b.pth'").about
    assert about["command"] == "a2mim-analyze toy 'a b.pth'"
    assert about["device"] in ("cpu", "cuda", "mps")


def test_a_dry_run_says_the_cost_and_measures_nothing(cnn, tmp_path):
    said = []
    assert run(cnn, tmp_path, lambda *_: pytest.fail("measured"), dry_run=True, echo=said.append) is None
    assert said[0].startswith("cost: 130 images, once or more, through 1 network(s)")
    assert not list(tmp_path.iterdir())


def test_settings_without_json_of_their_own_are_written_as_they_are():
    assert measuring.plain(ToySettings(2.0)) == dataclasses.asdict(ToySettings(2.0)) == {"times": 2.0, "kind": "mean"}
