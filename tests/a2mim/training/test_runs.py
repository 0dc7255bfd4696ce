"""The folder of a run: never an old one, whole lines, the last checkpoint last, the same run when it goes on."""

import csv
import json

import pytest

from a2mim import checkpoint
from a2mim.errors import InputError
from a2mim.settings import PretrainSettings
from a2mim.training.runs import Run

SETTINGS = PretrainSettings(batch_size=16)


def test_a_resumed_run_must_be_the_same_run(tmp_path):
    run = Run(tmp_path)
    run.write_settings(SETTINGS.as_values())
    run.check_settings({**SETTINGS.as_values(), "epochs": 9, "workers": 3})
    run.check_settings({**SETTINGS.as_values(), "scale": SETTINGS.scale})
    with pytest.raises(
        InputError,
        match=r"with 16 \(16 x 1 x 1\) images per update and cannot continue with 32 \(32 x 1 x 1\): batch_size x",
    ):
        run.check_settings({**SETTINGS.as_values(), "batch_size": 32})


def test_a_new_run_never_takes_an_old_folder(tmp_path):
    for name in ("a", "a-2", "a-3"):
        run = Run.create(tmp_path, "a")
        assert run.path.name == name
        run.log("start")


def test_a_run_may_go_on_in_other_processes_with_the_same_batch(tmp_path):
    run = Run(tmp_path)
    run.write_settings(SETTINGS.as_values())
    run.check_settings({**SETTINGS.as_values(), "batch_size": 4}, world=8, begun_world=2)
    with pytest.raises(InputError, match=r"started with 32 \(16 x 1 x 2\) images per update .* 128 \(16 x 1 x 8\)"):
        run.check_settings(SETTINGS.as_values(), world=8, begun_world=2)
    with pytest.raises(InputError, match=r"32 \(16 x 1 x 2\) images per update .* 16 \(8 x 1 x 2\)"):
        run.check_settings({**SETTINGS.as_values(), "batch_size": 8}, world=2, begun_world=2)


def test_rows_of_an_abandoned_course_go(tmp_path):
    run = Run(tmp_path)
    for epoch, loss in ((1, 0.5), (2, 0.4), (3, 0.3), (2, 0.45)):
        run.write_row({"epoch": epoch, "loss": loss})
    with open(tmp_path / "summary.csv") as handle:
        assert list(csv.DictReader(handle)) == [{"epoch": "1", "loss": "0.5"}, {"epoch": "2", "loss": "0.45"}]


def test_what_a_kill_left_half_done_is_removed(tmp_path):
    run = Run(tmp_path)
    run.log("begin", start="here")
    with open(tmp_path / "log.jsonl", "a") as handle:
        handle.write('{"time": 1, "eve')
    (tmp_path / ".last.pth.tar.x1.partial").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    run.tidy()
    run.log("resume")
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["begin", "resume"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "notes.txt"]


def test_the_last_checkpoint_is_written_last(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(checkpoint, "save_checkpoint", lambda path, state: written.append((path.name, sorted(state))))
    state = {"state_dict": {}, "optimizer": {}, "scaler": {}, "extra": {}, "progress": {}, "processes": 1}
    Run(tmp_path).keep(state, epoch=3, history=1, best=True)
    assert [name for name, _ in written] == ["model_best.pth.tar", "checkpoint-3.pth.tar", "last.pth.tar"]
    assert [keys for _, keys in written] == [["state_dict"], ["state_dict"], sorted(state)]


def test_a_process_that_does_not_write(tmp_path):
    run = Run(tmp_path / "r", writes=False)
    run.write_settings({})
    run.log("begin")
    run.write_row({"epoch": 1})
    run.keep({})
    run.export({})
    run.tidy()
    assert not list(tmp_path.iterdir())
