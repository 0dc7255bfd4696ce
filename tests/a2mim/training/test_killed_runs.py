"""Runs killed anywhere, also while they write, and resumed: they end bit for bit as those that were left alone."""

import contextlib
import csv
import json
import multiprocessing
import os
import random
import signal
import time

import pytest
import torch
from small_data import write_images

from a2mim import checkpoint, files
from a2mim.commands._common import resumed_run
from a2mim.pretraining import pretrain
from a2mim.settings import FinetuneSettings, PretrainSettings
from a2mim.training.finetuning import finetune

VIT = dict(
    model="vit_tiny_patch16_224",
    model_args=dict(img_size=16, patch_size=4, embed_dim=24, depth=2, num_heads=2),
    img_size=16,
    drop_path=0.2,
    epochs=3,
    warmup_epochs=0.5,
    batch_size=16,
    lr_base=1e-2,
)
# a save after each update, so that many kills fall into one
PRETRAIN = {**VIT, "limit": 130, "mask_patch_size": 4, "grad_accum_steps": 2, "workers": 1, "recovery_interval": 1}
FINETUNE = {
    **{**VIT, "dataset": "folder", "workers": 0, "recovery_interval": 2, "checkpoint_hist": 2},
    **dict(model_ema=True, mixup=0.8, cutmix=1.0, amp=True, amp_dtype="float16"),
}


def go_on(kind, values, output):
    """What the same command with ``--resume auto`` does, started again and again."""
    settings = kind.from_values(values)
    begun = resumed_run("auto", str(output), "r")
    run = {PretrainSettings: pretrain, FinetuneSettings: finetune}[kind]
    return run(settings, output=output, experiment="r", resume=begun, echo=lambda _: None)


def in_a_process(function, *arguments):
    """A forked process that calls the function; its exit status is 0 when that comes back."""

    def quiet():
        torch.set_num_threads(1)
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
            function(*arguments)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=quiet)
    process.start()
    return process


def end(output):
    """All that a run leaves which must not depend on how it went there."""
    folder = resumed_run("auto", str(output), "r")  # a run killed before its first save is left, and begun anew beside
    state = checkpoint.read_checkpoint(folder / "last.pth.tar")
    with open(folder / "summary.csv") as handle:
        rows = [
            {key: value for key, value in row.items() if key not in ("images_per_second", "waiting")}
            for row in csv.DictReader(handle)
        ]
    for line in (folder / "log.jsonl").read_text().splitlines():
        json.loads(line)
    assert not list(folder.glob(".*"))
    names = sorted(path.name for path in folder.iterdir())
    weights = checkpoint.read_checkpoint(folder / "backbone.safetensors")["state_dict"]
    return state, rows, names, weights


def assert_same(first, second, where="run"):
    assert type(first) is type(second), where
    if isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}/{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for number, (one, other) in enumerate(zip(first, second, strict=True)):
            assert_same(one, other, f"{where}/{number}")
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    else:
        assert first == second, where


@pytest.fixture(scope="module", params=["pretrain", "finetune"])
def whole(request, tmp_path_factory):
    """The kind of run, its settings, how it ends when it is left alone, and the seconds it takes."""
    output = tmp_path_factory.mktemp("whole")
    kind, values = PretrainSettings, PRETRAIN
    if request.param == "finetune":
        images = [f"{split}/{k % 3}/{k}.png" for split, n in (("train", 90), ("val", 30)) for k in range(n)]
        kind, values = FinetuneSettings, {**FINETUNE, "data_dir": str(write_images(output / "images", *images))}
    began = time.perf_counter()
    process = in_a_process(go_on, kind, values, output)
    process.join()
    assert process.exitcode == 0
    return kind, values, end(output), time.perf_counter() - began


def kill_at_random(whole, output, times, seed):
    kind, values, expected, seconds = whole
    moments = random.Random(seed)
    killed = 0
    for _ in range(times):
        process = in_a_process(go_on, kind, values, output)
        process.join(moments.uniform(0.0, 1.5 * seconds / times**0.5))
        process.kill()
        process.join()
        killed += process.exitcode == -signal.SIGKILL
    process = in_a_process(go_on, kind, values, output)
    process.join()
    assert process.exitcode == 0
    assert_same(expected, end(output))
    return killed


def test_three_kills(whole, tmp_path):
    assert kill_at_random(whole, tmp_path, 3, seed=1) > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_twenty_kills(whole, tmp_path, seed):
    assert kill_at_random(whole, tmp_path, 20, seed) > 4


def _die_within(place, turn, kind, values, output):
    """Run until the ``turn``-th time that something is written ``place``, and be killed there."""
    counted = []

    def die():
        counted.append(place)
        if len(counted) == turn:
            os.kill(os.getpid(), signal.SIGKILL)

    if place == "half a checkpoint":
        real_save = torch.save

        def save(value, handle):
            if len(counted) + 1 == turn:
                handle.write(b"half")
                handle.flush()
            die()
            real_save(value, handle)

        torch.save = save
    elif place == "before it has its name":
        real_replace = os.replace

        def replace(source, target):
            die()
            real_replace(source, target)

        os.replace = replace
    else:
        real_write = files.write_text

        def write_text(path, text):
            real_write(path, text)
            die()

        files.write_text = write_text
    go_on(kind, values, output)


@pytest.mark.parametrize("turn", [2, 4])
@pytest.mark.parametrize("place", ["half a checkpoint", "before it has its name", "after a row"])
def test_killed_while_it_writes(whole, tmp_path, place, turn):
    kind, values, expected, _ = whole
    process = in_a_process(_die_within, place, turn, kind, values, tmp_path)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    go_on(kind, values, tmp_path)
    assert_same(expected, end(tmp_path))
