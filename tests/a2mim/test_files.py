"""Atomic writes: whole or not there."""

import json
import os

import pytest

from a2mim import files


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
