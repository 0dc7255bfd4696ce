"""Captured maps are what the network computes: recomputed step by step, without prefix tokens, in any batch."""

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import nn

from a2mim.analysis.probes import features
from a2mim.analysis.probes.features import capture
from a2mim.errors import InputError

SMALL = dict(img_size=32, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=3)


def build(arch, **changes):
    """A small network with every parameter drawn, so that no gate or bias hides by being 0 or 1."""
    torch.manual_seed(0)
    model = timm.create_model(arch, **{**SMALL, **changes}).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def noise(batch=3, size=32):
    return torch.randn(batch, 3, size, size, generator=torch.Generator().manual_seed(1))


def captured_maps(model, images, layers=None):
    with torch.no_grad(), capture(model, layers) as found:
        model(images)
    return found


def literal_maps(model, images, *, prefix=(), scale=None, bias=None, post_norm=False):
    """The stream of a ViT after each step, from its weights alone: {layer: (B, C, h, w)}."""
    w = model.state_dict()

    def norm(x, name):
        return F.layer_norm(x, (32,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def attention(x, name):
        qkv_bias = w.get(f"{name}.qkv.bias")
        if qkv_bias is None:  # BEiT has none for the keys
            qkv_bias = torch.cat([w[f"{name}.q_bias"], torch.zeros(32), w[f"{name}.v_bias"]])
        q, k, v = (x @ w[f"{name}.qkv.weight"].T + qkv_bias).unflatten(2, (3, 2, 16)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) / 4 + (bias(w, name, x.shape[1]) if bias else 0)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        return mixed @ w[f"{name}.proj.weight"].T + w[f"{name}.proj.bias"]

    def mlp(x, name):
        hidden = F.gelu(x @ w[f"{name}.fc1.weight"].T + w[f"{name}.fc1.bias"])
        return hidden @ w[f"{name}.fc2.weight"].T + w[f"{name}.fc2.bias"]

    def to_map(x):
        return x[:, len(x[0]) - 16 :].transpose(1, 2).unflatten(2, (4, 4))

    patches = F.conv2d(images, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=8)
    maps, x = {"patch_embed": patches}, patches.flatten(2).transpose(1, 2)
    tokens = [w[name].expand(len(images), -1, -1) for name in prefix]
    if "pos_embed" in w and w["pos_embed"].shape[1] == 16:
        x = torch.cat([*tokens, x + w["pos_embed"]], dim=1)
    else:
        x = torch.cat([*tokens, x], dim=1) + w.get("pos_embed", 0)
    for block in ("blocks.0", "blocks.1"):
        for number, (name, part) in enumerate((("attn", attention), ("mlp", mlp)), 1):
            gate = w[f"{block}.{scale.format(number)}"] if scale else 1
            inner = f"{block}.norm{number}"
            change = norm(part(x, f"{block}.{name}"), inner) if post_norm else part(norm(x, inner), f"{block}.{name}")
            x = x + gate * change
            maps[f"{block}:attn" if name == "attn" else block] = to_map(x)
    return maps


def relative_bias(key, prefix):
    """The bias of each pair of a 4x4 grid looked up place by place; a class token has the last three entries."""

    def bias(w, name, tokens):
        table = w[f"{name}.{key}"]
        found = torch.empty(2, tokens, tokens)
        for i in range(tokens):
            for j in range(tokens):
                if i < prefix or j < prefix:
                    entry = len(table) - (1 if i < prefix and j < prefix else 3 if i < prefix else 2)
                else:
                    (row, column), (other_row, other_column) = divmod(i - prefix, 4), divmod(j - prefix, 4)
                    entry = (row - other_row + 3) * 7 + column - other_column + 3
                found[:, i, j] = table[entry]
        return found

    return bias


POS = "rel_pos.relative_position_bias_table"
LITERAL = {
    "class and register tokens, LayerScale": (
        build("vit_tiny_patch16_224", init_values=0.1, reg_tokens=2, no_embed_class=True),
        dict(prefix=("cls_token", "reg_token"), scale="ls{}.gamma"),
    ),
    "distillation token": (
        build("deit_tiny_distilled_patch16_224"),
        dict(prefix=("cls_token", "dist_token")),
    ),
    "BEiT: relative position bias, gates": (
        build("beit_base_patch16_224"),
        dict(prefix=("cls_token",), scale="gamma_{}", bias=relative_bias("relative_position_bias_table", 1)),
    ),
    "relative position bias, LayerScale": (
        build("vit_relpos_small_patch16_224", rel_pos_type="bias", qkv_bias=True, init_values=0.1),
        dict(scale="ls{}.gamma", bias=relative_bias(POS, 0)),
    ),
    "relative position bias, norms after": (
        build("vit_relpos_medium_patch16_rpn_224", rel_pos_type="bias", qkv_bias=True, init_values=None),
        dict(bias=relative_bias(POS, 0), post_norm=True),
    ),
}


@pytest.mark.parametrize("case", LITERAL)
def test_a_transformer_is_captured_as_it_is_computed_step_by_step(case):
    model, options = LITERAL[case]
    found = captured_maps(model, noise())
    with torch.no_grad():
        expected = literal_maps(model, noise(), **options)
    assert list(found.maps) == list(expected) == features.default_layers(model)
    assert not found.left_out
    for layer, features_ in expected.items():
        torch.testing.assert_close(found.maps[layer], features_, atol=1e-4, rtol=1e-4, msg=layer)


def test_the_papers_points():
    resnet, vit = (timm.create_model(arch) for arch in ("resnet50", "vit_tiny_patch16_224"))
    found = features.default_layers(resnet)
    assert (len(found), found[0], found[-1]) == (17, "maxpool", "layer4.2")
    found = features.default_layers(vit)
    assert (len(found), found[:3], found[-1]) == (25, ["patch_embed", "blocks.0:attn", "blocks.0"], "blocks.11")


@pytest.mark.parametrize("arch", ["test_convnext", "test_resnet", "swinv2_cr_tiny_ns_224", "test_efficientnet"])
def test_other_networks_have_a_stem_and_blocks_whose_maps_never_grow(arch):
    model = timm.create_model(arch).eval()
    size = model.default_cfg["input_size"][1]
    found = captured_maps(model, noise(1, size))
    sides = [map_.shape[2] for map_ in found.maps.values()]
    assert not found.left_out
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) >= 4
    assert all(map_.shape[2] == map_.shape[3] for map_ in found.maps.values())


def test_swin_v2_normalises_after_and_its_stream_is_that_before_the_mlp():
    model = timm.create_model("swinv2_tiny_window8_256", img_size=64, window_size=4, embed_dim=24, depths=(1, 1, 1, 1))
    model.eval()
    seen = {}
    block = model.layers[0].blocks[0]
    block.norm2.register_forward_hook(lambda *inside: seen.update(change=inside[2]))
    found = captured_maps(model, noise(2, 64)).maps
    change = seen["change"].unflatten(1, (16, 16)) if seen["change"].ndim == 3 else seen["change"]
    torch.testing.assert_close(found["layers.0.blocks.0"], found["layers.0.blocks.0:attn"] + change.permute(0, 3, 1, 2))


def test_what_is_kept_is_reduced_at_once_and_the_network_left_as_it_was():
    model = build("vit_tiny_patch16_224").train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []

    def reduce(map_):
        seen.append((tuple(map_.shape), map_.requires_grad))
        return map_.mean((1, 2, 3))

    plain = model.eval()(noise())
    model.train()
    with capture(model, reduce=reduce) as found:
        model(noise())
    assert seen == [((3, 32, 4, 4), False)] * 5
    assert all(value.shape == (3,) for value in found.maps.values())
    assert model.training
    hooks = [module._forward_hooks or module._forward_pre_hooks for module in model.modules()]
    assert not any(hooks)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(model.eval()(noise()), plain)


def test_hooks_go_when_the_pass_fails():
    model = build("vit_tiny_patch16_224")
    with pytest.raises(AssertionError), capture(model):
        model(noise(1, 24))
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_a_map_is_not_what_a_later_layer_wrote_over_it():
    model = timm.create_model("resnet10t", channels=(8, 8, 8, 8), stem_width=8, num_classes=2).eval()
    found = captured_maps(model, noise(2, 32), ["layer1.0.bn1"]).maps["layer1.0.bn1"]
    assert (found < 0).any()  # the ReLU that follows works in place


def test_a_second_pass_replaces_the_first():
    model = build("vit_tiny_patch16_224")
    with torch.no_grad(), capture(model, ["blocks.0"]) as found:
        model(noise(3))
        model(noise(2))
    assert found.maps["blocks.0"].shape[0] == 2


@pytest.mark.parametrize("step", [1, 7])
def test_batches_make_no_odds(step):
    model = build("vit_tiny_patch16_224")
    whole = captured_maps(model, noise(9)).maps
    parts = [captured_maps(model, some).maps for some in noise(9).split(step)]
    for layer, map_ in whole.items():
        torch.testing.assert_close(torch.cat([part[layer] for part in parts]), map_, atol=1e-5, rtol=1e-5)


def test_layers_that_are_no_maps():
    model = build("vit_tiny_patch16_224")
    with pytest.raises(InputError, match="layer 'head' gives no map over the image"):
        captured_maps(model, noise(), ["blocks.0", "head"])


class Folding(nn.Module):
    """Blocks of which one has more maps than there are images, as networks have that fold windows into the batch."""

    def __init__(self):
        super().__init__()
        self.stem, self.folded = nn.Conv2d(3, 4, 8, 8), nn.Unflatten(0, (-1, 1))
        self.feature_info = [dict(module="folded", reduction=8), dict(module="stem", reduction=8)]

    def forward(self, images):
        return self.folded(self.stem(images).flatten(0, 1))


def test_default_layers_that_are_no_maps_are_left_out_and_named():
    found = captured_maps(Folding(), noise())
    assert list(found.maps) == ["stem"]
    assert found.left_out == ["folded"]


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("blocks.0.attn.qkw", "has no layer 'blocks.0.attn.qkw'; near it: blocks.0.attn.qkv"),
        ("", "has no layer ''"),
        ("patch_embed:attn", "'patch_embed' is not a block of attention and MLP; 'patch_embed:attn' does not exist"),
        ("layer4.1", "has no layer 'layer4.1'; near it: "),
    ],
)
def test_a_layer_that_the_model_lacks_is_an_error_with_those_near_it(layer, message):
    with pytest.raises(InputError, match=message), capture(build("vit_tiny_patch16_224"), [layer]):
        pass


def test_what_cannot_be_captured_says_so():
    with pytest.raises(InputError, match="timm does not list the layers of a Linear: name them"):
        features.default_layers(nn.Linear(2, 2))
    model = build("vit_tiny_patch16_224")
    with pytest.raises(InputError, match="call the model itself, not one of its methods"), capture(model):
        model.forward_features(noise())
    hiera = timm.create_model("hiera_tiny_224", img_size=(64, 64), embed_dim=8, stages=(1, 1, 1, 1))
    with pytest.raises(InputError, match="a Hiera keeps its tokens in its own order"), capture(hiera):
        pass
