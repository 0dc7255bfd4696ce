"""Sites and layouts of real timm models: what a hook sees, and that the encoder is left as it was."""

import pytest
import timm
import torch
from versions import needs_timm

from a2mim.encoders import sites
from a2mim.encoders.layouts import Layout
from a2mim.errors import InputError

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


def test_probing_leaves_the_encoder_as_it_was():
    encoder = resnet().train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    sites.find(encoder, "auto", (32, 32))
    sites.output_layout(encoder, (32, 32))
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())


def test_images_the_encoder_cannot_take_are_refused():
    with pytest.raises(InputError, match="does not run on images of 40x40 pixels"):
        sites.output_layout(vit(), (40, 40))


@pytest.mark.parametrize(("name", "module"), [("stage4.in", "stages.3.blocks.0"), ("stage3.out", "stages.2")])
def test_convnexts_published_place_is_after_the_downsampling_not_the_output_of_stage_3(name, module):
    encoder = timm.create_model("convnext_atto", num_classes=0, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    site = sites.find(encoder, name, (64, 64))
    assert (site.name, site.module, site.before) == (name, module, name.endswith(".in"))
    assert (site.channels, site.grid) == ((32, (2, 2)) if name.endswith(".in") else (24, (4, 4)))


def test_the_input_of_a_stage_without_a_downsampling_of_its_own_is_the_output_of_the_one_before():
    encoder = resnet()
    assert sites.find(encoder, "stage4.in", (32, 32)).module == "layer3"
    assert sites.find(encoder, "stage1.in", (32, 32)).module == sites.find(encoder, "stem", (32, 32)).module == "layer1"


def test_the_input_of_a_block_is_the_output_of_the_one_before():
    encoder, images = vit(depth=3).eval(), torch.randn(1, 3, 32, 32)
    features = []
    for name in ("block2.in", "block1"):
        site = sites.find(encoder, name, (32, 32))
        assert site.layout == Layout("NLC", 24, (4, 4), prefix=1)
        with torch.no_grad(), site.apply(encoder, lambda branch, features: features.flip(1)):
            features.append(encoder.forward_features(images))
    assert torch.equal(*features)


@needs_timm("1.0.31")
def test_parallel_branches_are_one_site():
    encoder = timm.create_model("crossvit_tiny_240", num_classes=0).eval()
    site = sites.find(encoder, "block1", (240, 240))
    assert [layout.grid for layout in site.layouts] == [(20, 20), (14, 14)]
    assert site.channels == 96 + 192
    shapes = {}
    with torch.no_grad(), site.apply(encoder, lambda branch, features: shapes.setdefault(branch, features)):
        encoder.forward_features(torch.zeros(1, 3, 240, 240))
    assert {branch: tuple(features.shape) for branch, features in shapes.items()} == {0: (1, 401, 96), 1: (1, 197, 192)}


@needs_timm("1.0.30")
def test_what_does_not_reach_the_output_is_no_part_of_a_site():
    encoder = timm.create_model("efficientvim_m1", num_classes=0)
    site = sites.find(encoder, "stage1", (128, 128))
    assert site.members == (1,)  # the stage gives its map, what the next stage is given, and a hidden state
    assert site.grid == (4, 4)


@needs_timm("1.0.30")
def test_hidden_states_as_many_as_cells_are_no_map():
    encoder = timm.create_model("efficientvim_m1", num_classes=0)
    assert sites.output(encoder, (128, 128)).member == 3  # of a list: states of three stages, then the features
    with pytest.raises(InputError, match="no map over the image"):
        sites.output(encoder, (64, 64))  # one cell is left, and nine states


def test_tokens_in_an_order_of_the_networks_own():
    encoder = timm.create_model("hiera_tiny_224", num_classes=0, embed_dim=24, stages=(1, 1, 1, 1), num_heads=1)
    site = sites.find(encoder, "stage2", (224, 224))
    numbers = torch.arange(28 * 28).view(1, -1, 1).float()
    place = int(site.module.split(".")[1])
    rolled = encoder.reroll(numbers, place)  # (1, 28, 28, 1): what the network itself calls their order
    assert torch.equal(site.layout.to_map(numbers)[0, 0], rolled[0, ..., 0])
    mask = torch.rand(1, 28, 28) < 0.5
    assert torch.equal(encoder.reroll(site.layout.mask(mask).float(), place)[0, ..., 0].bool(), mask[0])


def test_stages_of_a_network_whose_feature_info_names_none_are_found_by_their_shapes():
    encoder = timm.create_model("twins_svt_small", num_classes=0, depths=(1, 1, 1, 1))
    found = sites.names(encoder, (64, 64))
    assert [found[f"stage{number}"][0] for number in range(1, 5)] == [*(f"pos_block.{i}" for i in range(3)), "norm"]
    assert sites.find(encoder, "auto", (64, 64)).grid == (4, 4)


@needs_timm("1.0.27")
def test_blocks_that_feature_info_names_relative_to_a_part_of_the_network():
    with torch.device("meta"):
        encoder = timm.create_model("gemma4_vit_167m", num_classes=0, depth=3)
    assert sites.names(encoder)["block3"] == ("encoder.blocks.2", False)
    assert sites.default(encoder) == "block2"


def test_the_output_of_a_network_that_gives_class_tokens_alone_is_its_last_map():
    encoder = timm.create_model("pit_ti_224", num_classes=0).eval()
    output = sites.output(encoder, (224, 224))
    assert output.module == "transformers.2"
    assert output.layout == Layout("NCHW", 256, (7, 7))
    assert output.of(encoder, torch.zeros(2, 3, 224, 224)).shape == (2, 256, 7, 7)


def test_an_image_so_small_that_one_cell_is_left_of_it_is_refused():
    encoder = timm.create_model("levit_128s", num_classes=0, img_size=64)
    with pytest.raises(InputError, match="no map over the image of 64x64 pixels"):
        sites.output(encoder, (64, 64))


class Flat(torch.nn.Module):
    """A network without any map."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3 * 8 * 8, 5)

    def forward_features(self, images):
        return self.linear(images.flatten(1))


def test_a_network_without_a_map_gets_one_clear_line():
    with pytest.raises(InputError, match=r"Flat has no map over the image of 8x8 pixels .* shapes \(5,\)"):
        sites.output(Flat(), (8, 8))
