"""Pre-training end to end on a few images: what is written, resumed, and refused."""

import csv

import pytest
import torch
import yaml

import a2mim
from a2mim.errors import InputError
from a2mim.pretraining import pretrain
from a2mim.settings import PretrainSettings

TINY = dict(
    model="resnet14t",
    model_args=dict(channels=[8, 16, 24, 32], stem_width=4, output_stride=8),
    batch_size=16,
    limit=64,
    epochs=2,
    warmup_epochs=0.5,
    mask_patch_size=8,
    workers=0,
    lr_base=1e-2,
)


def run(tmp_path, said=None, **changes):
    settings = PretrainSettings.from_values(TINY, changes)
    return pretrain(settings, output=tmp_path, experiment="p", echo=[].append if said is None else said.append)


def test_a_run_writes_what_design_says_and_its_checkpoint_loads(tmp_path):
    said = []
    folder = run(tmp_path, said).path
    names = {path.name for path in folder.iterdir()}
    assert names >= {"args.yaml", "log.jsonl", "summary.csv", "last.pth.tar", "backbone.safetensors"}
    assert "mask token at stage3 (96 channels, 4x4), 60% of 4x4 cells hidden" in said[0]
    assert said[1] == "lr 0.000625 = 0.01 x 16 images per update / 256"
    with open(folder / "summary.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    model, report = a2mim.load_masked_model(folder)
    assert (report.mean[0], report.input_size, report.epoch) == (0.2860, (3, 32, 32), 2)
    assert report.args["mask_patch_size"] == 8
    encoder, _ = a2mim.load_encoder(folder / "backbone.safetensors")
    images = torch.randn(1, 3, 32, 32)
    assert torch.equal(encoder.forward_features(images), model.encoder.forward_features(images))


def test_args_yaml_is_a_recipe_that_makes_the_same_run(tmp_path):
    first = run(tmp_path).path
    values = yaml.safe_load((first / "args.yaml").read_text())
    assert values["img_size"] == 32
    again = pretrain(
        PretrainSettings.from_values(values), output=tmp_path, experiment="again", echo=lambda _: None
    ).path
    states = [a2mim.load_masked_model(folder)[0].state_dict() for folder in (first, again)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_more_epochs_go_on_from_the_last(tmp_path):
    folder = run(tmp_path).path
    settings = PretrainSettings.from_values(TINY, {"epochs": 3})
    pretrain(settings, resume=folder, echo=lambda _: None)
    with open(folder / "summary.csv") as handle:
        assert [row["epoch"] for row in csv.DictReader(handle)] == ["1", "2", "3"]
    with pytest.raises(InputError, match=r"started with mask_ratio=0\.6 and cannot continue with mask_ratio=0\.5"):
        pretrain(PretrainSettings.from_values(TINY, {"mask_ratio": 0.5}), resume=folder, echo=lambda _: None)


def test_workers_and_channels_last_run(tmp_path):
    folder = run(tmp_path, workers=1, channels_last=True, grad_accum_steps=2, drop_path=0.1).path
    _, report = a2mim.load_masked_model(folder)
    assert "drop_path_rate" not in report.model_args


def test_mixed_precision_keeps_the_loss_in_float32(tmp_path):
    folder = run(tmp_path, amp=True, epochs=1).path
    with open(folder / "summary.csv") as handle:
        assert 0 < float(next(csv.DictReader(handle))["loss"]) < 5


def test_token_and_gamma_move_at_a_tenth_in_cnns(tmp_path):
    folder = run(tmp_path, token="replace", gamma=1e-6).path
    saved = torch.load(folder / "last.pth.tar", weights_only=True)
    scales = sorted(group["lr_scale"] for group in saved["optimizer"]["param_groups"])
    assert scales == [0.1, 1.0, 1.0]


def test_a_flat_folder_without_labels(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    for k in range(20):
        Image.new("RGB", (40, 36), (10 * k, 0, 99)).save(tmp_path / "images" / f"{k}.png")
    folder = run(tmp_path, data_dir=str(tmp_path / "images"), img_size=32, limit=None).path
    _, report = a2mim.load_masked_model(folder)
    assert report.mean == (0.485, 0.456, 0.406)


def test_mask_cells_follow_the_stride_and_misfits_are_said(tmp_path):
    said = []
    assert run(tmp_path, said, epochs=1).path  # cells of 8 pixels on a stride of 8
    assert not any(line.startswith("note: mask cells") for line in said)
    folder = run(tmp_path, said, epochs=1, mask_patch_size=None).path
    assert yaml.safe_load((folder / "args.yaml").read_text())["mask_patch_size"] == 8
    assert any("mask cells have 8 pixels, not about 5" in line for line in said)
    run(tmp_path, said, epochs=1, mask_patch_size=4)
    assert any("mask cells of 4 pixels are not a multiple of the network's stride of 8" in line for line in said)


@pytest.mark.parametrize("method", ["a2mim", "simmim"])
def test_sizes_that_the_network_does_not_fit_are_refused(tmp_path, method):
    with pytest.raises(InputError, match="use images of 32 or 40 pixels"):
        run(tmp_path, method=method, img_size=37, mask_patch_size=None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(mask_patch_size=5), "5 pixels does not divide an image of 32x32"),
        (dict(mask_layer="block3"), "no site 'block3'; its sites: input, stem, stage1"),
        (dict(model="resnet_fifty"), "timm has no model 'resnet_fifty'"),
        (dict(loss="official-resnet5"), "unknown preset 'official-resnet5'"),
        (dict(data_dir="/nowhere/at/all"), "/nowhere/at/all"),
        (dict(device="cuda:77"), "device 'cuda:77' cannot be used"),
        (dict(batch_size=100), "not one full batch of 100"),
    ],
)
def test_mistakes_are_told_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, **changes)
    assert not list(tmp_path.iterdir())
