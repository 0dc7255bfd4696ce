"""The logs: the same numbers for every reader, and a clear word where one is not installed."""

import csv
import importlib.util
import json
import sys
import types

import pytest

from a2mim.errors import InputError
from a2mim.settings import PretrainSettings
from a2mim.training.logs import Logs, check_readers, say
from a2mim.training.runs import Run

BOTH = PretrainSettings(log_tensorboard=True, log_wandb=True)


@pytest.fixture
def readers(monkeypatch):
    """TensorBoard and wandb as far as they are used here: what each was given, and how it was opened."""
    seen = {"tensorboard": {}, "wandb": {}, "opened": [], "closed": []}

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            seen["opened"].append((folder, purge_step))

        def add_scalar(self, name, value, update):
            seen["tensorboard"][name, update] = value

        def flush(self):
            pass

        def close(self):
            seen["closed"].append("tensorboard")

    class Session:
        id = "abc"

        def log(self, numbers, step):
            seen["wandb"].update({(name, step): value for name, value in numbers.items()})

        def finish(self):
            seen["closed"].append("wandb")

    def init(**options):
        seen["opened"].append(options)
        return Session()

    board = types.ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = SummaryWriter
    wandb = types.ModuleType("wandb")
    wandb.init = init
    for name, module in (("torch.utils.tensorboard", board), ("wandb", wandb)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    return seen


def test_every_reader_gets_the_same_numbers(tmp_path, readers):
    logs = Logs(Run(tmp_path), BOTH)
    logs.train(0, 20, {"lr": 0.1, "loss": 0.5})
    logs.epoch(1, 31, {"loss": 0.25, "top1": 80.0})
    logs.close()
    assert readers["closed"] == ["wandb", "tensorboard"]
    expected = {
        ("train/lr", 20): 0.1, ("train/loss", 20): 0.5, ("epoch/loss", 31): 0.25, ("epoch/top1", 31): 80.0
    }  # fmt: skip
    assert readers["tensorboard"] == readers["wandb"] == expected
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [(line["event"], line["epoch"], line["loss"]) for line in lines] == [("train", 0, 0.5), ("epoch", 1, 0.25)]
    with open(tmp_path / "summary.csv") as handle:
        assert list(csv.DictReader(handle)) == [{"epoch": "1", "loss": "0.25", "top1": "80.0"}]


def test_a_resumed_run_goes_on_in_the_same_place(tmp_path, readers, monkeypatch):
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    for update in (0, 40):
        Logs(Run(tmp_path / "r"), BOTH, update).close()
    sessions = [opened for opened in readers["opened"] if isinstance(opened, dict)]
    assert [(session["id"], session["name"], session["project"]) for session in sessions] == [
        (None, "r", "mine"),
        ("abc", "r", "mine"),
    ]
    assert sessions[1]["config"]["log_wandb"] is True
    boards = [opened for opened in readers["opened"] if isinstance(opened, tuple)]
    assert boards == [(str(tmp_path / "r" / "tensorboard"), None), (str(tmp_path / "r" / "tensorboard"), 41)]


def test_a_process_that_does_not_write_opens_nothing(tmp_path, readers):
    logs = Logs(Run(tmp_path, writes=False), BOTH)
    logs.train(0, 1, {"loss": 1.0})
    logs.epoch(1, 1, {"loss": 1.0})
    logs.close()
    assert not readers["opened"]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["tensorboard", "wandb"])
def test_a_package_that_is_not_there(package, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=rf"--log-{package} needs the package {package}.*'a2mim\[{package}\]'"):
        check_readers(PretrainSettings(**{f"log_{package}": True}))
    check_readers(PretrainSettings())


def test_the_line_of_an_epoch(capsys):
    say(2, 4, {"loss": 0.12345, "top1": 50.0}, images_per_second=1234.5, seconds=1801.0)
    say(4, 4, {"loss": 0.1}, images_per_second=2.0, seconds=9.0)
    assert capsys.readouterr().out.splitlines() == [
        "epoch 2/4  loss 0.1235  top1 50  1234 images/s  1 h 0 min left",
        "epoch 4/4  loss 0.1  2 images/s",
    ]
