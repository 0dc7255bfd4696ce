"""Fine-tuning, probing and training from scratch on a few images."""

import csv

import pytest
import timm
import torch
import yaml

import a2mim
from a2mim.errors import InputError
from a2mim.pretraining import pretrain
from a2mim.settings import FinetuneSettings, PretrainSettings
from a2mim.training.finetuning import FinetuneTask, average_that_stays, decay_at, finetune
from tests.a2mim.test_pretraining import TINY

SMALL = dict(batch_size=20, limit=60, epochs=2, warmup_epochs=0.2, workers=0, lr_base=2e-2, crop_pct=1.0)


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    return pretrain(
        PretrainSettings.from_values(TINY, {"epochs": 1}),
        output=tmp_path_factory.mktemp("p"),
        experiment="p",
        echo=lambda _: None,
    ).path


def run(tmp_path, checkpoint=None, which=None, echo=lambda _: None, **changes):
    settings = FinetuneSettings.from_values(SMALL, changes)
    return finetune(settings, checkpoint, output=tmp_path, experiment="f", which=which, echo=echo).path


def encoder_weights(path):
    return {name: value for name, value in a2mim.load_encoder(path)[0].named_parameters() if not name.startswith("fc")}


def test_end_to_end(tmp_path, pretrained):
    folder = run(tmp_path, pretrained)
    model, report = a2mim.load_encoder(folder)
    assert (report.kind, report.num_classes, report.has_classifier) == ("finetune", 10, True)
    assert report.classes[0] == "T-shirt/top"
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    with open(folder / "summary.csv") as handle:
        rows = list(csv.DictReader(handle))
    best = max(float(row["top1"]) for row in rows)
    assert torch.load(folder / "model_best.pth.tar", weights_only=True)["metric"]["top1"] == pytest.approx(best)
    before, after = encoder_weights(pretrained), encoder_weights(folder)
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_epochs_between_evaluations_are_trained_alone(tmp_path, pretrained):
    folder = run(tmp_path, pretrained, epochs=5, val_interval=2)
    rows = rows_of(folder)
    assert [bool(row["top1"]) for row in rows] == [False, True, False, True, True]
    assert all(row["loss"] for row in rows)
    every = rows_of(run(tmp_path, pretrained, epochs=5))
    assert rows[-1]["top1"] == every[-1]["top1"]


def rows_of(folder, name="summary.csv"):
    with open(folder / name, newline="") as handle:
        return list(csv.DictReader(handle))


FULL = dict(  # all that fine-tuning can do at once
    **dict(opt="lamb", bce_loss=True, bce_target_thresh=0.2, mixup=0.8, cutmix=1.0, aa="rand-m6-mstd0.5-inc1"),
    **dict(
        reprob=0.3, aug_repeats=2, drop_path=0.1, model_ema=True, model_ema_decay=0.8, img_size=24, test_img_size=32
    ),
)


def test_everything_at_once_keeps_averaged_weights_and_says_how_good_they_are(tmp_path, pretrained):
    folder = run(tmp_path, pretrained, **FULL)
    last = rows_of(folder)[-1]
    assert {"top1", "top5", "val_loss", "top1_ema", "top5_ema", "val_loss_ema"} <= set(last)
    assert float(last["top1"]) <= float(last["top5"])
    saved = torch.load(folder / "last.pth.tar", weights_only=True)
    moved = [
        name for name, value in saved["state_dict"].items() if not torch.equal(value, saved["state_dict_ema"][name])
    ]
    assert "fc.weight" in moved
    # the averaged weights are those that are evaluated, and so those that are loaded; the others can be had
    for file in (folder / "last.pth.tar", folder / "backbone.safetensors"):
        model, report = a2mim.load_encoder(file)
        assert torch.equal(model.fc.weight, saved["state_dict_ema"]["fc.weight"])
        assert report.input_size == (3, 32, 32)
    assert torch.equal(
        a2mim.load_encoder(folder / "last.pth.tar", which="encoder")[0].fc.weight, saved["state_dict"]["fc.weight"]
    )
    best = torch.load(folder / "model_best.pth.tar", weights_only=True)
    assert best["metric"]["top1_ema"] == pytest.approx(max(float(row["top1_ema"]) for row in rows_of(folder)))


def test_the_average_is_what_the_formula_says():
    torch.manual_seed(0)
    model = torch.nn.Linear(2, 2)
    settings = FinetuneSettings(model_ema=True, model_ema_decay=0.9)
    task = FinetuneTask(model, torch.optim.SGD(model.parameters(), lr=0.1), [], {"num_classes": 2}, settings)
    expected = None
    for _ in range(4):
        torch.nn.init.normal_(model.weight)
        task.after_update()
        weight = model.weight.detach().clone()
        expected = weight if expected is None else 0.9 * expected + 0.1 * weight  # it begins at the first update
    torch.testing.assert_close(task.ema.module.weight, expected)


def test_a_run_that_is_interrupted_anywhere_ends_with_the_same_weights(tmp_path, pretrained, monkeypatch):
    whole = run(tmp_path / "whole", pretrained, **FULL)

    class Interrupted(BaseException):
        pass

    update = FinetuneTask.after_update

    def stop(self):
        update(self)
        if self.updates == 5:  # in the second epoch
            raise Interrupted

    with monkeypatch.context() as patched:
        patched.setattr(FinetuneTask, "after_update", stop)
        with pytest.raises(Interrupted):
            run(tmp_path / "broken", pretrained, **FULL, recovery_interval=1)
    folder = tmp_path / "broken" / "f"
    assert torch.load(folder / "last.pth.tar", weights_only=True)["progress"]["batch"] == 1
    settings = FinetuneSettings.from_values(SMALL, {**FULL, "recovery_interval": 1})
    finetune(settings, pretrained, resume=folder, echo=lambda _: None)
    one, other = (torch.load(path / "last.pth.tar", weights_only=True) for path in (whole, folder))
    for key in ("state_dict", "state_dict_ema"):
        assert all(torch.equal(one[key][name], other[key][name]) for name in one[key])
    assert one["extra"]["updates"] == other["extra"]["updates"]
    assert (whole / "confusion.csv").read_text() == (folder / "confusion.csv").read_text()


def test_a_run_that_goes_on_is_not_said_to_be_from_scratch(tmp_path, pretrained):
    folder = run(tmp_path, pretrained)
    lines = []
    settings = FinetuneSettings.from_values(yaml.safe_load((folder / "args.yaml").read_text()), {"epochs": 3})
    finetune(settings, resume=folder, echo=lines.append)
    assert f"{settings.model} from {folder}, 10 classes" in lines


def test_the_confusions_are_those_of_the_best_epoch(tmp_path, pretrained):
    folder = run(tmp_path, pretrained, epochs=3)
    table = rows_of(folder, "confusion.csv")
    assert len(table) == 100
    right = sum(int(row["images"]) for row in table if row["label"] == row["predicted"])
    total = sum(int(row["images"]) for row in table)
    assert total == 2000
    assert 100 * right / total == pytest.approx(max(float(row["top1"]) for row in rows_of(folder)))


def test_linear_probing_moves_the_classifier_alone(tmp_path, pretrained):
    folder = run(tmp_path, pretrained, linear=True)
    before = a2mim.load_encoder(pretrained)[0].state_dict()
    after = a2mim.load_encoder(folder, num_classes=0)[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)  # running statistics included


def test_from_scratch_takes_the_architecture_alone(tmp_path, pretrained):
    folder = run(tmp_path, pretrained, from_scratch=True, lr=0.0, epochs=1, warmup_lr=0.0)
    report = a2mim.load_encoder(folder)[1]
    assert report.model_args == a2mim.load_encoder(pretrained)[1].model_args
    before, after = encoder_weights(pretrained), encoder_weights(folder)
    assert not torch.equal(before["conv1.0.weight"], after["conv1.0.weight"])


def test_of_a_file_with_two_encoders_the_named_one_is_taken(tmp_path, pretrained):
    state = a2mim.load_encoder(pretrained, num_classes=0)[0].state_dict()
    two = {key: {name: value + shift for name, value in state.items()} for key, shift in (("ema", 0), ("model", 1))}
    torch.save({"state_dict": two["model"], "state_dict_ema": two["ema"]}, tmp_path / "two.pth")
    args = dict(model="resnet14t", model_args=TINY["model_args"], linear=True, epochs=1)
    for which, key in (("model", "model"), ("ema", "ema")):
        said: list[str] = []
        folder = run(tmp_path / which, tmp_path / "two.pth", which=which, echo=said.append, **args)
        after = a2mim.load_encoder(folder, num_classes=0)[0].state_dict()
        assert torch.equal(after["conv1.0.weight"], two[key]["conv1.0.weight"])
        assert any(f"taken: encoder '{which}'" in line for line in said)


def test_without_a_checkpoint_a_model_is_needed(tmp_path):
    folder = run(tmp_path, model="resnet14t", model_args=TINY["model_args"], epochs=1)
    assert a2mim.load_encoder(folder)[1].arch == "resnet14t"
    with pytest.raises(InputError, match="give a checkpoint to start from, or --model"):
        run(tmp_path)


def test_layer_decay_runs_on_a_vit(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)
    folder = run(tmp_path, model="vit_tiny_patch16_224", model_args=args, layer_decay=0.65, epochs=1, drop_path=0.1)
    assert a2mim.load_encoder(folder)[1].model_args == args


def test_images_without_labels_are_refused(tmp_path, pretrained):
    from PIL import Image

    for split in ("train", "val"):
        (tmp_path / "flat" / split).mkdir(parents=True)
        for k in range(3):
            Image.new("RGB", (8, 8)).save(tmp_path / "flat" / split / f"{k}.png")
    with pytest.raises(InputError, match="has no labels, and fine-tuning needs them"):
        run(tmp_path, pretrained, data_dir=str(tmp_path / "flat"))


def test_an_average_that_cannot_have_moved_is_warned_of(tmp_path):
    args = dict(model="resnet14t", model_args=TINY["model_args"], epochs=2)  # 2 x 3 updates
    for changes, warned in (
        (dict(model_ema=True), True),
        (dict(model_ema=True, model_ema_decay=1.0), True),
        (dict(model_ema=True, model_ema_decay=0.8), False),
        (dict(model_ema=True, model_ema_warmup=True), False),
        ({}, False),
    ):
        settings = FinetuneSettings.from_values(SMALL, args, changes)
        assert (average_that_stays(settings, 3) is not None) == warned
    said: list[str] = []
    run(tmp_path, echo=said.append, **args, model_ema=True)
    assert any("model_ema_decay 0.9998 the average spans about 5,000 updates, and this run has 6" in s for s in said)


def test_batch_norm_over_one_image_is_one_line(tmp_path):
    args = dict(model="resnet10t", epochs=1, warmup_epochs=0, limit=4, batch_size=1)
    with pytest.raises(
        InputError, match=r"batch norm of resnet10t cannot train on 1 image.* --batch-size of 2 or more"
    ):
        run(tmp_path, **args)


def test_a_network_for_other_channels_is_refused_when_it_is_built(tmp_path):
    with pytest.raises(InputError, match=r"resnet10t takes images of 1 channel\(s\) and the images have 3"):
        run(tmp_path, model="resnet10t", model_args={"in_chans": 1})
    grey = timm.create_model("resnet10t", in_chans=1, num_classes=0)
    torch.save(grey.state_dict(), tmp_path / "grey.pth")
    with pytest.raises(InputError, match=r"resnet10t takes images of 1 channel\(s\) and the images have 3"):
        run(tmp_path, tmp_path / "grey.pth", model="resnet10t", model_args={"in_chans": 1})


@pytest.mark.parametrize("kind", ["finetune", "pretrain"])
def test_a_run_of_a_network_from_a_folder_reads_without_the_folder(tmp_path, kind):
    model = timm.create_model("resnet14t", num_classes=0, **TINY["model_args"])
    source = tmp_path / "source"
    timm.models.save_for_hf(model, source, model_args=TINY["model_args"])
    args = dict(model=f"local-dir:{source}", epochs=1, warmup_epochs=0)
    if kind == "finetune":
        folder = run(tmp_path, **args)
    else:
        settings = PretrainSettings.from_values({**TINY, "model_args": {}}, args)
        folder = pretrain(settings, output=tmp_path, experiment="f", echo=lambda _: None).path
    source.rename(tmp_path / "elsewhere")
    report = a2mim.load_encoder(folder)[1]
    assert (report.arch, report.coverage) == ("resnet14t", 1.0)
    assert report.model_args["channels"] == TINY["model_args"]["channels"]
    assert yaml.safe_load((folder / "args.yaml").read_text())["model"] == "resnet14t"
    with pytest.raises(InputError, match=r"local-dir:.*source"):
        run(tmp_path, model=f"local-dir:{source}")


def test_the_decay_of_the_average_rises_from_nine_tenths():
    assert [decay_at(0.8, update, 0) for update in (0, 1, 9)] == [0.8] * 3
    assert [decay_at(0.8, update, 10) for update in (0, 5, 10, 20)] == pytest.approx([0.72, 0.76, 0.8, 0.8])


def test_an_average_that_is_warmed_up_follows_the_rising_decay(tmp_path, pretrained):
    plain, warm = (
        torch.load(run(tmp_path, pretrained, epochs=1, **changes) / "last.pth.tar", weights_only=True)
        for changes in (dict(model_ema=True), dict(model_ema=True, model_ema_warmup_epochs=1.0))
    )
    away = [
        sum((saved["state_dict"][name] - value).abs().sum() for name, value in saved["state_dict_ema"].items())
        for saved in (plain, warm)
    ]
    assert away[1] < away[0]  # nearer to the trained weights
