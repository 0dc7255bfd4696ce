"""Sizes of images and cells of masks that fit a network."""

import pytest
import timm
import torch

import a2mim
from a2mim.encoders import sites
from a2mim.encoders.fitting import check_size, mask_stride, neighbours, stride_of
from a2mim.errors import InputError

RESNET = dict(channels=[8, 16, 24, 32], stem_width=4)
CONVNEXT = dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
VIT = dict(embed_dim=24, depth=2, num_heads=2)


@pytest.mark.parametrize(
    ("side", "grid", "stride"), [(224, 14, 16), (224, 16, 14), (176, 6, 32), (97, 7, 16), (299, 17, None)]
)
def test_the_stride_of_features(side, grid, stride):
    assert stride_of((side, side), (grid, grid)) == stride


def test_strides_that_differ_between_rows_and_columns_have_a_common_multiple():
    assert stride_of((64, 96), (4, 16)) == 48


@pytest.mark.parametrize(
    ("site", "stride"), [("auto", 16), ("input", 16), ("stem", 16), ("stage2", 8), ("stage4", 32), ("stage3.out", 16)]
)
def test_masks_fit_the_site_and_never_less_than_the_papers(site, stride):
    encoder = timm.create_model("resnet14t", num_classes=0, **RESNET)
    assert mask_stride(encoder, sites.find(encoder, site, (96, 96)), (96, 96)) == stride


@pytest.mark.parametrize(
    ("arch", "args", "side", "near"),
    [
        ("vit_tiny_patch16_224", VIT, 100, "96x96 or 112x112"),
        ("vit_tiny_patch16_224", VIT, 97, "96x96 or 112x112"),
        ("mixer_s32_224", {}, 80, "64x64 or 96x96"),
        ("convnext_atto", CONVNEXT, 100, "96x96 or 128x128"),
    ],
)
def test_sizes_of_which_pixels_are_not_seen_are_refused(arch, args, side, near):
    with pytest.raises(InputError, match=f"the last pixels are not seen; use {near}"):
        a2mim.create_model(arch, model_args=args, img_size=side)


def test_padded_images_are_seen_as_a_whole():
    encoder = timm.create_model("resnet14t", num_classes=0, **RESNET)
    check_size(encoder, (97, 97), tuple(encoder.forward_features(torch.zeros(1, 3, 97, 97)).shape[2:]))
    model = a2mim.create_model("vit_tiny_patch16_224", model_args={**VIT, "dynamic_img_pad": True}, img_size=96)
    assert model.img_size == (96, 96)


def test_neighbours_have_at_least_two_steps():
    assert neighbours(100, 16) == (96, 112)
    assert neighbours(20, 16) == (32, 32)
