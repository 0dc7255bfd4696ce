"""The A2MIM model on eight families, against step-by-step recomputation where the network's parts can be called."""

import warnings

import pytest
import timm
import torch
from versions import needs_timm

import a2mim
from a2mim.encoders import sites
from a2mim.masking import fill_masked, random_mask
from a2mim.model import total_stride

SMALL = {
    "vit_tiny_patch16_224": dict(img_size=32, patch_size=8, embed_dim=24, depth=4, num_heads=2),
    "deit_tiny_distilled_patch16_224": dict(img_size=32, patch_size=8, embed_dim=24, depth=4, num_heads=2),
    "swin_tiny_patch4_window7_224": dict(
        img_size=64, embed_dim=8, depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2), window_size=2
    ),
    "resnet14t": dict(channels=[8, 16, 24, 32], stem_width=4),
    "convnext_atto": dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)),
    "efficientnet_lite0": {},
    "mixer_s32_224": dict(img_size=64),
    "poolformer_s12": {},
}


def images_and_mask(size, batch=2):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, 3, size, size, generator=generator), random_mask(batch, (size // 8,) * 2, 0.6, generator)


def build(arch, **options):
    size = SMALL[arch].get("img_size", 64)
    return a2mim.create_model(arch, model_args=SMALL[arch], img_size=size, **options), *images_and_mask(size)


@pytest.mark.parametrize("arch", SMALL)
def test_every_family_reconstructs_at_every_site_and_learns_its_token(arch):
    model, images, mask = build(arch)
    for site in sites.names(model.encoder):
        model = build(arch, mask_layer=site)[0]
        reconstruction = model(images, mask)
        assert reconstruction.shape == images.shape
        reconstruction.square().mean().backward()
        assert model.mask_token.grad.abs().sum() > 0, site
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.encoder.modules())


@pytest.mark.parametrize("arch", SMALL)
def test_twenty_steps_on_one_batch_lower_the_loss(arch):
    torch.manual_seed(0)
    model, images, mask = build(arch)
    loss_of = a2mim.MIMLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = loss_of(model(images, mask), images, mask)["loss"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("arch", SMALL)
def test_settings_and_weights_build_the_same_model_again(arch):
    model, images, mask = build(arch, token="replace", gamma=1e-6)
    again = a2mim.create_model(model.arch, model_args=model.model_args, **model.mim_args)
    again.load_state_dict(model.state_dict())
    assert torch.equal(model.eval()(images, mask), again.eval()(images, mask))


def test_vit_equals_the_steps_of_section_4_written_out():
    model, images, mask = build("vit_tiny_patch16_224", mask_layer="block2")
    vit = model.eval().encoder
    z = vit.patch_embed(fill_masked(images, mask, "image-mean"))
    z = torch.cat([vit.cls_token.expand(2, -1, -1), z], dim=1) + vit.pos_embed
    for depth, block in enumerate(vit.blocks, 1):
        z = block(z)
        if depth == 2:
            for b in range(2):
                for cell in range(16):
                    if mask[b, cell // 4, cell % 4]:
                        z[b, 1 + cell] = z[b, 1 + cell] + model.mask_token  # 1: the class token is never masked
    patches = vit.norm(z)[:, 1:]
    expected = torch.zeros_like(images)
    weight, bias = model.head.project.weight[:, :, 0, 0], model.head.project.bias
    for cell in range(16):
        pixels = (patches[:, cell] @ weight.T + bias).view(2, 3, 8, 8)
        row, col = cell // 4 * 8, cell % 4 * 8
        expected[:, :, row : row + 8, col : col + 8] = pixels
    assert torch.allclose(model(images, mask), expected, atol=1e-5)


@pytest.mark.parametrize("token", ["add", "replace", "none"])
def test_resnet_equals_the_steps_written_out(token):
    model, images, mask = build("resnet14t", token=token, gamma=0.3 if token == "replace" else None)
    net = model.eval().encoder
    z = net.maxpool(net.act1(net.bn1(net.conv1(fill_masked(images, mask, "image-mean")))))
    z = net.layer3(net.layer2(net.layer1(z)))
    hidden = mask.float()[:, None]
    hidden = hidden[..., ::2, ::2]  # 8x8 cells on a 4x4 map: nearest neighbour
    T = model.mask_token.view(1, -1, 1, 1)
    if token == "add":
        z = z + T * hidden
    elif token == "replace":
        z = z * (1 - hidden) + 0.3 * z * hidden + T * hidden
    expected = model.head(net.layer4(z))
    assert torch.allclose(model(images, mask), expected, atol=1e-5)


def test_hidden_pixels_reach_the_encoder_through_the_mean_alone():
    model, images, mask = build("vit_tiny_patch16_224", fill="visible-mean")
    other = fill_masked(images, mask, "noise", generator=torch.Generator().manual_seed(9))
    assert torch.allclose(model.eval()(images, mask), model(other, mask), atol=1e-6)


def test_masks_that_cut_through_tokens_are_reported_once():
    model, images, _ = build("vit_tiny_patch16_224")
    with pytest.warns(UserWarning, match="mask cells of 4 pixels are not a multiple of the network's stride of 8"):
        model(images, random_mask(2, (8, 8), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(images, random_mask(2, (8, 8), 0.5))
        model(images, random_mask(2, (4, 4), 0.5))


def test_rectangular_images():
    model = a2mim.create_model("resnet14t", model_args=SMALL["resnet14t"], img_size=(64, 96))
    mask = random_mask(2, (2, 3), 0.5)
    assert model(torch.randn(2, 3, 64, 96), mask).shape == (2, 3, 64, 96)


def test_a_size_that_the_stride_does_not_divide_is_cropped_back():
    model = a2mim.create_model("resnet14t", model_args=SMALL["resnet14t"], img_size=48)
    assert model(torch.randn(1, 3, 48, 48), random_mask(1, (6, 6), 0.5)).shape == (1, 3, 48, 48)


@pytest.mark.parametrize(
    ("side", "grid", "stride"), [(224, 14, 16), (224, 16, 14), (176, 6, 32), (48, 2, 24), (299, 8, 38), (64, 8, 8)]
)
def test_the_total_stride_is_that_of_the_network_where_the_grid_divides_the_image_or_pads_it(side, grid, stride):
    assert total_stride((side, side), (grid, grid)) == stride


def test_the_image_size_may_be_among_the_architectures_arguments():
    model = a2mim.create_model(
        "hiera_tiny_224", model_args=dict(img_size=64, embed_dim=24, stages=(1, 1, 1, 1), num_heads=1)
    )
    assert model.img_size == (64, 64)
    assert model.model_args["img_size"] == 64


@needs_timm("1.0.31")
def test_parallel_branches_get_their_own_channels_of_the_token():
    model = a2mim.create_model("crossvit_tiny_240", mask_layer="block1", token="replace", gamma=0.5)
    mask = random_mask(1, (10, 10), 0.5)
    for branch, channels in enumerate((slice(0, 96), slice(96, 288))):
        layout = model.site.layouts[branch]
        features = torch.randn(1, 1 + layout.grid[0] * layout.grid[1], layout.channels)
        changed = model.add_token(branch, features, mask=mask)
        hidden = layout.mask(mask)[0, :, 0]
        assert not hidden[0]
        assert torch.equal(changed[0, ~hidden], features[0, ~hidden])
        assert torch.allclose(changed[0, hidden], 0.5 * features[0, hidden] + model.mask_token[channels])


def test_token_and_head_start_as_documented():
    model = build("resnet14t")[0]
    assert 0.01 < model.mask_token.std() < 0.03
    assert 0.015 < model.head.project.weight.std() < 0.025
    assert not model.head.project.bias.any()
    assert not build("resnet14t", token="none")[0].mask_token.requires_grad


def test_mean_and_std_default_to_the_architectures():
    model = build("convnext_atto")[0]
    config = timm.get_pretrained_cfg("convnext_atto")
    assert (model.mean, model.std) == (config.mean, config.std)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(arch="resnet5O"), "timm has no model 'resnet5O'; near it: .*resnet50"),
        (dict(mask_layer="stage7"), "has no site 'stage7'"),
        (dict(fill="grey"), "unknown fill 'grey'"),
        (dict(token="multiply"), "unknown token mode 'multiply'"),
        (dict(gamma=0.1), "needs token 'replace'"),
        (dict(model_args=dict(depths=3)), "cannot be built with depths=3"),
    ],
)
def test_mistakes_get_one_clear_error(options, message):
    options = {"arch": "resnet14t", "img_size": 32, **options}
    with pytest.raises(a2mim.InputError, match=message):
        a2mim.create_model(**options)


def test_images_of_another_size_are_refused():
    model = build("resnet14t")[0]
    with pytest.raises(a2mim.InputError, match="images of 32x32 pixels"):
        model(torch.randn(1, 3, 32, 32), random_mask(1, (4, 4), 0.5))
