"""J(m) from checkpoints to files: parts, shards, comparisons, budgets."""

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

from a2mim.analysis.analyses import ANALYSES
from a2mim.analysis.core import merging, speed
from a2mim.analysis.core.images import Images
from a2mim.analysis.interactions import record
from a2mim.errors import InputError

PARTS = "interactions.parts"
SMALL = dict(grid=(4, 4), ratios=(0.0, 0.3, 0.6, 1.0), n_pairs=6, n_contexts=4, progress=False, batch_size=64)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)


@pytest.fixture
def network():
    return "fashion-resnet-scratch"


def run(network, output, **changes):
    images = changes.pop("images", Images(limit=4))
    checkpoints = changes.pop("checkpoints", [network])
    return analyse("interactions", checkpoints, output, images=images, **{**SMALL, **changes})


def table(folder):
    return pd.read_csv(folder / "interactions.csv")


def test_the_same_call_takes_its_parts_and_other_settings_are_refused(tmp_path, network, monkeypatch):
    written = run(network, tmp_path)
    assert {path.name for path in written.values()} == {
        *(f"interactions.{ending}" for ending in ("csv", "json", "png", "pdf")),
        "interactions_rms.csv",
        "interactions_map.png",
        "interactions_map.pdf",
    }
    first = table(tmp_path)
    assert first.n_images.unique().tolist() == [4]
    monkeypatch.setattr(
        "a2mim.analysis.interactions.games.PatchGame.__call__", lambda *_: pytest.fail("evaluated again")
    )
    run(network, tmp_path)
    assert table(tmp_path).equals(first)
    with pytest.raises(InputError, match="parts of other settings: n_pairs is 6 there, 7 here"):
        run(network, tmp_path, n_pairs=7)


def test_parts_of_other_weights_are_refused(tmp_path, network):
    run(network, tmp_path)
    settings = next((tmp_path / PARTS).glob("*/settings.json"))
    settings.write_text(settings.read_text().replace(json.loads(settings.read_text())["network"], "0" * 16))
    with pytest.raises(InputError, match="parts of other settings: network"):
        run(network, tmp_path)


def test_shards_in_any_order_and_folder_give_what_one_run_gives(tmp_path, network, monkeypatch):
    run(network, tmp_path / "whole")
    said = []
    assert run(network, tmp_path / "b", shard=(1, 2), echo=said.append) == {}
    assert "shard 2/2 is done; 2 portions of other shards are not there yet" in said[-1]
    with pytest.raises(InputError, match="of fashion-resnet-scratch: 2 of its parts are in none of the folders"):
        merging.merge([tmp_path / "b"], tmp_path / "none", ANALYSES.values())
    run(network, tmp_path / "a", shard=(0, 2))
    merging.merge([tmp_path / "a", tmp_path / "b"], tmp_path / "merged", ANALYSES.values())
    whole = table(tmp_path / "whole")
    assert table(tmp_path / "merged").equals(whole)
    # into one folder, as torchrun's processes write: the last one finishes
    for rank in (1, 0):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "2")
        written = run(network, tmp_path / "torchrun")
        assert bool(written) == (rank == 0)
    assert table(tmp_path / "torchrun").equals(whole)
    other = dict(SMALL, n_pairs=5)
    analyse("interactions", [network], tmp_path / "other", images=Images(limit=4), **other, shard=(1, 2))
    with pytest.raises(InputError, match="parts of other settings: n_pairs"):
        merging.merge([tmp_path / "a", tmp_path / "other"], tmp_path / "mixed", ANALYSES.values())


KILLED = """
import sys
from analysing import analyse
from a2mim.analysis.core import speed
from a2mim.analysis.core.images import Images
speed.SECONDS = 0.0
analyse(
    "interactions", [sys.argv[1]], sys.argv[2], images=Images(limit=6), grid=(4, 4), ratios=(0.2, 0.5, 0.8), n_pairs=12,
    progress=False, batch_size=64,
)
"""


def test_killed_at_any_moment_it_ends_with_the_same_bits(tmp_path, network):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", KILLED, network, str(folder)], env=environment)

    assert start(tmp_path / "whole").wait(300) == 0
    rng = random.Random(0)
    killed = 0
    for _ in range(3):
        process = start(tmp_path / "killed")
        parts = tmp_path / "killed" / PARTS
        wanted = len(list(parts.glob("*/*.npz"))) + rng.choice([1, 2])
        while process.poll() is None and len(list(parts.glob("*/*.npz"))) < wanted:
            time.sleep(0.005)
        time.sleep(rng.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        killed += process.wait(60) == -signal.SIGKILL
    assert killed >= 2
    assert start(tmp_path / "killed").wait(300) == 0
    assert (tmp_path / "killed" / "interactions.csv").read_bytes() == (
        tmp_path / "whole" / "interactions.csv"
    ).read_bytes()


def test_two_networks_are_compared_in_pairs(tmp_path):
    said = []
    written = run(None, tmp_path, checkpoints=["fashion-resnet-a2mim", "fashion-resnet-scratch"], echo=said.append)
    difference = pd.read_csv(written["difference"])
    assert difference.reference.unique().tolist() == ["fashion-resnet-a2mim"]
    assert difference.checkpoint.unique().tolist() == ["fashion-resnet-scratch"]
    rows = table(tmp_path)
    first, second = (rows[rows.checkpoint == name].reset_index() for name in rows.checkpoint.unique())
    np.testing.assert_allclose(difference.strength_difference, second.strength - first.strength, atol=1e-12)
    np.testing.assert_allclose(difference.J_difference, second.J - first.J, atol=1e-12)
    assert (difference.ci_low <= difference.strength_difference).all()
    assert (difference.strength_difference <= difference.ci_high).all()
    assert said[-1].startswith("J of fashion-resnet-scratch against fashion-resnet-a2mim: ")
    assert "over middle orders (0.3n to 0.7n) differs by" in said[-1]
    assert json.loads((tmp_path / "interactions.json").read_text())["conclusions"] == said[-1:]


def test_the_cost_is_said_first_and_a_dry_run_ends_there(tmp_path, network):
    said = []
    assert run(network, tmp_path, dry_run=True, echo=said.append, images=Images(limit=3)) == {}
    assert said[0].startswith("cost: 3 images x 4 orders x 6 pairs x 4 contexts on 1 network(s) = ")
    assert not list(tmp_path.iterdir())


def test_a_budget_chooses_images_and_pairs(tmp_path, network):
    said = []
    small = {key: value for key, value in SMALL.items() if key != "n_pairs"}
    analyse("interactions", [network], tmp_path, images=Images(), **small, evaluations=9000, echo=said.append)
    found = table(tmp_path)
    assert found.evaluations.sum() <= 9000
    assert found.n_images[0] > 4
    with pytest.raises(InputError, match="not enough for one image"):
        analyse("interactions", [network], tmp_path / "b", images=Images(), **small, evaluations=20)
    with pytest.raises(InputError, match="not enough for one image"):
        analyse("interactions", [network], tmp_path / "b", images=Images(), **small, seconds=1e-6)


def test_only_images_that_are_classified_correctly(tmp_path, network, monkeypatch):
    said = []
    run(network, tmp_path, images=Images(limit=60), only_correct=True, echo=said.append, n_pairs=2, ratios=(0.0,))
    count = table(tmp_path).n_images[0]
    assert 40 <= count < 60
    assert f"{count} images that all networks get right" in said
    monkeypatch.setattr(record, "_right", lambda *_: False)
    with pytest.raises(InputError, match="none of the images is classified correctly"):
        run(network, tmp_path / "none", only_correct=True)


def test_the_predicted_class_may_be_asked_for(tmp_path, network):
    run(network, tmp_path / "label", images=Images(limit=40), ratios=(0.0, 1.0))
    run(network, tmp_path / "predicted", images=Images(limit=40), ratios=(0.0, 1.0), target="predicted")
    assert not table(tmp_path / "label").strength.equals(table(tmp_path / "predicted").strength)


def test_a_list_of_pairs_may_be_given(tmp_path, network):
    run(network, tmp_path, pairs=[[0, 1], [5, 10]], n_pairs=None, images=Images(limit=2))
    assert table(tmp_path).n_pairs.unique().tolist() == [2]
    assert json.loads((tmp_path / "interactions.json").read_text())["settings"]["pairs"] == [[0, 1], [5, 10]]
    with pytest.raises(InputError, match="a player does not interact with itself"):
        run(network, tmp_path / "x", pairs=[[3, 3]], n_pairs=None)
    with pytest.raises(InputError, match="6 pairs asked for, and a list of pairs given"):
        run(network, tmp_path / "x", pairs=[[0, 1]])


def test_orders_may_be_given_by_number(tmp_path, network):
    run(network, tmp_path, ratios=None, orders=(0, 5, 14))
    assert table(tmp_path).order.tolist() == [0, 5, 14]


def test_amp_says_its_noise(tmp_path, network):
    said = []
    run(network, tmp_path, amp=True, echo=said.append)
    assert any(line.startswith("amp: rounding of ") for line in said)


def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, network):
    for changes, message in (
        (dict(grid=(5, 5)), "a grid of 5x5 does not divide"),
        (dict(shard=(3, 3)), "shard 4 of 3 is out of range"),
        (dict(ratios=(1.5,)), "ratio 1.5 is outside 0 to 1"),
        (dict(ratios=None, orders=(3, 15)), "order 15 is out of range: 16 players allow 0 to 14"),
        (dict(orders=(3,)), "orders are given as ratios and as numbers"),
    ):
        with pytest.raises(InputError, match=message):
            run(network, tmp_path / "x", **changes)
    assert not list(tmp_path.rglob("*"))
    with pytest.raises(InputError, match="--budget cannot be used with --shard"):
        run(network, tmp_path / "x", shard=(0, 2), seconds=60.0)
    with pytest.raises(InputError, match=f"no parts in {tmp_path}"):
        merging.merge([tmp_path], tmp_path / "m", ANALYSES.values())


def test_when_memory_runs_out_the_batch_is_halved(tmp_path, network, monkeypatch):
    run(network, tmp_path / "plain")
    from timm.models.resnet import ResNet

    forward, sizes = ResNet.forward, []

    def limited(self, images):
        sizes.append(len(images))
        if len(images) > 16:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(ResNet, "forward", limited)
    monkeypatch.setattr(speed, "tune", lambda *_: speed.Speed(64, torch.channels_last, 1.0))
    run(network, tmp_path / "halved")
    assert max(sizes) > 16
    np.testing.assert_allclose(table(tmp_path / "halved").strength, table(tmp_path / "plain").strength, atol=1e-4)
