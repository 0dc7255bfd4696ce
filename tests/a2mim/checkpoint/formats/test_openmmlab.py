"""OpenMMLab's and OpenMixup's files: which of their networks is taken, and what their configuration says."""

from functools import partial

import plain_cnn
import plain_vit
import pytest
import torch
from codebases import Saved, check, layer, norm, under
from plain_cnn import ResNet, make_resnet
from plain_vit import Build

import a2mim
from a2mim.checkpoint.formats.openmmlab import hints
from a2mim.errors import InputError
from tests.a2mim.checkpoint.names.test_openmmlab import (
    META,
    VIT,
    file,
    generator,
    resnet_classifier,
    swin_classifier,
    vit_classifier,
)

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
LARGER = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
NECK = layer("mlp.0", 8, 80, generator=generator()) | norm("mlp.1", 8, generator=generator(), running=True)
HEAD = layer("head.predictor.fc0", 8, 8, generator=generator())


def resnets():
    return [(state, plain_cnn.resnet(state, LARGER, ResNet())) for state in (make_resnet(ResNet(), s) for s in (0, 1))]


def two_resnets(online, other, label, twice):
    """Two networks of a backbone and a neck; the backbone of the first has its own name too."""
    (first, truth), (second, other_truth) = resnets()
    whole = under("backbone.", first) | under("neck.", NECK) | HEAD
    if twice:  # OpenSelfSup, mmselfsup 0, OpenMixup: a list of backbone and neck beside them
        whole |= under(f"{online}.0.", first) | under(f"{online}.1.", NECK)
    inner = other if twice else f"{other}.module"  # mmengine's averaged model
    whole |= under(f"{inner}.0.", second) | under(f"{inner}.1.", NECK)
    whole |= {} if twice else {f"{other}.steps": torch.tensor(7)}
    whole |= {"queue": torch.ones(8, 16), "queue_ptr": torch.zeros(1)} if label == "key" else {}
    dropped = {"neck": "neck.mlp.0.weight", "pretext head": "head.predictor.fc0.weight"}
    dropped |= {"backbone once more": f"{online}.0.conv1.weight"} if twice else {}
    return Saved(
        file(whole), LARGER, {"backbone": truth, label: other_truth}, "OpenMMLab", size=(3, 224, 224),
        inside="state_dict:backbone.", lost="layer4.0.bn3.weight", dropped=dropped,
    )  # fmt: skip


def one_resnet(extra, dropped):
    state, truth = resnets()[0]
    return Saved(
        file(under("backbone.", state) | extra), LARGER, {"backbone": truth}, "OpenMMLab", size=(3, 224, 224),
        dropped=dropped, inside="state_dict:backbone.", lost="layer4.0.bn3.weight",
    )  # fmt: skip


def simsiam():
    state, _ = resnets()[0]
    extra = under("encoder.0.", state) | under("encoder.1.", NECK) | under("neck.", NECK) | HEAD
    return one_resnet(extra, {"backbone once more": "encoder.0.conv1.weight", "neck": "encoder.1.mlp.0.weight"})


def relative_location():
    extra = layer("neck.fc", 16, 160, generator=generator()) | layer("head.fc_cls", 8, 16, generator=generator())
    return one_resnet(extra, {"neck": "neck.fc.weight", "pretext head": "head.fc_cls.weight"})


def deep_cluster():
    extra = under("neck.", NECK) | layer("head.fc_cls", 40, 8, generator=generator())
    extra |= {"loss_weight": torch.ones(40), "memory_bank.feature_bank": torch.ones(30, 8)}  # the bank is ODC's, NPID's
    return one_resnet(extra, {"memory": "loss_weight", "pretext head": "head.fc_cls.bias"})


def vit(build, extra, dropped, meta=META, other=None, labels=("backbone",)):
    state = plain_vit.make(build, VIT)
    whole = under("backbone.", state) | extra
    truth = {labels[0]: plain_vit.forward(state, IMAGES, build, VIT)}
    for label, prefix in zip(labels[1:], other or (), strict=True):
        state = plain_vit.make(build, VIT, seed=1)
        whole |= under(prefix, state)
        truth[label] = plain_vit.forward(state, IMAGES, build, VIT)
    return Saved(
        file(whole, meta), IMAGES, truth, "OpenMMLab", inside="state_dict:backbone.", lost="layers.1.ln2.weight",
        dropped=dropped,
    )  # fmt: skip


def mae():
    inner = layer("neck.decoder_embed", 64, 128, generator=generator()) | {"neck.mask_token": torch.ones(1, 1, 64)}
    inner |= layer("neck.decoder_pred", 192, 64, generator=generator()) | norm("neck.ln1", 64, generator=generator())
    dropped = {"decoder": "neck.decoder_pred.weight", "mask token": "neck.mask_token", "neck": "neck.ln1.weight"}
    return vit(Build(), inner, dropped)


def maskfeat():
    extra = {"backbone.mask_token": torch.ones(1, 1, 128), "target_generator.weight_x": torch.ones(3, 1, 3, 3)}
    extra |= layer("neck.fc", 108, 128, generator=generator())
    return vit(Build(), extra, {"target generator": "target_generator.weight_x", "neck": "neck.fc.weight"})


def beit():
    """Version 1: no neck, one table of positions for all layers."""
    extra = {"backbone.mask_token": torch.ones(1, 1, 128), "target_generator.blocks.input.w": torch.ones(3, 3, 7, 7)}
    extra |= {"backbone.rel_pos_bias.relative_position_index": torch.zeros(17, 17, dtype=torch.long)}
    extra |= layer("head.cls_head", 40, 128, generator=generator())
    build = Build(bias="qv", relative="shared", scale=True, pos=False)
    return vit(build, extra, {"mask token": "backbone.mask_token", "pretext head": "head.cls_head.weight"})


def beit_with_its_table_outside(neck):
    """As mmselfsup 1.0's release candidates have it; version 2 has a neck."""
    saved = beit()
    state, place = saved.checkpoint["state_dict"], "rel_pos_bias.relative_position_"
    state |= {f"shared_{place}{name}": state.pop(f"backbone.{place}{name}") for name in ("bias_table", "index")}
    state |= layer("neck.patch_aggregation.0.ffn.layers.1", 8, 8, generator=generator()) if neck else {}
    saved.dropped["tables and masks that timm computes"] = f"shared_{place}index"
    return saved


def cae():
    extra = under("neck.", norm("norm_regressor", 128, generator=generator()) | {"mask_token": torch.ones(1, 1, 128)})
    extra |= layer("head.cls_head", 40, 128, generator=generator()) | {"target_generator.blocks.input.w": torch.ones(3)}
    # heads of a BEiT without relative positions are in no tensor
    config = "model = dict(type='CAE', backbone=dict(type='CAEPretrainViT', arch=dict(num_heads=4)))"
    build = Build(heads=4, bias="qv", scale=True)
    return vit(build, extra, {"neck": "neck.norm_regressor.weight"}, META | {"config": config}, ("teacher.",), TEACHER)


TEACHER = ("backbone", "teacher")


def dino():
    extra = under("student.1.", NECK) | under("neck.", NECK) | under("teacher.1.", NECK)
    saved = vit(Build(), extra, {"neck": "teacher.1.mlp.0.weight"}, other=("teacher.0.",), labels=TEACHER)
    state = saved.checkpoint["state_dict"]
    twice = {f"student.0.{k.removeprefix('backbone.')}": v for k, v in state.items() if k.startswith("backbone.")}
    saved.checkpoint["state_dict"] = state | twice
    return saved


def moco_v3():
    """mmengine's text of the configuration, which alone shows that the ViT-S has 12 heads of 32."""
    config = "model = dict(type='MoCoV3', backbone=dict(type='mmpretrain.MoCoV3ViT', arch='mocov3-small'))"
    meta = {"cfg": config, "mmengine_version": "0.7.0", "dataset_meta": {"classes": ["a", "b"]}, "epoch": 300}
    build, places = Build(width=96, heads=12), ("momentum_encoder.module.0.",)
    return vit(build, under("neck.", NECK), {"neck": "neck.mlp.0.weight"}, meta, places, ("backbone", "momentum"))


CASES = {
    "MoCo, mmselfsup 0 and OpenMixup": partial(two_resnets, "encoder_q", "encoder_k", "key", True),
    "MoCo": partial(two_resnets, "", "encoder_k", "key", False),
    "BYOL, mmselfsup 0 and OpenMixup": partial(two_resnets, "online_net", "target_net", "target", True),
    "BYOL": partial(two_resnets, "", "target_net", "target", False),
    "MoCo v3, mmselfsup 0 and OpenMixup": partial(two_resnets, "base_encoder", "momentum_encoder", "momentum", True),
    "MoCo v3, ViT": moco_v3,
    "SimSiam, OpenMixup": simsiam,
    "SimSiam, SimCLR, Barlow Twins, SwAV": lambda: one_resnet(under("neck.", NECK) | HEAD, {"neck": "neck.mlp.0.bias"}),
    "DeepCluster, ODC, NPID": deep_cluster,
    "relative location": relative_location,
    "DINO, OpenMixup": dino,
    "MAE": mae,
    "MaskFeat": maskfeat,
    "BEiT": beit,
    "BEiT, mmselfsup 1.0rc": lambda: beit_with_its_table_outside(False),
    "BEiT v2, mmselfsup 1.0rc": lambda: beit_with_its_table_outside(True),
    "CAE": cae,
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(CASES[case](), tmp_path)


def test_a_pretext_task_that_is_classification_is_taken_for_it(tmp_path):
    """Rotations: four classes, and nothing that would tell them from others."""
    state, _ = resnets()[0]
    whole = under("backbone.", state) | layer("head.fc_cls", 4, 80, generator=generator())
    torch.save(file(whole), tmp_path / "rotation.pth")
    _, report = a2mim.load_encoder(tmp_path / "rotation.pth")
    assert (report.kind, report.num_classes) == ("classifier", 4)


def test_a_pooling_that_timm_has_not_costs_the_classifier_and_not_the_encoder(tmp_path):
    saved = resnet_classifier(False)
    saved.checkpoint["state_dict"]["neck.p"] = torch.tensor([3.0])
    torch.save(saved.checkpoint, tmp_path / "gem.pth")
    model, report = a2mim.load_encoder(tmp_path / "gem.pth")
    torch.testing.assert_close(model.forward_features(LARGER), saved.truth["backbone"][0], atol=1e-5, rtol=1e-5)
    assert not report.has_classifier
    assert report.parts["pretext head"] == ("head.fc.weight", "head.fc.bias")


# --- the configuration ------------------------------------------------------------------------------------------------


def said(config, key="config", **more):
    return hints({"meta": {key: config, **more}})


@pytest.mark.parametrize("key", ["config", "cfg"])
def test_classes_and_normalisation_are_what_the_file_says(key, tmp_path):
    half = "[127.5, 127.5, 127.5]"
    config = f"data_preprocessor = dict(\n    mean={half},\n    std={half},\n    to_rgb=True)\n"
    meta = {key: config, "CLASSES": ("a", "b", "c", "d", "e")}
    torch.save(vit_classifier(False).checkpoint | {"meta": meta}, tmp_path / "vit.pth")
    _, report = a2mim.load_encoder(tmp_path / "vit.pth")
    assert (report.mean, report.std) == ((0.5,) * 3, (0.5,) * 3)
    assert report.classes == tuple("abcde")


def test_normalisation_of_images_from_0_to_1():
    found = said("img_norm_cfg = dict(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])\nmodel = dict()")
    assert found["mean"] == (0.485, 0.456, 0.406)
    found = said("model = {'data_preprocessor': {'mean': [123.675, 116.28, 103.53], 'std': (58.395, 57.12, 57.375)}}")
    assert (found["mean"], found["std"]) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_classes_of_mmengine():
    assert hints({"meta": {"dataset_meta": {"classes": ["cat", "dog"]}}})["classes"] == ("cat", "dog")
    assert hints({"meta": {"dataset_meta": {"CLASSES": ("cat",)}}})["classes"] == ("cat",)


UNREADABLE = ["", "model = dict(", "x" * 2_000_000, "(" * 5000, "-" * 5000 + "1", "import os", "model = open('x')", 5]


@pytest.mark.parametrize("text", UNREADABLE, ids=range(len(UNREADABLE)))
def test_a_configuration_that_cannot_be_read_says_nothing(text):
    assert said(text) == {}
    assert hints({"meta": text}) == {}
    assert hints({}) == {}


def test_heads_eps_and_image_size():
    assert said("model = dict(backbone=dict(type='VisionTransformer', arch={'num_heads': 3}))") == {"num_heads": 3}
    assert said("model = dict(backbone=dict(type='ViT', norm_cfg=dict(type='LN', eps=1e-4)))") == {"eps": 1e-4}
    assert said("model = dict(backbone=dict(type='ViT', norm_cfg=dict(type='LN')))") == {"eps": 1e-5}  # torch's own
    swin = "model = dict(backbone=dict(type='SwinTransformer', img_size={}, {}))"
    assert said(swin.format(384, "stage_cfgs=dict(block_cfgs=dict(window_size=12))")) == {"img_size": 384}
    assert said(swin.format(192, "window_size=6, norm_cfg=dict(type='LN')")) == {"img_size": 192}


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("type='mmselfsup.MixMIMTransformer'", "the backbone is a MixMIMTransformer, which is not read"),
        ("type='ResNet', depth=50, style='caffe'", "says style=caffe, which timm's networks cannot compute"),
        ("type='ResNet', strides=(1, 2, 1, 1)", r"says strides=\[1, 2, 1, 1\]"),
        ("type='VisionTransformer', with_cls_token=False", "says with_cls_token=False"),
        ("type='ViT', layer_cfgs=dict(act_cfg=dict(type='mmpretrain.QuickGELU'))", "act_cfg.type=QuickGELU"),
        ("type='SwinTransformer', img_size=192", "48x48 are not a multiple of the window of 7"),
        ("type='SwinTransformer', pad_small_map=True", "says pad_small_map=True"),
    ],
    ids=lambda value: value.split("=")[-1] if "=" in value else "",
)
def test_what_timm_cannot_compute_is_refused(backbone, message):
    with pytest.raises(InputError, match=message):
        said(f"model = dict(backbone=dict({backbone}))")


def test_what_timm_cannot_compute_is_refused_in_one_line(tmp_path):
    saved = swin_classifier().checkpoint
    saved["meta"] = META | {"config": "model = dict(data_preprocessor=dict(mean=[1], std=[1], to_rgb=False))"}
    torch.save(saved, tmp_path / "swin.pth")
    with pytest.raises(InputError, match=r"images in the order blue, green, red, which is not that of timm$"):
        a2mim.load_encoder(tmp_path / "swin.pth")
