"""Networks written for OpenMMLab: its names, one by one, and its computation on what was written."""

import plain_cnn
import plain_swin
import plain_vit
import pytest
import timm
import torch
from plain_cnn import ConvNeXt, ResNet, make_resnet
from plain_vit import Build

import a2mim
from a2mim.checkpoint.convert.conversion import convert
from a2mim.errors import InputError
from tests.a2mim.checkpoint.names.test_openmmlab import CONVNEXT, SWIN, VIT

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
LARGER = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))


def written(tmp_path, arch, **args):
    """What is written for a network of random weights: (tensors, the network, the lines)."""
    torch.manual_seed(0)
    model = timm.create_model(arch, num_classes=5, **args).eval()
    for name, value in model.state_dict().items():
        if value.is_floating_point() and (value.ndim == 1 or "token" in name or "table" in name):
            value.add_(torch.randn_like(value).abs() * 0.2)  # norms, biases and tables of their own
    torch.save(
        {"arch": arch, "model_args": args, "kind": "finetune", "state_dict": model.state_dict()}, tmp_path / "in.pth"
    )
    lines = convert(tmp_path / "in.pth", "openmmlab", tmp_path / "out.pth")
    return torch.load(tmp_path / "out.pth")["state_dict"], model, lines


def without_backbone(state, head, name="head"):
    inner = {key.removeprefix("backbone."): value for key, value in state.items() if key.startswith("backbone.")}
    return inner | {key.replace(head, name): value for key, value in state.items() if key.startswith(head)}


def same(model, state, images, computed, expected_names):
    """The written tensors, and what OpenMMLab's forward makes of them."""
    assert state.keys() == expected_names
    with torch.no_grad():
        torch.testing.assert_close(computed, model(images), atol=1e-5, rtol=1e-5)


def names_of(made, head):
    return {key.replace("head", head, 1) if key.startswith(("head", "fc.")) else f"backbone.{key}" for key in made}


@pytest.mark.parametrize("pooled", [False, True])
def test_vit(tmp_path, pooled):
    args = dict(
        img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, global_pool="avg" if pooled else "token"
    )
    state, model, lines = written(tmp_path, "vit_tiny_patch16_224", **args)
    build = Build(classes=5, pooled=pooled)
    read = without_backbone(state, "head.layers.head")
    computed = plain_vit.forward(read, IMAGES, build, VIT)[1]
    same(model, state, IMAGES, computed, names_of(plain_vit.make(build, VIT), "head.layers.head"))
    assert "'embed_dims': 128, 'num_layers': 2, 'num_heads': 2, 'feedforward_channels': 512" in lines[0]
    assert ("avg_featmap" in lines[0]) == pooled


def test_beit(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, init_values=0.3)
    state, model, lines = written(tmp_path, "beit_base_patch16_224", **args)
    build = Build(classes=5, bias="qv", relative="block", scale=True, pos=False, pooled=True)
    computed = plain_vit.forward(without_backbone(state, "head.fc"), IMAGES, build, VIT)[1]
    same(model, state, IMAGES, computed, names_of(plain_vit.make(build, VIT), "head.fc"))
    assert "type='BEiTViT'" in lines[0]


def test_swin_with_its_own_order_of_merged_patches(tmp_path):
    args = dict(img_size=32, window_size=4, embed_dim=16, depths=[2, 2], num_heads=[1, 2])
    state, model, lines = written(tmp_path, "swin_tiny_patch4_window7_224", **args)
    build = plain_swin.Swin(unfold=True, classes=5)
    computed = plain_swin.forward(without_backbone(state, "head.fc"), IMAGES, build, SWIN)[1]
    same(model, state, IMAGES, computed, names_of(plain_swin.make(build, SWIN), "head.fc"))
    assert "'depths': [2, 2], 'num_heads': [1, 2]}, window_size=4" in lines[0]


@pytest.mark.parametrize("second", [False, True])
def test_convnext(tmp_path, second):
    args = dict(depths=[1, 1, 2, 1], dims=[8, 16, 24, 32], **({} if second else {"ls_init_value": 0.5}))
    state, model, _ = written(tmp_path, "convnextv2_tiny" if second else "convnext_tiny", **args)
    build = ConvNeXt(classes=5, second=second)
    computed = plain_cnn.convnext(without_backbone(state, "head.fc"), LARGER, build, CONVNEXT)[1]
    same(model, state, LARGER, computed, names_of(plain_cnn.make_convnext(build, CONVNEXT), "head.fc"))


@pytest.mark.parametrize("deep", [False, True])
def test_resnet(tmp_path, deep):
    state, model, lines = written(tmp_path, "resnet50d" if deep else "resnet50")
    build = ResNet(planes=(64, 128, 256, 512), layers=(3, 4, 6, 3), classes=5, deep=deep, stem="stem", head="head")
    if deep:
        state = {by_number(name): value for name, value in state.items()}
    computed = plain_cnn.resnet(without_backbone(state, "head.fc"), LARGER, build)[1]
    same(model, state, LARGER, computed, names_of(make_resnet(build), "head.fc"))
    assert lines[0] == f"backbone=dict(type='ResNet{'V1d' if deep else ''}', depth=50)"
    again, report = a2mim.load_encoder(tmp_path / "out.pth")
    torch.testing.assert_close(again(LARGER), model(LARGER), atol=1e-5, rtol=1e-5)
    assert report.names == ("OpenMMLab ResNetV1d" if deep else "ResNet")


def by_number(name):
    """mmpretrain's stem is three ConvModules, and its first stage pools no shortcut: both as in ``plain_cnn``."""
    for part, number in (("0.conv", 0), ("0.bn", 1), ("1.conv", 3), ("1.bn", 4), ("2.conv", 6), ("2.bn", 7)):
        name = name.replace(f"stem.{part}.", f"stem.{number}.")
    for number in (1, 0):
        name = name.replace(f"layer1.0.downsample.{number}.", f"layer1.0.downsample.{number + 1}.")
    return name


def test_a_network_with_two_classifiers(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2)
    state, model, lines = written(tmp_path, "deit_tiny_distilled_patch16_224", **args)
    build = Build(classes=5, dist=True)
    names = {name.replace("head_dist", "head.layers.head_dist") for name in plain_vit.make(build, VIT)}
    expected = {
        name
        if name.startswith("head.l")
        else name.replace("head.", "head.layers.head.", 1)
        if name.startswith("head")
        else f"backbone.{name}"
        for name in names
    }
    assert state.keys() == expected
    assert "type='DistilledVisionTransformer'" in lines[0]
    assert lines[1] == "head=dict(type='DeiTClsHead', num_classes=5, in_channels=128)"
    again, _ = a2mim.load_encoder(tmp_path / "out.pth")
    torch.testing.assert_close(again(IMAGES), model(IMAGES), atol=1e-5, rtol=1e-5)


def test_what_was_written_loads_again(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2)
    _, model, _ = written(tmp_path, "vit_tiny_patch16_224", **args)
    again, report = a2mim.load_encoder(tmp_path / "out.pth")
    assert (report.format, report.names) == ("OpenMMLab", "OpenMMLab ViT")
    torch.testing.assert_close(again(IMAGES), model(IMAGES), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("arch", "args", "reason"),
    [
        ("vit_small_patch14_reg4_dinov2", {"img_size": 28, "depth": 1}, "cannot express reg_tokens=4"),
        ("resnet26", {}, r"not stages of \[2, 2, 2, 2\]"),
        ("mixer_s32_224", {}, "OpenMMLab has no mixer_s32_224"),
    ],
)
def test_what_openmmlab_does_not_have_is_refused(tmp_path, arch, args, reason):
    with pytest.raises(InputError, match=reason):
        written(tmp_path, arch, **args)
    assert not (tmp_path / "out.pth").exists()
