"""Scales and the trainings that claims share: the commands exist, and mean what their names say."""

import shlex

import pytest
from click.testing import CliRunner

import a2mim
from a2mim import settings
from a2mim.commands import finetune, pretrain
from a2mim.errors import InputError
from a2mim.experiments import trainings
from a2mim.experiments.trainings import LINEAR, SCALES, SCRATCH, VARIANTS, scale_of
from a2mim.figures import methods
from a2mim.recipes import find, read
from a2mim.settings import PretrainSettings

COMMANDS = {"a2mim-pretrain": pretrain.main, "a2mim-finetune": finetune.main}


def every_training(scale):
    for network, net in scale.networks.items():
        variants = [*VARIANTS, *(f"add-{place}" for place in net.places)]
        yield from (scale.pretraining(network, variant, 1) for variant in variants)
        for variant in (SCRATCH, *variants):
            yield from (scale.classifier(network, variant, 1, evaluation) for evaluation in net.evaluations)


@pytest.mark.parametrize("name", SCALES)
def test_every_training_is_a_public_command_with_flags_that_exist(name, tmp_path):
    scale = scale_of(name, "my images")
    for stage in every_training(scale):
        program, *arguments = stage.arguments(tmp_path)
        result = CliRunner().invoke(COMMANDS[program], [*arguments, "--help"])
        assert result.exit_code == 0, (stage, result.output)
        assert "my images" in arguments
        assert arguments[arguments.index("--seed") + 1] == "1"


@pytest.mark.parametrize("networks", [trainings.SMALL_NETWORKS, trainings.PAPER_NETWORKS, trainings.IMAGENET_NETWORKS])
def test_recipes_exist(networks):
    for net in networks.values():
        for recipe in (net.recipe, *net.own.values(), *net.evaluations.values()):
            assert find(recipe).is_file()


@pytest.mark.parametrize("network", ["vit", "resnet"])
def test_the_place_inside_is_where_a2mim_puts_its_token(network):
    net = trainings.SMALL_NETWORKS[network]
    settings = PretrainSettings.from_values(read(find(net.recipe)))
    model = a2mim.create_model(settings.model, model_args=settings.model_args, img_size=settings.img_size)
    assert model.site.name == net.inside
    assert net.inside in net.places


def test_ablations_change_one_thing_at_a_time():
    def settings(variant):
        words = shlex.split(trainings.flags_of(variant))
        return dict(zip(words[::2], words[1::2], strict=True))

    assert settings("replace-stem") == settings("freq-focal") | {"--freq-lambda": "0"}
    assert settings("freq-plain") == settings("freq-focal") | {"--freq-weight": "none"}
    assert settings("add-stem") == settings("replace-stem") | {"--token": "add"}
    assert settings("a2mim") == {"--method": "a2mim"}


def test_random_weights_stay_random():
    assert "--lr 0 " in trainings.flags_of("random")


def test_what_a_variant_is_goes_before_what_the_scale_says():
    command = scale_of("demo").pretraining("vit", "random", 0).command
    assert command.rindex("--epochs 1") > command.index("--epochs 2")


def test_probing_steps_down_at_the_recipes_shares():
    stage = scale_of("demo").classifier("vit", "a2mim", 0, LINEAR)
    assert "--decay-milestones 2,3" in stage.command
    assert stage.name == "vit-a2mim-0-linear"


def test_a_scale_without_its_images_says_what_it_needs(monkeypatch, tmp_path):
    monkeypatch.setattr(trainings, "FASHION", tmp_path / "none")
    with pytest.raises(InputError, match="dataset-fashion-mnist"):
        scale_of("small")
    with pytest.raises(InputError, match="ImageNet"):
        scale_of("paper")
    assert scale_of("small", "mine", seeds=(7,)).seeds == (7,)


def test_the_methods_are_those_of_the_settings_in_the_order_of_the_figures():
    assert trainings.METHODS == ("scratch", "inpainting", "simmim", "mocov3", "a2mim")
    assert set(settings.METHODS) < set(methods.KNOWN)
