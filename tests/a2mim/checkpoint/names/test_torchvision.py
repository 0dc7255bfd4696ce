"""torchvision's own models, saved with ``torch.save``, compute the same after loading."""

import argparse
import functools

import pytest
import torch
from torch import nn
from torchvision.models.convnext import CNBlockConfig, ConvNeXt
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

import a2mim
from a2mim.errors import InputError


def convnext(**options):
    sizes = (8, 16, 24, 32)
    stages = [
        CNBlockConfig(size, after, depth)
        for size, after, depth in zip(sizes, (*sizes[1:], None), (1, 2, 1, 1), strict=True)
    ]
    return ConvNeXt(stages, **options)


SWIN = dict(patch_size=[4, 4], embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=[4, 4])
MODELS = {
    "vit": functools.partial(
        VisionTransformer, image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=128, mlp_dim=200
    ),
    "swin": functools.partial(SwinTransformer, **SWIN),
    "swin-v2": functools.partial(
        SwinTransformer, **SWIN, block=SwinTransformerBlockV2, downsample_layer=PatchMergingV2
    ),
    "convnext": convnext,
    "resnet-basic": functools.partial(ResNet, BasicBlock, [1, 1, 2, 1]),
    "resnet-bottleneck": functools.partial(ResNet, Bottleneck, [1, 1, 1, 1]),
    "resnext": functools.partial(ResNet, Bottleneck, [1, 1, 1, 1], groups=4, width_per_group=8),
    "wide-resnet": functools.partial(ResNet, Bottleneck, [1, 1, 1, 1], width_per_group=80),
}
NAMES = {
    "vit": "torchvision ViT",
    "swin": "torchvision Swin",
    "swin-v2": "torchvision Swin V2",
    "convnext": "torchvision ConvNeXt",
}


def build(name, **options):
    """A model with values everywhere, so that a lost one is seen."""
    torch.manual_seed(0)
    model = MODELS[name](num_classes=3, **options).eval()
    for key, value in model.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and "coords_table" not in key and not (value.ndim == 4 and "resne" in name):
            scale = value.ndim == 1 and key.endswith("weight")
            value.normal_(1 if scale else 0, 0.2)
    return model


def image(name):
    size = 64 if name.startswith(("swin", "convnext")) else 32
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def args(name):
    return (
        {"img_size": 64} if name.startswith("swin") else {}
    )  # nothing in the file tells; the default is one window of 4


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def tokens(name, model, images):
    """The output before the pooling, in timm's layout."""
    if name == "vit":
        patches = model._process_input(images)
        return model.encoder(torch.cat([model.class_token.expand(len(images), -1, -1), patches], dim=1))
    if name.startswith("swin"):
        return model.norm(model.features(images))
    if name == "convnext":
        return model.features(images)
    return nn.Sequential(*list(model.children())[:-2])(images)


@pytest.mark.parametrize("name", MODELS)
def test_plain_weights(tmp_path, name):
    model, images = build(name), image(name)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    encoder, report = a2mim.load_encoder(tmp_path / "w.pth", model_args=args(name))
    with torch.inference_mode():
        close(encoder.forward_features(images), tokens(name, model, images))
        close(encoder(images), model(images))
    assert report.names == NAMES.get(name, "ResNet")
    assert (report.coverage, report.missing, report.unexpected, report.reshaped) == (1.0, (), (), ())
    assert (report.num_classes, report.has_classifier) == (3, True)
    assert (report.mean, report.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert report.input_size == (3, *((224, 224) if "resne" in name or name == "convnext" else images.shape[2:]))


@pytest.mark.parametrize("name", ["vit", "swin", "convnext", "resnet-basic"])
def test_what_its_training_script_writes(tmp_path, name):
    model, averaged = build(name), build(name)
    for value in averaged.parameters():
        value.data.mul_(3)
    checkpoint = {
        "model": model.state_dict(),
        "model_ema": {"n_averaged": torch.tensor(7)}
        | {f"module.{key}": value for key, value in averaged.state_dict().items()},
        "optimizer": {"state": {0: {"momentum_buffer": torch.ones(3, 2)}}, "param_groups": [{"lr": 0.1}]},
        "lr_scheduler": {"last_epoch": 4},
        "epoch": 4,
        "args": argparse.Namespace(model="resnet50", lr=0.5),
    }
    torch.save(checkpoint, tmp_path / "model_4.pth")
    images = image(name)
    for which, expected in ((None, model), ("ema", averaged)):
        encoder, report = a2mim.load_encoder(tmp_path / "model_4.pth", model_args=args(name), which=which)
        with torch.inference_mode():
            close(encoder(images), expected(images))
        assert (report.epoch, report.choices, report.coverage) == (4, ("model", "ema"), 1.0)


def test_the_names_of_a_vit_before_torchvision_0_13(tmp_path):
    model, images = build("vit"), image("vit")
    old = {
        name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): value
        for name, value in model.state_dict().items()
    }
    torch.save(old, tmp_path / "old.pth")
    encoder, report = a2mim.load_encoder(tmp_path / "old.pth")
    with torch.inference_mode():
        close(encoder(images), model(images))
    assert report.names == "torchvision ViT before 0.13"


@pytest.mark.parametrize(
    ("name", "lost", "missing"),
    [
        ("vit", "encoder.layers.encoder_layer_1.self_attention.in_proj_bias", r"blocks\.1\.attn\.qkv\.bias"),
        ("swin", "features.3.1.attn.relative_position_bias_table", r"layers\.1\.blocks\.1\.attn\.relative_position"),
        ("convnext", "features.3.1.layer_scale", r"stages\.1\.blocks\.1\.gamma"),
        ("resnext", "layer2.0.downsample.1.running_mean", r"layer2\.0\.downsample\.1\.running_mean"),
    ],
)
def test_a_gap_and_a_stranger_are_refused_by_name(tmp_path, name, lost, missing):
    state = build(name).state_dict()
    torch.save({key: value for key, value in state.items() if key != lost}, tmp_path / "gap.pth")
    with pytest.raises(InputError, match=f"missing {missing}"):
        a2mim.load_encoder(tmp_path / "gap.pth", model_args=args(name))
    torch.save({**state, f"{lost}_too": torch.ones(2)}, tmp_path / "more.pth")
    with pytest.raises(InputError, match=f"no place for: {lost}_too"):
        a2mim.load_encoder(tmp_path / "more.pth", model_args=args(name))


def test_a_vit_with_a_layer_before_its_classifier_is_refused(tmp_path):
    torch.save(build("vit", representation_size=64).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=r"'head.weight' has shape \(3, 64\) in the file and \(3, 128\)"):
        a2mim.load_encoder(tmp_path / "w.pth")
