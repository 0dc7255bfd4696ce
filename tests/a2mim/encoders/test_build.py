"""From a name to a network, with errors that help."""

import pytest
import torch

from a2mim.encoders.build import build_encoder, check_arch, default_img_size
from a2mim.errors import InputError


def test_the_image_size_goes_to_those_that_are_built_for_one():
    small = dict(patch_size=8, embed_dim=24, depth=1, num_heads=2)
    vit, args = build_encoder("vit_tiny_patch16_224", small, img_size=(32, 32))
    assert args == {**small, "img_size": 32}
    assert default_img_size(vit) == (32, 32)
    assert vit(torch.zeros(1, 3, 32, 32)).shape == (1, 24)
    _, args = build_encoder("resnet10t", dict(stem_width=8), img_size=(32, 32))
    assert args == {"stem_width": 8}
    _, args = build_encoder("vit_tiny_patch16_224", small, img_size=(32, 64))
    assert args["img_size"] == [32, 64]


def test_the_classifier_is_there_when_asked_for():
    model, _ = build_encoder("resnet10t", num_classes=7)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_mistakes():
    check_arch("vit_base_patch16_224.mae")
    with pytest.raises(InputError, match=r"near it: .*convnext_tiny"):
        check_arch("convnxt_tiny")
    with pytest.raises(InputError, match="cannot be built with colour=red"):
        build_encoder("resnet10t", {"colour": "red"})
    with pytest.raises(InputError, match="cannot be built for images of"):
        build_encoder("vit_tiny_patch16_224", {"embed_dim": 25, "num_heads": 2}, img_size=(32, 32))
