"""Sections of analyses: what their settings file adds to the table, and what is said where it is broken."""

import json

import page_results

from a2mim.analysis.report import analyses as page_analyses
from a2mim.analysis.report.reading import Found


def entry(path):
    return page_analyses.entry(Found(path.stem, path))


def test_settings_facts_reports_and_command(tmp_path):
    made = entry(page_results.interactions(tmp_path))
    assert made.facts == {
        "Images": "50 of the embedded images of Fashion-MNIST (val)",
        "Measured": "2026-01-02 03:04 UTC",
        "Took": "1 min 30 s",
        "Versions": "python 3.11.7, torch 2.9",
        "Seed": "0",
    }
    assert made.settings["estimator"] == "efficient"
    assert made.settings["images: limit"] == 50
    assert made.findings == ["J of net-b against net-a: fewer of them"]
    assert made.reports["net-b"].splitlines()[0].split() == ["file:", "runs/net-b"]
    assert made.commands == ["a2mim-analyze interactions runs/net-a runs/net-b"]
    assert made.notes == []


def test_remarks_of_the_loader_are_seen(tmp_path):
    path = page_results.occlusion(tmp_path)
    about = json.loads(path.with_suffix(".json").read_text())
    about["checkpoints"]["net-a"] |= {"coverage": 0.5, "notes": ["size taken from the file"]}
    about["checkpoints"]["net-b"] = {"arch": 3}
    path.with_suffix(".json").write_text(json.dumps(about))
    made = entry(path)
    assert made.notes == [
        "net-a: 50.0% of the encoder's parameters are in the file",
        "net-a: note: size taken from the file",
    ]
    assert made.reports["net-b"] == "The settings file has no valid report of the loader."


def test_a_command_is_shown_as_it_was_written_or_said_to_be_missing(tmp_path):
    path = page_results.occlusion(tmp_path)
    about = json.loads(path.with_suffix(".json").read_text())
    for written, said in (
        ({"command": "a2mim-analyze as typed"}, []),
        ({}, ["The command was not written down (made by an older version)."]),
        ({"command": None}, ["There was no command: this was made by a call from Python."]),
    ):
        values = {key: value for key, value in about.items() if key != "command"} | written
        path.with_suffix(".json").write_text(json.dumps(values))
        made = entry(path)
        assert made.commands == list(filter(None, written.values()))
        assert made.notes == said


def test_a_broken_or_foreign_settings_file_leaves_the_rest(tmp_path):
    path = page_results.occlusion(tmp_path)
    for text, said in (
        ("{", "occlusion.json cannot be read as JSON"),
        (json.dumps({"networks": {"other": "1"}}), "occlusion.json names other checkpoints (other) than"),
        (json.dumps({"images": 3, "settings": [], "checkpoints": "x", "left_out": 1}), "The command was not"),
    ):
        path.with_suffix(".json").write_text(text)
        made = entry(path)
        assert (made.problem, len(made.pictures), len(made.tables)) == ("", 1, 2)
        assert said in " ".join(made.notes)


def test_what_cannot_be_used_says_why(tmp_path):
    assert entry(tmp_path / "occlusion.csv").problem.startswith("occlusion.csv cannot be read as CSV")
    told = page_analyses.entry(Found("foreign", tmp_path / "x.csv", "x.csv is of no analysis"))
    assert (told.problem, told.title) == ("x.csv is of no analysis", "x.csv")


def test_neighbours(tmp_path):
    path = tmp_path / "k" / "knn.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"top1": 71.25, "k": 20, "checkpoint": "runs/p", "settings": {"seed": 0}}))
    made = page_analyses.neighbours(Found("knn", path))
    assert [[cell.text for cell in row] for row in made.tables[0].rows] == [["top1", "71.25"], ["k", "20"]]
    assert made.settings == {"checkpoint": "runs/p", "settings": {"seed": 0}}
    path.write_text('{"a": "b"}')
    assert page_analyses.neighbours(Found("knn", path)).problem == "knn.json has no number, so there is nothing to show"


def test_images_and_times_in_words():
    assert page_analyses.described({"given": ["a.png", "b.png"]}) == "2 image files"
    assert page_analyses.described({"dataset": "folder", "data_dir": "x", "split": "val"}) == "all images in x (val)"
    assert page_analyses.described({}) == "not written"
    assert page_analyses.moment("some day") == "some day"
