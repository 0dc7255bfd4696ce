"""What a classifier is built from: labelled images, checkpoint or scratch, sizes for training and testing."""

import pytest
import torch

from a2mim.data import open_images
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings
from a2mim.training.classifier import build_classifier, labelled_images, loaders
from tests.a2mim.test_pretraining import TINY

NET = dict(model="resnet14t", model_args=TINY["model_args"], batch_size=4, workers=0)
VIT = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)


def build(checkpoint=None, num_classes=None, **changes):
    settings = FinetuneSettings(**{**NET, **changes})
    return build_classifier(settings, checkpoint, open_images(), lambda _: None, num_classes=num_classes)


def test_what_nobody_said_follows_from_the_images_or_the_checkpoint():
    _, settings = build()
    assert (settings.img_size, settings.mean, settings.std) == (32, (0.2860,) * 3, (0.3530,) * 3)
    _, settings = build("fashion-vit-pretrained", model=None, model_args={}, drop_path=0.1)
    assert (settings.model, settings.img_size) == ("vit_tiny_patch16_224", 32)
    assert "drop_path_rate" not in settings.model_args


def test_weights_follow_from_the_seed():
    first, again, other = (build(seed=seed)[0].fc.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_linear_probe_trains_a_classifier_that_starts_near_zero():
    model, _ = build("fashion-resnet-pretrained", model=None, model_args={}, linear=True)
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["fc.weight", "fc.bias"]
    assert model.fc.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not model.fc.bias.any()


def test_without_classes_it_is_the_encoder():
    model, _ = build("fashion-resnet-a2mim", num_classes=0, model=None, model_args={}, linear=True)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 128)


def test_images_are_tested_in_another_size_where_the_network_takes_it():
    settings = FinetuneSettings(**NET, img_size=24, test_img_size=40, limit=40)
    source, validation = labelled_images(settings)
    _, settings = build_classifier(settings, None, source)
    train, test = loaders(settings, source, validation, torch.device("cpu"))
    assert next(train.epoch(0)).images.shape == (4, 3, 24, 24)
    assert next(iter(test)).images.shape == (4, 3, 40, 40)
    everything, _ = loaders(settings, source, validation, torch.device("cpu"), plain=True)
    assert [len(batch.images) for batch in everything] == [4] * 10
    assert next(iter(everything)).images.shape == (4, 3, 40, 40)
    with pytest.raises(InputError, match="is built for images of 32 pixels and cannot be tested at 48"):
        build(model="vit_tiny_patch16_224", model_args=VIT, test_img_size=48)
    build(model="vit_tiny_patch16_224", model_args={**VIT, "dynamic_img_size": True}, test_img_size=48)


def test_repeats_reach_the_loader():
    settings = FinetuneSettings(**NET, img_size=32, aug_repeats=2, limit=40)
    train, _ = loaders(settings, open_images(), open_images(split="val"), torch.device("cpu"))
    indices = next(train.epoch(0)).indices
    assert indices[0] == indices[1] != indices[2] == indices[3]
