"""Groups of tensors in a file: which is the main one, and names without what wrappers add."""

from pathlib import Path

import pytest
import torch

from a2mim.checkpoint.files.contents import Contents, Place

W, B = torch.zeros(2, 2), torch.zeros(2)


def contents(checkpoint):
    return Contents.of(checkpoint, Path("file.pth"))


@pytest.mark.parametrize(
    "name",
    [
        "module.fc.weight",
        "_orig_mod.fc.weight",
        "module._orig_mod.fc.weight",
        "_fsdp_wrapped_module.fc.weight",
        "fc._checkpoint_wrapped_module.weight",
    ],
)
def test_wrappers_leave_no_trace_in_names(name):
    assert list(contents({"state_dict": {name: W}}).groups["state_dict"]) == ["fc.weight"]


def test_names_stay_where_two_would_become_one():
    names = ["module.fc.weight", "fc.weight"]
    assert list(contents(dict.fromkeys(names, W)).groups[""]) == names


@pytest.mark.parametrize(
    ("checkpoint", "main"),
    [
        ({"fc.weight": W}, ""),
        ({"model": {"fc.weight": W}, "epoch": 3}, "model"),
        ({"state_dict": {"fc.weight": W}, "best_acc1": torch.tensor(71.0)}, "state_dict"),
        ({"model": {"fc.weight": W}, "model_ema": {"fc.weight": W, "more": W}}, "model"),
        (
            {"classy_state_dict": {"base_model": {"model": {"trunk": {"fc.weight": W}}}}},
            "classy_state_dict/base_model/model/trunk",
        ),
        ({"epoch": 3}, None),
        ({"acc": torch.tensor(1.0)}, None),
    ],
)
def test_the_main_group(checkpoint, main):
    assert contents(checkpoint).main == main


def test_optimizers_and_their_like_are_no_groups():
    state = {"state": {"0": {"exp_avg": W}}}
    found = contents(
        {"model": {"fc.weight": W}, "optimizer": state, "optimizer_state": state, "scaler": {"x": W}, "epoch": 2}
    )
    assert list(found.groups) == ["model"]
    assert found.meta["epoch"] == 2


def test_addresses():
    found = contents(
        {"state_dict": {"backbone.fc.weight": W, "head.bias": B}, "state_dict_ema": {"backbone.fc.weight": W + 1}}
    )
    assert found.place("backbone.") == Place("state_dict", "backbone.")
    assert list(found.at(found.place("backbone."))) == ["fc.weight"]
    assert float(found.at(found.place("*ema:backbone."))["fc.weight"][0, 0]) == 1
    assert found.at(found.place("teacher:")) == {}
    assert found.has("*.fc.weight")
    assert found.has("state_dict_ema:backbone.*")
    assert not found.has("state_dict_ema:head.*")
    assert not found.has("teacher:*")
    assert [(group, name) for group, name, _ in found.tensors()] == [
        ("state_dict", "backbone.fc.weight"),
        ("state_dict", "head.bias"),
        ("state_dict_ema", "backbone.fc.weight"),
    ]
    assert "state_dict: 2 tensors (backbone.fc.weight, ...)" in found.summary()


def test_a_file_without_tensors_says_what_it_has():
    assert contents({"epoch": 3, "name": "x"}).summary() == "no tensors, but epoch, name"


def test_a_layer_of_the_networks_own_called_module_stays_in_its_names():
    names = ["stages.0.blocks.1.mixer.module.0.weight", "stages.0.blocks.1.module.bias", "head.weight"]
    for wrapped in ("", "module.", "encoder.module.", "0.module.", "_orig_mod.module."):
        state = {wrapped + name: torch.zeros(1) for name in names}
        plain = [wrapped.replace("module.", "").replace("_orig_mod.", "") + name for name in names]
        assert list(Contents.of({"state_dict": state}, Path("file")).groups["state_dict"]) == plain
