"""Networks as OpenMMLab's libraries and OpenMixup write them, the released A2MIM weights among them."""

from dataclasses import replace
from functools import partial

import plain_cnn
import plain_swin
import plain_vit
import pytest
import torch
from codebases import IMAGENET, Saved, check, layer, norm, under
from plain_cnn import ConvNeXt, ConvNeXtNames, ResNet, make_resnet
from plain_vit import Build

import a2mim

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
LARGER = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
VIT = plain_vit.Names(
    patch="patch_embed.projection", block="layers.{}.", norm1="ln1", norm2="ln2", fc1="ffn.layers.0.0",
    fc2="ffn.layers.1", norm="ln1", fc_norm="ln2",
)  # fmt: skip
SWIN = plain_swin.Names(
    patch="patch_embed.projection", block="stages.{}.blocks.{}.", attn="attn.w_msa.", fc1="ffn.layers.0.0",
    fc2="ffn.layers.1", down="stages.{}.downsample.", norm="norm1", head="head",
)  # fmt: skip
CONVNEXT = ConvNeXtNames(conv="depthwise_conv", fc1="pointwise_conv1", fc2="pointwise_conv2", last="norm3")
META = {"mmcls_version": "0.25.0", "config": "model = dict(...)", "epoch": 300, "iter": 1, "time": "now"}


def generator():
    return torch.Generator().manual_seed(77)


def file(state, **more):
    return {"meta": META, "state_dict": state, "optimizer": {"state": {0: {"m": torch.ones(2, 2)}}}, **more}


def decoder(width):
    return layer("neck.decoder.0", 192, width, 1, 1, generator=generator())


def headed(state, width, name):
    """The backbone's tensors under their prefix, and a classifier outside of it, as (all, what the forward reads)."""
    head = layer("head", 5, width, generator=generator())
    renamed = {key.replace("head", name): value for key, value in head.items()}
    return under("backbone.", state) | renamed, state | head


def a2mim_resnet(gamma=True):
    state = make_resnet(ResNet())
    token = {"mask_token": torch.ones(1, 48, 1, 1)} | ({"mask_gamma": torch.ones(1, 48, 1, 1)} if gamma else {})
    truth = {"backbone": plain_cnn.resnet(state, LARGER, ResNet())}
    return Saved(
        file(under("backbone.", state | token) | decoder(80)), LARGER, truth, "A2MIM, SimMIM",
        size=(3, 224, 224), inside="state_dict:backbone.", lost="layer4.0.bn3.weight",
        dropped={"mask token": "backbone.mask_gamma", "decoder": "neck.decoder.0.weight"},
    )  # fmt: skip


def a2mim_vit():
    """With absolute and relative positions, biases of q and v, and layer scale, as the published recipe has them."""
    build = Build(bias="qv", relative="block", scale=True)
    state = plain_vit.make(build, VIT)
    index = {f"layers.{n}.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.long) for n in range(2)}
    whole = under("backbone.", state | index | {"mask_token": torch.ones(1, 1, 128)}) | decoder(128)
    return Saved(
        file(whole), IMAGES, {"backbone": plain_vit.forward(state, IMAGES, build, VIT)}, "A2MIM, SimMIM", arch="beit",
        inside="state_dict:backbone.", lost="layers.1.ln2.weight", dropped={"mask token": "backbone.mask_token"},
    )  # fmt: skip


def simmim_swin():
    build = plain_swin.Swin(unfold=True)
    state = plain_swin.make(build, SWIN)
    whole = under("backbone.", state | {"mask_token": torch.ones(1, 1, 16)}) | decoder(32)
    return Saved(
        file(whole), IMAGES, {"backbone": plain_swin.forward(state, IMAGES, build, SWIN)}, "A2MIM, SimMIM", arch="swin",
        inside="state_dict:backbone.", lost="stages.1.blocks.1.norm2.weight",
    )  # fmt: skip


def vit_classifier(pooled):
    build = Build(classes=5, pooled=pooled)
    state = {k: v for k, v in plain_vit.make(build, VIT).items() if not k.startswith("head")}
    whole, read = headed(state, 128, "head.layers.head")
    meta = META | {"CLASSES": tuple("abcde")}
    saved = file(whole | {"data_preprocessor.mean": torch.ones(3, 1, 1)}) | {"meta": meta}
    truth = {"backbone": plain_vit.forward(read, IMAGES, build, VIT)}
    return Saved(
        saved, IMAGES, truth, "OpenMMLab", "classifier", IMAGENET, 5,
        dropped={"data preprocessing": "data_preprocessor.mean"},
    )  # fmt: skip


def swin_classifier():
    build = plain_swin.Swin(unfold=True, classes=5)
    state = {k: v for k, v in plain_swin.make(build, SWIN).items() if not k.startswith("head")}
    whole, read = headed(state, 32, "head.fc")
    truth = plain_swin.forward(read, IMAGES, build, SWIN)
    return Saved(file(whole), IMAGES, {"backbone": truth}, "OpenMMLab", "classifier", IMAGENET, 5)


def convnext_classifier(second, linear):
    build = ConvNeXt(classes=5, second=second)
    state = {k: v for k, v in plain_cnn.make_convnext(build, CONVNEXT).items() if not k.startswith("head")}
    whole, read = headed(state, 32, "head.fc")
    if not linear:  # pointwise layers as convolutions of 1x1
        whole = {k: v[..., None, None] if "pointwise" in k and k.endswith("weight") else v for k, v in whole.items()}
    whole = {k: v.flatten() if ".grn." in k else v for k, v in whole.items()}
    truth = plain_cnn.convnext(read, LARGER, build, CONVNEXT)
    return Saved(file(whole), LARGER, {"backbone": truth}, "OpenMMLab", "classifier", IMAGENET, 5, size=(3, 224, 224))


def resnet_classifier(deep, averaged=""):
    build = ResNet(classes=5, deep=deep, stem="stem")
    names = ("head.fc",)
    first, second = ({k: v for k, v in make_resnet(build, seed=s).items() if k[:2] != "fc"} for s in (0, 1))
    whole, _ = headed(first, 80, *names)
    head = layer("fc", 5, 80, generator=generator())
    truth = {"backbone": plain_cnn.resnet(first | head, LARGER, build)}
    saved = file(whole)
    if averaged == "mmcv":
        copy = {f"ema_backbone_{k.replace('.', '_')}": v for k, v in second.items()}
        copy |= {f"ema_head_{k.replace('.', '_')}": v for k, v in head.items()}
        saved = file(whole | copy)
    if averaged == "mmengine":
        other = under("module.backbone.", second) | under("module.head.", head)
        saved = file(whole, ema_state_dict=other | {"steps": torch.tensor(9)}, message_hub={})
    if averaged:
        truth["unaveraged"] = (plain_cnn.resnet(second | head, LARGER, replace(build, classes=0))[0], None)
    return Saved(saved, LARGER, truth, "OpenMMLab", "classifier", IMAGENET, 5, size=(3, 224, 224))


def contrastive(layout):
    first, second = make_resnet(ResNet()), make_resnet(ResNet(), seed=1)
    neck = layer("mlp.0", 8, 80, generator=generator()) | norm("mlp.1", 8, generator=generator(), running=True)
    query, neck_of_query, key, neck_of_key, *labels = {
        "old MoCo": ("encoder_q.0.", "encoder_q.1.", "encoder_k.0.", "encoder_k.1.", "query", "key"),
        "old BYOL": ("online_net.0.", "online_net.1.", "target_net.0.", "target_net.1.", "online", "target"),
        "BYOL": ("backbone.", "neck.", "target_net.module.0.", "target_net.module.1.", "backbone", "target"),
        "MoCo": ("backbone.", "neck.", "encoder_k.module.0.", "encoder_k.module.1.", "backbone", "key"),
        "MoCo v3": ("backbone.", "neck.", "momentum_encoder.module.0.", "neck_k.", "backbone", "momentum"),
    }[layout]
    whole = under(query, first) | under(key, second) | under(neck_of_query, neck) | under(neck_of_key, neck)
    whole |= {"queue": torch.ones(8, 16)} if "MoCo" in layout else {}
    truth = dict(zip(labels, (plain_cnn.resnet(state, LARGER, ResNet()) for state in (first, second)), strict=True))
    return Saved(
        file(whole), LARGER, truth, "OpenMMLab", size=(3, 224, 224), dropped={"neck": f"{neck_of_query}mlp.0.weight"},
        inside=f"state_dict:{query}", lost="layer4.0.bn3.weight",
    )  # fmt: skip


def pretext():
    """Relative location, inpainting, SimCLR, SimSiam, Barlow Twins, SwAV, ...: a backbone, a neck, a head."""
    state = make_resnet(ResNet())
    whole = under("backbone.", state) | layer("neck.fc", 16, 160, generator=generator())
    whole |= layer("head.fc_cls", 8, 16, generator=generator())
    return Saved(
        file(whole), LARGER, {"backbone": plain_cnn.resnet(state, LARGER, ResNet())}, "OpenMMLab", size=(3, 224, 224),
        dropped={"neck": "neck.fc.weight", "head": "head.fc_cls.weight"},
    )  # fmt: skip


def mae():
    state = plain_vit.make(Build(), VIT)
    whole = under("backbone.", state) | {
        "neck.mask_token": torch.ones(1, 1, 64),
        "neck.decoder_pos_embed": torch.ones(1, 17, 64),
    }
    truth = {"backbone": plain_vit.forward(state, IMAGES, Build(), VIT)}
    return Saved(file(whole), IMAGES, truth, "OpenMMLab", dropped={"neck": "neck.mask_token"})


CASES = {
    "A2MIM, ResNet": a2mim_resnet,
    "A2MIM, ViT": a2mim_vit,
    "SimMIM, Swin": simmim_swin,
    "ViT": lambda: vit_classifier(False),
    "ViT on the mean": lambda: vit_classifier(True),
    "Swin": swin_classifier,
    "ConvNeXt": lambda: convnext_classifier(False, True),
    "ConvNeXt, convolutions of 1x1": lambda: convnext_classifier(False, False),
    "ConvNeXt V2": lambda: convnext_classifier(True, True),
    "ResNet": lambda: resnet_classifier(False),
    "ResNetV1d": lambda: resnet_classifier(True),
    "ResNet with mmcv's EMA": lambda: resnet_classifier(False, "mmcv"),
    "ResNet with mmengine's EMA": lambda: resnet_classifier(False, "mmengine"),
    **{name: partial(contrastive, name) for name in ("old MoCo", "old BYOL", "BYOL", "MoCo v3", "MoCo")},
    "pretext tasks": pretext,
    "MAE": mae,
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(CASES[case](), tmp_path)


def test_the_backbone_alone_as_it_is_published(tmp_path):
    state = plain_vit.make(Build(), VIT)
    torch.save({"state_dict": state}, tmp_path / "backbone.pth")
    model, report = a2mim.load_encoder(tmp_path / "backbone.pth")
    expected, _ = plain_vit.forward(state, IMAGES, Build(), VIT)
    torch.testing.assert_close(model.forward_features(IMAGES), expected, atol=1e-5, rtol=1e-5)
    assert report.names == "OpenMMLab ViT"


def test_classes_are_told_by_the_file(tmp_path):
    torch.save(vit_classifier(False).checkpoint, tmp_path / "vit.pth")
    assert a2mim.load_encoder(tmp_path / "vit.pth")[1].classes == tuple("abcde")
