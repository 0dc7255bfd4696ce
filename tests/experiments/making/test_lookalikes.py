"""How the table of look-alikes is made."""

import json

import timm
import torch
from click.testing import CliRunner

from a2mim.experiments.making import lookalikes


def test_those_that_compute_the_same_are_one_group(monkeypatch, tmp_path):
    archs = ["resnet18", "resnetblur18", "test_resnet", "vit_small_patch16_224", "vit_small_patch16_384"]
    monkeypatch.setattr(timm, "list_models", lambda: archs)
    result = CliRunner().invoke(lookalikes.main, ["--output", str(tmp_path / "table.json")])
    assert result.exit_code == 0, result.output
    table = json.loads((tmp_path / "table.json").read_text())
    groups = sorted(table["groups"].values())
    assert groups == [
        [["resnet18"], ["resnetblur18"]],
        [["test_resnet"]],
        [["vit_small_patch16_224", "vit_small_patch16_384"]],
    ]
    assert (table["timm"], table["unbuildable"]) == (timm.__version__, [])
    assert ["fc."] in table["classifiers"]


def test_what_cannot_be_built_is_listed():
    assert lookalikes.table(["test_resnet", "none_such"])["unbuildable"] == ["none_such"]


def test_outputs_are_equal_to_rounding():
    one = torch.ones(1, 3, dtype=torch.float64)
    assert lookalikes.equal(one, one * (1 + 1e-12))
    assert not lookalikes.equal(one, one * (1 + 1e-6))
    assert not lookalikes.equal(one, one[:, :2])


def test_every_value_is_filled():
    model = lookalikes.fill(timm.create_model("test_resnet"))
    assert all(value.std() > 0 for value in model.parameters() if value.numel() > 1)
    assert all((value > 0).all() for name, value in model.named_buffers() if name.endswith("running_var"))
