"""Atomic writes: whole or not there."""

import json
import os
import signal

import pytest

from a2mim import files
from a2mim.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path):
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def fail():
        with files.atomic(target) as partial:
            partial.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert target.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_folders_are_made_and_permissions_are_the_usual_ones(tmp_path):
    target = tmp_path / "new" / "b.json"
    files.write_json(target, {"a": [1, 2]})
    assert json.loads(target.read_text()) == {"a": [1, 2]}
    plain = tmp_path / "plain"
    plain.write_text("")
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.parametrize("links", [True, False])
def test_the_first_value_stays_and_all_get_it(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    path = tmp_path / "sub" / "speed.json"
    assert files.agree_json(path, {"size": 32}) == {"size": 32}
    assert files.agree_json(path, {"size": 64}) == {"size": 32}
    assert [entry.name for entry in path.parent.iterdir()] == ["speed.json"]


def test_who_loses_the_race_takes_what_the_winner_wrote(tmp_path, monkeypatch):
    path, link = tmp_path / "speed.json", os.link

    def late(source, target):
        path.write_text('{"size": 128}')
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert files.agree_json(path, {"size": 64}) == {"size": 128}


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "_cleaned", set())
    (tmp_path / ".old.csv.x1.partial").write_bytes(b"half")
    with files.atomic(tmp_path / "a.csv") as partial:
        partial.write_text("whole")
        assert [entry.name for entry in tmp_path.iterdir()] == [partial.name]
        files.clean(tmp_path)  # as another process would
        assert partial.exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills a process")
def test_a_process_that_is_killed_within_a_write_leaves_what_the_next_one_removes(tmp_path, monkeypatch):
    child = os.fork()
    if not child:
        with files.atomic(tmp_path / "a.csv"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert [entry.suffix for entry in tmp_path.iterdir()] == [".partial"]
    monkeypatch.setattr(files, "_cleaned", set())
    files.write_text(tmp_path / "b.csv", "whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["b.csv"]


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_not_a_regular_file_is_refused_and_stays(tmp_path, kind):
    path = tmp_path / "out"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(os.devnull)
    with pytest.raises(InputError, match=rf"cannot write .*out: it is a {kind}, not a regular file"):
        files.write_text(path, "text")
    assert [entry.name for entry in tmp_path.iterdir()] == ["out"]
    assert not path.is_file()
