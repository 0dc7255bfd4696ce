"""The survey of timm's own files, on a few small ones."""

import csv

import torch
from click.testing import CliRunner

from a2mim.experiments.making import survey


def test_a_file_is_read_with_and_without_its_name(tmp_path):
    row = survey.survey("test_resnet", tmp_path)
    assert (row["arch"], row["with_name"]) == ("test_resnet", "equal")
    assert row["without_name"] in ("equal", "refused")
    assert not list(tmp_path.iterdir())


def test_another_network_counts_as_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(survey, "same", lambda output, expected: False)
    row = survey.survey("test_resnet", tmp_path)
    assert row["with_name"] == "wrong"
    assert row["without_name"] in ("wrong", "refused")


def test_outputs_are_compared_in_shape_and_value():
    one = torch.ones(1, 3)
    assert survey.same(one, one + 1e-6)
    assert survey.same((one, one), [one, one])
    for other in (one + 1e-3, one[:, :2], one * float("nan"), None):
        assert not survey.same(other, one) or not survey.same(one, other)


def test_the_survey_keeps_its_table_and_goes_on(tmp_path, monkeypatch):
    tried = []

    def one(arch, folder):
        tried.append(arch)
        if arch == "b":
            raise ZeroDivisionError("odd")
        return {"arch": arch, "with_name": "equal", "without_name": "noted", "reason": "", "timm": survey_version()}

    monkeypatch.setattr(survey, "survey", one)
    monkeypatch.setattr("timm.list_models", lambda: ["a", "b"])
    run = lambda *flags: CliRunner().invoke(survey.main, ["--output", str(tmp_path), *flags])  # noqa: E731
    assert "1 architectures: equal with, noted without their name" in run().output
    with (tmp_path / "loader_survey.csv").open() as file:
        assert [row["with_name"] for row in csv.DictReader(file)] == ["equal", "wrong"]
    text = (tmp_path / "loader_survey.md").read_text()
    assert "| with its name | 1 | 0 | 0 | 1 |" in text
    assert "* b: wrong / wrong; ZeroDivisionError: odd" in text
    run()
    assert tried == ["a", "b", "b"]  # what failed is tried again, what is done is not


def survey_version():
    import timm

    return timm.__version__


def test_large_architectures_are_left_out(tmp_path):
    assert survey.survey("vit_large_patch16_224", tmp_path) is None
