"""Occlusion from checkpoints to files: fills, salient patches, shuffles, shards, kills."""

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from analysing import analyse
from PIL import Image

from a2mim.analysis.analyses import ANALYSES
from a2mim.analysis.core import merging, speed
from a2mim.analysis.core.choices import BASELINES
from a2mim.analysis.core.images import Images
from a2mim.analysis.core.subjects import load_subjects
from a2mim.analysis.occlusion import record
from a2mim.analysis.occlusion.saliency import attention_mass
from a2mim.analysis.occlusion.settings import OcclusionSettings
from a2mim.errors import InputError

RESNET, VIT = "fashion-resnet-scratch", "fashion-vit-scratch"
SMALL = dict(ratios=(0.0, 0.5, 1.0), runs=2, progress=False, batch_size=64, grid=(4, 4))


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)


def run(output, checkpoints=(RESNET,), images=None, **changes):
    return analyse("occlusion", checkpoints, output, images=images or Images(limit=80), **{**SMALL, **changes})


def shuffle(output, **changes):
    options = dict(images=Images(limit=80), runs=2, progress=False, batch_size=64)
    return analyse("shuffle", (RESNET,), output, **{**options, **changes})


def test_two_networks_their_curves_numbers_and_settings(tmp_path):
    written = run(tmp_path, (RESNET, VIT))
    assert set(written) == {"csv", "json", "png", "pdf", "summary"}
    table = pd.read_csv(tmp_path / "occlusion.csv")
    assert table.groupby(["checkpoint", "run", "ratio"]).size().tolist() == [1] * 12
    assert (table.ci_low <= table.ci_high).all()
    whole = table[table.ratio == 0].groupby("checkpoint").accuracy.unique()
    assert all(len(values) == 1 for values in whole)  # nothing is hidden: all runs are one
    summary = pd.read_csv(tmp_path / "occlusion_summary.csv")
    assert summary.measure.unique().tolist() == ["area", "kept at 50%", "kept at 80%", "convexity"]
    assert summary[summary.checkpoint == VIT].difference.notna().all()
    about = json.loads((tmp_path / "occlusion.json").read_text())
    assert about["settings"]["patches"] == "random"
    assert about["images"]["limit"] == 80
    assert set(about["checkpoints"]) == set(about["networks"]) == {RESNET, VIT}


def test_all_fills_are_measured_on_the_same_masks(tmp_path):
    run(tmp_path / "all", fill="all")
    table = pd.read_csv(tmp_path / "all" / "occlusion.csv")
    assert table.fill.unique().tolist() == list(BASELINES)
    run(tmp_path / "one", fill="black")
    one = pd.read_csv(tmp_path / "one" / "occlusion.csv")
    black = table[table.fill == "black"].reset_index(drop=True)
    pd.testing.assert_frame_equal(black, one)


def test_salient_patches_cost_more_than_others(tmp_path):
    curves = {}
    for patches in ("salient", "non-salient"):
        run(tmp_path / patches, (VIT,), patches=patches, grid=None, ratios=(0.0, 0.3), images=Images(limit=200))
        table = pd.read_csv(tmp_path / patches / "occlusion.csv")
        curves[patches] = table.groupby("ratio").accuracy.mean()
        assert json.loads((tmp_path / patches / "occlusion.json").read_text())["settings"]["grid"] == [8, 8]
    assert curves["salient"][0.0] == curves["non-salient"][0.0]
    assert curves["salient"][0.3] < curves["non-salient"][0.3]


def test_another_network_may_say_what_is_salient(tmp_path):
    run(tmp_path, (RESNET,), patches="salient", saliency_checkpoint=VIT, grid=None)
    saliency = json.loads((tmp_path / "occlusion.json").read_text())["settings"]["saliency"]
    assert saliency == {"source": None, "checkpoint": VIT, "head": None}
    with pytest.raises(InputError, match=r"a grid of 8x8, the occlusion one of 4x4"):
        run(tmp_path / "other", (RESNET,), patches="salient", saliency_checkpoint=VIT)
    with pytest.raises(InputError, match=r"takes 64x64 images, .* takes 32x32"):
        run(tmp_path / "size", (RESNET,), patches="salient", saliency_checkpoint=_larger(tmp_path), grid=None)
    with pytest.raises(InputError, match=r"a saliency has no use with random patches"):
        run(tmp_path / "none", (RESNET,), saliency="gradient")


def test_a_network_that_says_what_is_salient_sees_the_images_as_it_takes_them():
    subject, guide = load_subjects("encoders", [RESNET, VIT])
    other = dataclasses.replace(guide.report, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    guide = dataclasses.replace(guide, report=other)
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    seen_by = lambda one: (pixels - _column(one.report.mean)) / _column(one.report.std)  # noqa: E731
    found = record._saliency(guide, subject, OcclusionSettings(patches="salient"), (8, 8))(seen_by(subject))
    assert torch.allclose(found, attention_mass(guide.model, seen_by(guide)), atol=1e-6)


def _column(values):
    return torch.tensor(values).view(3, 1, 1)


def _larger(folder):
    """A checkpoint of a ViT for images of 64 pixels."""
    import timm

    model = timm.create_model(
        "vit_tiny_patch16_224", img_size=64, patch_size=8, embed_dim=64, depth=1, num_heads=1, num_classes=10
    )
    torch.save(model.state_dict(), folder / "larger.pth")
    return str(folder / "larger.pth")


def test_shuffles(tmp_path):
    written = shuffle(tmp_path)
    assert written["csv"].name == "shuffle.csv"
    table = pd.read_csv(written["csv"])
    assert sorted(table.side.unique()) == [1, 2, 4, 8, 16]
    curve = table.groupby("side").accuracy.mean()
    assert curve[1] > 0.5 > curve[16]
    with pytest.raises(InputError, match="3x3 cells does not divide"):
        shuffle(tmp_path / "odd", sides=(3,))


def test_shards_joined_give_what_one_run_gives(tmp_path, monkeypatch):
    run(tmp_path / "whole")
    shuffle(tmp_path / "whole")
    said = []
    for shard in (1, 0):
        assert run(tmp_path / f"{shard}", shard=(shard, 2), echo=said.append) == {}
        assert shuffle(tmp_path / f"{shard}", shard=(shard, 2)) == {}
    assert "shard 2/2 is done; 1 portions of other shards are not there yet" in said
    with pytest.raises(InputError, match=r"occlusion of fashion-resnet-scratch: 1 of its parts .* folders \(0\)"):
        merging.merge([tmp_path / "1"], tmp_path / "half", ANALYSES.values())
    with pytest.raises(InputError, match=r"no parts in .*interactions.parts, occlusion.parts"):
        merging.merge([tmp_path / "0", tmp_path], tmp_path / "nothing", ANALYSES.values())
    written = merging.merge([tmp_path / "0", tmp_path / "1"], tmp_path / "merged", ANALYSES.values())
    assert {"occlusion csv", "shuffle csv"} <= set(written)
    for name in ("occlusion.csv", "occlusion_summary.csv", "shuffle.csv"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    whole = pd.read_csv(tmp_path / "whole" / "occlusion.csv")
    for rank in ("1", "0"):  # as torchrun has it, into one folder: the last one writes
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert bool(run(tmp_path / "torchrun")) == (rank == "0")
    assert pd.read_csv(tmp_path / "torchrun" / "occlusion.csv").equals(whole)


KILLED = """
import sys
from analysing import analyse
from a2mim.analysis.core import speed
from a2mim.analysis.core.images import Images
speed.SECONDS = 0.0
analyse(
    "occlusion", ["fashion-resnet-scratch"], sys.argv[1], images=Images(limit=320), grid=(4, 4), runs=2,
    progress=False, batch_size=64,
)
"""


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", KILLED, folder], env=environment)

    assert start(tmp_path / "whole").wait(300) == 0
    generator, there = random.Random(0), lambda: len(list(tmp_path.glob("killed/occlusion.parts/*/*.npz")))
    for _ in range(2):
        process, before = start(tmp_path / "killed"), there()
        while process.poll() is None and there() == before:
            time.sleep(0.005)
        time.sleep(generator.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert 0 < there() <= 5
    assert start(tmp_path / "killed").wait(300) == 0
    for name in ("occlusion.csv", "occlusion_summary.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_part_of_the_classes_by_a_class_map(tmp_path):
    generator = np.random.default_rng(0)
    for name in ("boot", "shirt"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(3):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{k}.png")
    images = dict(dataset="folder", data_dir=str(tmp_path / "images"), workers=0)
    with pytest.raises(InputError, match=r"2 classes, fashion-resnet-scratch has 10; .* --class-map FILE"):
        run(tmp_path / "a", images=Images(**images))
    (tmp_path / "map.json").write_text('{"boot": 3, "shirt": 6}')
    run(tmp_path / "b", images=Images(**images, class_map=str(tmp_path / "map.json")))
    assert pd.read_csv(tmp_path / "b" / "occlusion.csv").n_images.unique().tolist() == [6]
    (tmp_path / "map.json").write_text('{"boot": 9, "shirt": 16}')
    with pytest.raises(InputError, match=r"makes shirt class 16, and fashion-resnet-scratch has 10 \(0 to 9\)"):
        run(tmp_path / "c", images=Images(**images, class_map=str(tmp_path / "map.json")))


def test_more_images_than_there_are_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"2001 images asked for, .* has 2000"):
        run(tmp_path, images=Images(limit=2001))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(grid=(5, 5)), r"grid of 5x5 does not divide an image of 32x32 pixels; rows that do: 1, 2, 4"),
        (dict(grid=(4, 4), patches="salient"), "a grid of 8x8, the occlusion one of 4x4"),
        (dict(patches="salient", grid=(8, 8), saliency_head=9), r"head 9 is outside the model's 2"),
    ],
)
def test_what_does_not_fit_leaves_nothing_that_would_refuse_what_does(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, (VIT,), **changes)
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="3x3 cells does not divide"):
        shuffle(tmp_path, sides=(2, 3))
    assert not list(tmp_path.iterdir())
