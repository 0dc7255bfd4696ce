"""All methods alike: settings in layers, twenty steps on one batch, and checkpoints that the loader reads back."""

import json

import pytest
import torch
import yaml
from analysing import analyse
from small_methods import NETS, batch_of, settings_of, task_of

import a2mim
from a2mim.analysis.core.images import Images
from a2mim.analysis.reconstruction import pictures
from a2mim.encoders.fitting import patch_embedding
from a2mim.errors import InputError
from a2mim.method_settings import unused
from a2mim.methods import METHODS, masked_method
from a2mim.methods.method import create_encoder
from a2mim.pretraining import pretrain
from a2mim.settings import FinetuneSettings, PretrainSettings
from a2mim.training.finetuning import finetune

RUN = dict(batch_size=16, limit=32, epochs=2, warmup_epochs=0.5, workers=0, lr_base=1e-2)


def test_flags_go_before_the_recipe_before_the_method_before_the_class():
    assert PretrainSettings.from_values({"method": "simmim"}).fill == "zero"
    assert PretrainSettings.from_values({"method": "simmim", "fill": "black"}).fill == "black"
    assert PretrainSettings.from_values({"method": "simmim", "fill": "black"}, {"fill": "noise"}).fill == "noise"
    assert PretrainSettings.from_values({"method": "inpainting"}).mask_ratio == 0.25
    assert PretrainSettings.from_values({"method": "mocov3"}).scale == (0.08, 1.0)
    assert PretrainSettings.from_values({"method": "simmim"}).weight_decay == 0.05


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([{"method": "mocov3", "token": "add"}], r"mocov3 does not use token \(given: add\); it is for a2mim, simmim"),
        ([{"method": "mocov3"}, {"picture_interval": 1}], "mocov3 does not use picture_interval"),
        ([{"method": "mocov3"}, {"method": "mocov3", "fill": "zero"}], "mocov3 does not use fill"),
        ([{"method": "simmim", "freq_lambda": 0.1}], "simmim does not use freq_lambda"),
        ([{"method": "simmim", "loss": "paper"}], "simmim does not use loss"),
        ([{"method": "inpainting", "mask_patch_size": 4}], "inpainting does not use mask_patch_size"),
        ([{"moco_dim": 8}], r"a2mim does not use moco_dim \(given: 8\); it is for mocov3"),
        ([{"mask_ratio": 0.5}, {"method": "mocov3", "mask_ratio": 0.6}], "mocov3 does not use mask_ratio"),
        ([{"method": "moco"}], "method 'moco' is unknown; known: a2mim, simmim"),
        ([{"gamma_lr_scale": 1.0}], "need gamma"),
    ],
)
def test_a_setting_that_the_method_does_not_use_is_refused(layers, message):
    with pytest.raises(InputError, match=message):
        PretrainSettings.from_values(*layers)


def test_a_recipe_for_another_method_lends_what_both_use():
    recipe = {"token": "add", "fill": "noise", "mask_ratio": 0.5, "epochs": 7, "scale": [0.8, 1]}
    simmim = PretrainSettings.from_values(recipe, {"method": "simmim"})
    assert (simmim.token, simmim.fill) == ("auto", "zero")  # these make up the method
    assert (simmim.mask_ratio, simmim.epochs, simmim.scale) == (0.5, 7, (0.8, 1.0))
    contrastive = PretrainSettings.from_values(recipe, {"method": "mocov3"})
    assert (contrastive.epochs, contrastive.scale) == (7, (0.08, 1.0))
    back = PretrainSettings.from_values({"method": "simmim", "fill": "black", "mask_ratio": 0.5}, {"method": "a2mim"})
    assert (back.fill, back.token, back.mask_ratio) == ("image-mean", "add", 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_plain_values_are_a_recipe_for_the_same_settings(method):
    settings = settings_of(method)
    values = yaml.safe_load(yaml.safe_dump(settings.as_values()))
    assert PretrainSettings.from_values(values) == settings
    assert not values.keys() & unused(method)


def test_only_some_methods_hide_pixels():
    assert masked_method("mocov3") is None
    assert masked_method("inpainting") is METHODS["inpainting"]


def test_the_patch_embedding_is_found_where_there_is_one():
    assert patch_embedding(create_encoder(settings_of("a2mim", "vit"), None).module) is not None
    assert patch_embedding(create_encoder(settings_of("a2mim", "resnet"), None).module) is None
    mixer = create_encoder(PretrainSettings(model="mixer_s32_224", img_size=64), None)
    assert patch_embedding(mixer.module) is mixer.module.stem


def test_stochastic_depth_is_of_the_training_and_not_of_the_architecture():
    encoder = create_encoder(settings_of("a2mim", drop_path=0.2), None)
    assert encoder.module.blocks[-1].drop_path1.drop_prob == pytest.approx(0.2)
    assert "drop_path_rate" not in encoder.model_args


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_twenty_steps_on_one_batch_lower_the_loss(method, net):
    sharp = dict(moco_temperature=0.2) if method == "mocov3" else {}
    task, batch = task_of(method, net, lr=5e-3, **sharp), batch_of(method)
    task.model.train()
    losses = []
    for _ in range(20):
        task.optimizer.zero_grad()
        loss, values = task.loss(batch, torch.Generator().manual_seed(0))
        loss.backward()
        task.optimizer.step()
        task.after_update()
        losses.append(loss.item())
        assert all(value.ndim == 0 and torch.isfinite(value) and not value.requires_grad for value in values.values())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("method", METHODS)
def test_what_a_run_writes_is_read_back_by_every_loader(tmp_path, method, net):
    kept = []
    settings = PretrainSettings.from_values(settings_of(method, net).as_values(), RUN, {"epochs": 1})
    run = pretrain(settings, output=tmp_path, on_epoch_end=lambda _, model, __: kept.append(model), echo=lambda _: None)
    images = torch.randn(2, 3, 32, 32)
    expected = kept[0].encoder.eval().forward_features(images)
    for file in ("last.pth.tar", "checkpoint-1.pth.tar", "backbone.safetensors"):
        encoder, report = a2mim.load_encoder(run.path / file)
        assert torch.allclose(encoder.forward_features(images), expected, atol=1e-6), file
        assert report.coverage == 1
    values = yaml.safe_load((run.path / "args.yaml").read_text())
    assert values["method"] == method
    assert values["img_size"] == 32
    if masked_method(method):
        model, _ = a2mim.load_masked_model(run.path)
        assert model.mim_args["token"] == kept[0].token
    else:
        with pytest.raises(InputError, match="has no reconstruction head: mocov3 trains none"):
            a2mim.load_masked_model(run.path)
        with pytest.raises(InputError, match="mocov3 trains none"):
            analyse("reconstruct", [str(run.path)], tmp_path / "r", images=Images())


@pytest.mark.parametrize("method", METHODS)
def test_a_run_that_was_cut_short_ends_with_the_same_weights(tmp_path, method):
    def crash(epoch, model, run):
        if epoch == 1:
            raise RuntimeError("power cut")

    settings = PretrainSettings.from_values(settings_of(method).as_values(), RUN)
    whole = pretrain(settings, output=tmp_path, experiment="whole", echo=lambda _: None).path
    with pytest.raises(RuntimeError, match="power cut"):
        pretrain(settings, output=tmp_path, experiment="cut", on_epoch_end=crash, echo=lambda _: None)
    cut = pretrain(settings, resume=tmp_path / "cut", echo=lambda _: None).path
    first, second = (torch.load(folder / "last.pth.tar", weights_only=True) for folder in (whole, cut))
    assert all(torch.equal(first["state_dict"][name], second["state_dict"][name]) for name in first["state_dict"])


def test_a_run_does_not_go_on_with_another_method(tmp_path):
    settings = PretrainSettings.from_values(settings_of("a2mim").as_values(), RUN, {"epochs": 1})
    run = pretrain(settings, output=tmp_path, echo=lambda _: None)
    other = PretrainSettings.from_values(settings_of("simmim").as_values(), RUN, {"epochs": 1})
    with pytest.raises(InputError, match="was started with method=a2mim and cannot continue with method=simmim"):
        pretrain(other, resume=run.path, echo=lambda _: None)


def test_the_encoders_of_mocov3_are_fine_tuned_and_both_can_be_had(tmp_path):
    settings = PretrainSettings.from_values(settings_of("mocov3", "resnet").as_values(), RUN, {"epochs": 1})
    run = pretrain(settings, output=tmp_path, echo=lambda _: None)
    _, report = a2mim.load_encoder(run.path)
    assert (report.which, report.choices) == ("base", ("base", "momentum"))
    state = torch.load(run.path / "last.pth.tar", weights_only=True)["state_dict"]
    for which, prefix in (("base", "encoder."), ("momentum", "momentum_encoder.")):
        encoder, _ = a2mim.load_encoder(run.path, which=which)
        assert all(torch.equal(value, state[prefix + name]) for name, value in encoder.state_dict().items())
    tuned = finetune(
        FinetuneSettings.from_values({**RUN, "epochs": 1}),
        run.path,
        output=tmp_path,
        which="momentum",
        echo=lambda _: None,
    )
    assert a2mim.load_encoder(tuned.path)[1].num_classes == 10


def test_reconstructions_are_drawn_under_the_masks_of_the_method(tmp_path):
    settings = PretrainSettings.from_values(settings_of("inpainting").as_values(), RUN, {"epochs": 1})
    run = pretrain(settings, output=tmp_path, echo=lambda _: None)
    images = Images(limit=3)

    def hidden(folder, **changes):
        """What the settings file says of the masks."""
        written = analyse("reconstruct", [str(run.path)], tmp_path / folder, images=images, **changes)
        return json.loads(written["json"].read_text())["settings"]

    assert hidden("own")["mask_grid"] is None  # a square
    assert hidden("cells", mask_patch_size=8)["mask_grid"] == [4, 4]
    mask = pictures.masks([0, 1], (32, 32), None, 0.25, seed=0)
    assert mask.shape == (2, 32, 32)
    assert mask.sum((1, 2)).tolist() == [256, 256]


def test_the_command_trains_a_method_and_says_what_the_recipe_had(tmp_path):
    from click.testing import CliRunner

    from a2mim.commands import pretrain as command

    flags = "--method mocov3 --limit 16 --batch-size 16 --epochs 1 --warmup-epochs 0 --workers 0 --device cpu"
    small = "--moco-dim 8 --moco-mlp-dim 8"
    result = CliRunner().invoke(command.main, [*flags.split(), *small.split(), "--output", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert "mask_ratio: 0.6 in the recipe, not used here" in result.output
    folder = tmp_path / "pretrain-fashion-vit-mocov3"
    assert (folder / "curve.png").is_file()
    assert not (folder / "reconstructions").exists()
    assert f"next: a2mim-finetune {folder}\n" in result.output
    refused = CliRunner().invoke(command.main, ["--method", "mocov3", "--token", "add", "--output", str(tmp_path)])
    assert refused.exit_code == 2
    assert refused.output.startswith("error: method mocov3 does not use token")
    assert len(refused.output.splitlines()) == 1
