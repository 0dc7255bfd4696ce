"""The sweep over timm's families: a dozen of them that are made in ways of their own, and the table."""

import json

import pytest
from click.testing import CliRunner

from a2mim.experiments.making import families

# branches, lists of scales, tokens in an order of their own, class tokens alone, channels last, stages found by shape
ODD = {
    "byobnet": "test_byobnet",
    "cait": "cait_xxs24_224",
    "coat": "coat_lite_tiny",
    "convnext": "test_convnext",
    "efficientvim": "efficientvim_m1",
    "hrnet": "hrnet_w18_small",
    "levit": "levit_128s",
    "mambaout": "test_mambaout",
    "maxxvit": "test_coatnet",
    "pit": "pit_ti_224",
    "vision_transformer": "test_vit",
    "vision_transformer_relpos": "test_vit_relpos",
    "xcit": "xcit_nano_12_p16_224",
}


@pytest.mark.slow
@pytest.mark.parametrize("family", ODD)
def test_a_family_learns_and_is_read_back(family):
    row = families.check(family, ODD[family])
    assert row["result"] == "pass"
    assert row["coverage"] == 1
    assert row["last_loss"] < row["first_loss"]
    assert row["site"] in row["sites"].split()


def test_the_smallest_model_of_a_family():
    assert families.smallest("shvit") == "shvit_s1"
    assert families.smallest("convmixer") == "convmixer_768_32"


def test_the_sweep_keeps_its_table_goes_on_and_says_why_not(tmp_path, monkeypatch):
    tried = []

    def guarded(family, arch, minutes, gigabytes):
        tried.append((family, arch))
        return {"model": "m", "result": "pass"} if family != "vgg" else {"model": "v", "result": "it has no map"}

    monkeypatch.setattr(families, "guarded", guarded)
    monkeypatch.setattr("timm.list_modules", lambda: ["resnet", "vgg"])
    run = lambda *flags: CliRunner().invoke(families.main, ["--output", str(tmp_path), *flags])  # noqa: E731
    assert "1 of 2 families pass\n  vgg: it has no map" in run().output
    assert tried == [("resnet", ""), ("vgg", "")]
    assert "1 of 2" in run().output
    assert len(tried) == 2  # nothing was missing
    run("--again")
    assert tried[2:] == [("vgg", "v")]  # the model is known from the table
    assert "| vgg | v |" in (tmp_path / "families.md").read_text()
    assert run("--only", "vog").exit_code == 2


def crash(family, arch):
    raise SystemExit(3)


def hang(family, arch):
    import time

    time.sleep(60)


@pytest.mark.parametrize(
    ("what", "minutes", "reason"), [(crash, 1, "ended with code 3"), (hang, 0.01, "not finished after")]
)
def test_what_breaks_one_family_breaks_nothing_else(monkeypatch, what, minutes, reason):
    monkeypatch.setattr(families, "check", what)
    assert reason in families.guarded("resnet", "test_resnet", minutes, 10)["result"]


def test_an_error_is_one_line(monkeypatch):
    def broken(family, arch):
        raise ValueError("first\nsecond")

    monkeypatch.setattr(families, "check", broken)
    assert families.guarded("resnet", "test_resnet", 1, 10) == {"model": "test_resnet", "result": "ValueError: first"}


def test_the_shipped_table_has_every_family_and_at_least_95_pass():
    import timm

    rows = families.read_table(families.RESULTS / "families.csv", "1.0.31")
    assert sum(row["result"] == "pass" for row in rows.values()) >= 95
    assert all(row["result"] and row["sites"] and json.loads(row["model_args"]) is not None for row in rows.values())
    if timm.__version__ == "1.0.31":
        assert rows.keys() == set(timm.list_modules())
