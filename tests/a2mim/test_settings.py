"""Settings: values checked and converted once, defaults of the paper, the same names everywhere."""

import dataclasses

import pytest

from a2mim.errors import InputError
from a2mim.losses import LossSettings
from a2mim.settings import FinetuneSettings, PretrainSettings


def test_defaults_are_the_papers():
    settings = PretrainSettings()
    assert (settings.mask_ratio, settings.fill, settings.token, settings.loss) == (0.6, "image-mean", "add", "paper")
    assert (settings.opt, settings.opt_betas, settings.weight_decay) == ("adamw", (0.9, 0.999), 0.05)
    assert (settings.lr_base, settings.lr_base_size, settings.warmup_epochs) == (1.5e-4, 256, 10)
    assert (settings.scale, settings.drop_path) == ((0.67, 1.0), 0)
    finetuning = FinetuneSettings()
    assert (finetuning.lr_base, finetuning.warmup_epochs, finetuning.smoothing) == (2.5e-4, 5, 0.1)


def test_layers_go_over_each_other_and_yaml_text_becomes_numbers():
    settings = PretrainSettings.from_values({"lr_base": "3e-4", "epochs": 5}, {"epochs": 7, "scale": [0.5, 1]})
    assert (settings.lr_base, settings.epochs, settings.scale) == (3e-4, 7, (0.5, 1.0))


def test_arguments_of_the_model_are_joined_unless_the_model_is_another():
    recipe = {"model": "vit_tiny_patch16_224", "model_args": {"depth": 6, "patch_size": 4}}
    assert PretrainSettings.from_values(recipe, {"model_args": {"depth": 8}}).model_args == {
        "depth": 8,
        "patch_size": 4,
    }
    assert PretrainSettings.from_values(recipe, {"model": "resnet18"}).model_args == {}
    assert recipe["model_args"] == {"depth": 6, "patch_size": 4}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mask_ration": 0.5}, "unknown setting 'mask_ration'; did you mean 'mask_ratio'?"),
        ({"mask_ratio": 1.2}, "mask_ratio 1.2 is outside 0 to 1"),
        ({"test_img_size": 224}, "setting 'test_img_size' belongs to a2mim-finetune, not to a2mim-pretrain"),
        ({"epochs": 0}, "epochs 0 is outside 1 or more"),
        ({"epochs": 2.5}, "write a whole number"),
        ({"epochs": "many"}, "epochs cannot be 'many'"),
        ({"fill": "grey"}, "fill 'grey' is unknown; known: image-mean"),
        ({"amp": "yes"}, "write true or false"),
        ({"batch_size": None}, "batch_size needs a value"),
        ({"epochs": float("inf")}, "epochs cannot be inf"),
        ({True: 2}, "unknown setting 'True'"),  # what YAML makes of the key "on"
        ({"scale": [0.5]}, "scale needs 2 numbers, not 1"),
        ({"mean": [0.5]}, "mean needs 3 numbers, not 1"),
        ({"mean": 0.5}, "mean needs 3 numbers, not 1"),
        ({"model_args": 3}, "model_args cannot be 3: write pairs of a name and a value"),
        ({"mask_token_lr_scale": -1}, "mask_token_lr_scale -1 is outside 0 or more"),  # the token went uphill
    ],
)
def test_mistakes_get_one_clear_error(values, message):
    with pytest.raises(InputError) as error:
        PretrainSettings.from_values(values)
    assert message in str(error.value)


def test_the_linear_rule_shows_its_denominator():
    lr, how = PretrainSettings(lr_base=1.5e-4, lr_base_size=256).learning_rate(2048)
    assert lr == pytest.approx(1.2e-3)
    assert how == "lr 0.0012 = 0.00015 x 2048 images per update / 256"
    assert PretrainSettings(lr=0.1).learning_rate(7)[0] == 0.1


def test_values_round_trip():
    settings = PretrainSettings(mean=(0.5, 0.5, 0.5), model_args={"depth": 3})
    assert PretrainSettings.from_values(settings.as_values()) == settings


def test_the_settings_of_the_loss_are_those_of_the_loss():
    fields = {field.name: field for field in dataclasses.fields(PretrainSettings)}
    for setting in dataclasses.fields(LossSettings):
        assert fields[setting.name].default is None  # the preset's
        assert fields[setting.name].type == f"{setting.type} | None"
        assert fields[setting.name].metadata == setting.metadata


@pytest.mark.parametrize("kind", [PretrainSettings, FinetuneSettings])
def test_every_help_text_is_one_short_sentence(kind):
    for field in dataclasses.fields(kind):
        text = field.metadata["help"]
        assert text[0].isupper(), field.name
        assert text.endswith("."), field.name
        assert len(text) <= 110, field.name


def test_loss_changes_are_those_that_were_given():
    assert PretrainSettings().loss_changes() == {}
    assert PretrainSettings(freq_lambda=0.0, loss_spa="l2").loss_changes() == {"freq_lambda": 0.0, "loss_spa": "l2"}


def test_a_setting_of_any_number_of_values_takes_them_from_a_flag_and_from_a_recipe():
    for given in ("60,80", "60 80", [60, 80], (60.0, 80.0)):
        assert FinetuneSettings.from_values({"decay_milestones": given}).decay_milestones == (60.0, 80.0)
    assert FinetuneSettings.from_values({"decay_milestones": [7]}).decay_milestones == (7.0,)
    with pytest.raises(InputError, match="decay_milestones -1 is outside 0 or more"):
        FinetuneSettings.from_values({"decay_milestones": [3, -1]})


def test_augmentation_of_fine_tuning_goes_by_timms_names():
    settings = FinetuneSettings(aa="rand-m9-mstd0.5-inc1", reprob=0.25, recount=2, train_interpolation="random")
    said = settings.augmentation()
    assert (said["auto_augment"], said["re_prob"], said["re_count"]) == ("rand-m9-mstd0.5-inc1", 0.25, 2)
    assert (said["interpolation"], said["re_mode"], said["color_jitter"]) == ("random", "pixel", None)
    assert FinetuneSettings(interpolation="bicubic").augmentation()["interpolation"] == "bicubic"
