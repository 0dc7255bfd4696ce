"""Sites and layouts of real timm models: what a hook sees, and that the encoder is left as it was."""

import pytest
import timm
import torch

from a2mim import sites
from a2mim.errors import InputError
from a2mim.sites import Layout

VIT = dict(img_size=32, patch_size=8, embed_dim=24, depth=12, num_heads=2)
RESNET = dict(channels=[8, 16, 24, 32], stem_width=4)


def vit(**more):
    return timm.create_model("vit_tiny_patch16_224", num_classes=0, **{**VIT, **more})


def resnet():
    return timm.create_model("resnet14t", num_classes=0, **RESNET)


def test_names_of_a_network_in_blocks_and_of_one_in_stages():
    assert list(sites.names(vit(depth=3))) == ["input", "stem", "block1", "block2", "block3"]
    assert sites.names(vit())["block5"] == ("blocks.4", False)
    assert list(sites.names(resnet())) == ["input", "stem", "stage1", "stage2", "stage3", "stage4"]
    assert sites.names(resnet())["stage3"] == ("layer3", False)


def test_default_site_is_the_papers_where_it_names_one():
    assert sites.default(resnet()) == "stage3"
    assert sites.default(vit()) == "block5"  # 12 blocks, as ViT-S
    with torch.device("meta"):
        assert sites.default(timm.create_model("vit_base_patch16_224")) == "block8"
        assert sites.default(timm.create_model("vit_small_patch16_224")) == "block5"
        assert sites.default(timm.create_model("swin_tiny_patch4_window7_224")) == "stage3"
    assert sites.default(vit(depth=1)) == "block1"


def test_an_unknown_site_is_answered_with_those_there_are():
    with pytest.raises(InputError, match="no site 'stage9'; its sites: input, stem, stage1, stage2, stage3, stage4"):
        sites.find(resnet(), "stage9", (32, 32))


def test_a_module_by_its_dotted_name_is_a_site():
    site = sites.find(resnet(), "layer2.0.conv1", (32, 32))
    assert site.layout.order == "NCHW"


@pytest.mark.parametrize(
    ("shape", "img_size", "expected"),
    [
        ((2, 24, 4, 8), (32, 64), Layout("NCHW", 24, (4, 8))),
        ((2, 4, 8, 24), (32, 64), Layout("NHWC", 24, (4, 8))),
        ((2, 33, 24), (32, 64), Layout("NLC", 24, (4, 8), prefix=1)),
        ((2, 32, 24), (32, 64), Layout("NLC", 24, (4, 8))),
        ((2, 24, 6, 6), (176, 176), Layout("NCHW", 24, (6, 6))),  # 176 / 32 rounded up
    ],
)
def test_layout_is_read_off_the_shape(shape, img_size, expected):
    assert Layout.of(torch.zeros(shape), img_size, prefix_tokens=1) == expected


def test_layout_of_a_cube_follows_the_models_declared_order():
    cube = torch.zeros(1, 8, 8, 8)
    assert Layout.of(cube, (64, 64), order="NHWC").order == "NHWC"
    assert Layout.of(cube, (64, 64)).order == "NCHW"


def test_features_that_are_no_map_are_refused():
    with pytest.raises(InputError, match="no map"):
        Layout.of(torch.zeros(2, 7, 5, 3), (32, 32))
    with pytest.raises(InputError, match="no map"):
        Layout.of(torch.zeros(2, 11), (32, 32))


def test_to_map_and_mask_agree_in_every_order():
    h, w, C = 2, 3, 4
    plain = torch.arange(C * h * w, dtype=torch.float).view(1, C, h, w)
    mask = torch.zeros(1, h, w, dtype=torch.bool)
    mask[0, 1, 2] = True
    tokens = torch.cat([torch.full((1, 2, C), 99.0), plain.flatten(2).transpose(1, 2)], dim=1)
    for layout, features in [
        (Layout("NCHW", C, (h, w)), plain),
        (Layout("NHWC", C, (h, w)), plain.permute(0, 2, 3, 1)),
        (Layout("NLC", C, (h, w), prefix=2), tokens),
    ]:
        assert torch.equal(layout.to_map(features), plain)
        marked = layout.to_map(torch.where(layout.mask(mask), -1.0, features))
        assert (marked[0, :, 1, 2] == -1).all()
        assert (marked == -1).sum() == C


def test_probing_leaves_the_encoder_as_it_was():
    encoder = resnet().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    sites.find(encoder, "auto", (32, 32))
    sites.output_layout(encoder, (32, 32))
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())


def test_images_the_encoder_cannot_take_are_refused():
    with pytest.raises(InputError, match="does not run on images of"):
        sites.output_layout(vit(), (40, 40))
