"""The evaluation transform of a network: who says its crop and interpolation, and that it is timm's own."""

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_data_config

from a2mim.data import evaluation_preprocessing, evaluation_transform, train_transform
from a2mim.data.preprocessing import of_processor, timm_config
from a2mim.errors import InputError

HALF = (0.5,) * 3


def picture(width=310, height=260):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    "arch", ["resnet50.a1_in1k", "convnext_tiny", "vit_base_patch16_siglip_224", "deit3_small_patch16_384"]
)
@pytest.mark.parametrize("test_size", [False, True])
def test_without_settings_it_is_timms(arch, test_size):
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(arch).to_dict(), use_test_size=test_size)
    transform, record = evaluation_transform(arch, config["input_size"], config["mean"], config["std"])
    assert torch.equal(transform(picture()), create_transform(**config)(picture()))
    assert {key: record[key] for key in ("crop_pct", "interpolation", "crop_mode")} == {
        key: config[key] for key in ("crop_pct", "interpolation", "crop_mode")
    }
    assert record["origin"]["crop_pct"] == f"timm's config of {arch}"
    assert record["origin"]["mean"] == f"timm's config of {arch}"
    assert json.loads(json.dumps(record)) == record


def test_flags_go_before_the_run_and_the_run_before_the_file():
    run = {"crop_pct": 0.8, "interpolation": "", "mean": list(HALF), "std": None}
    file = {"crop_pct": 0.7, "interpolation": "nearest", "crop_mode": "squash"}
    found = evaluation_preprocessing("resnet18", (3, 64, 64), HALF, HALF, run=run, file=file)
    assert (found.crop_pct, found.interpolation, found.crop_mode) == (0.8, "nearest", "squash")
    assert dict(found.origin) == {
        "crop_pct": "run",
        "interpolation": "file",
        "crop_mode": "file",
        "input_size": "file",
        "mean": "run",
        "std": "file",
    }
    found = evaluation_preprocessing(
        "resnet18", (3, 64, 64), HALF, HALF, run=run, file=file, crop_pct=1.0, interpolation="lanczos"
    )
    assert (found.crop_pct, found.interpolation) == (1.0, "lanczos")
    assert (found.origin["crop_pct"], found.origin["interpolation"]) == ("flag", "flag")
    assert str(found) == "64x64 pixels, crop 1 (flag), lanczos (flag), squash (file), mean 0.5 and std 0.5 (run)"


@pytest.mark.parametrize("value", [None, "", 0, -1, 1.5, True, "0.9", float("nan"), [0.9]])
def test_what_a_run_cannot_mean_is_passed_over(value):
    found = evaluation_preprocessing(
        "no_such_net", (3, 32, 32), HALF, HALF, run={"crop_pct": value, "interpolation": value}
    )
    assert (found.crop_pct, found.interpolation, found.crop_mode) == (0.875, "bicubic", "center")
    assert found.origin["crop_pct"] == found.origin["interpolation"] == "default"


def test_an_unknown_tag_is_read_as_its_architecture():
    assert timm_config("resnet50.of_my_own")["crop_pct"] == timm_config("resnet50")["crop_pct"]
    assert timm_config("my_net") == {}


def test_one_channel_is_grey_and_other_numbers_are_refused():
    found = evaluation_preprocessing("resnet18", (1, 32, 32), (0.2, 0.3, 0.4), (0.1, 0.2, 0.3), crop_pct=1.0)
    assert found.mean == pytest.approx((0.3,))
    assert found.std == pytest.approx((0.2,))
    image = found.transform()(picture(32, 32))
    assert image.shape == (1, 32, 32)
    grey = np.asarray(picture(32, 32).convert("L")) / 255
    assert np.allclose(image[0].numpy(), (grey - 0.3) / 0.2, atol=1e-5)
    assert "grey" in str(found)
    assert train_transform(16, (0.3,), (0.2,))(picture()).shape == (1, 16, 16)
    assert train_transform(16, (0.3,), (0.2,), re_prob=1.0, auto_augment="rand-m9")(picture()).shape == (1, 16, 16)
    with pytest.raises(InputError, match="takes images of 10 channels"):
        evaluation_preprocessing("resnet18", (10, 32, 32), HALF, HALF)


def test_flags_have_a_range():
    with pytest.raises(InputError, match=r"crop_pct 1.2 must lie above 0"):
        evaluation_preprocessing("resnet18", (3, 32, 32), HALF, HALF, crop_pct=1.2)
    with pytest.raises(InputError, match="interpolation 'cubic' must be one of nearest, bilinear"):
        evaluation_preprocessing("resnet18", (3, 32, 32), HALF, HALF, interpolation="cubic")


@pytest.mark.parametrize(
    ("processor", "expected"),
    [
        ({"size": {"height": 224, "width": 224}, "resample": 2}, ("bilinear", 1.0, "squash")),
        ({"size": 224, "resample": 3, "crop_pct": 0.875}, ("bicubic", 0.875, "center")),
        ({"size": {"shortest_edge": 384}, "resample": 3, "crop_pct": 0.875}, ("bicubic", 1.0, "squash")),
        ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True}, (None, 0.875, "center")),
        ({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": False}, (None, 1.0, "center")),
        ({"size": "large", "resample": [3]}, (None, None, None)),
        ({}, (None, None, None)),
    ],
)
def test_preprocessor_config_of_transformers(processor, expected):
    found = of_processor(processor)
    assert (found.get("interpolation"), found.get("crop_pct"), found.get("crop_mode")) == expected
