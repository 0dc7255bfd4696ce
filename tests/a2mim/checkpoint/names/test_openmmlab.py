"""Networks as OpenMMLab's libraries and OpenMixup name them: classifiers, and A2MIM's and SimMIM's pre-training."""

from dataclasses import replace

import plain_cnn
import plain_swin
import plain_vit
import pytest
import timm
import torch
from codebases import IMAGENET, Saved, check, layer, norm, under
from plain_cnn import ConvNeXt, ConvNeXtNames, ResNet, make_resnet
from plain_vit import Build

import a2mim
from a2mim.checkpoint.architectures import infer
from a2mim.checkpoint.fitting import without_weights
from a2mim.checkpoint.names.dialects import from_timm, to_timm
from a2mim.checkpoint.names.openmmlab import OPENMMLAB
from a2mim.errors import InputError

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
META = {"mmcls_version": "0.25.0", "config": "model = dict(type='ImageClassifier')", "epoch": 300, "iter": 1}
OPENMIXUP = {"openmixup_version": "0.2.7", "mmcv_version": "1.4.7", "epoch": 300, "time": "Mon May 30"}
RECIPE = "model = dict(type='A2MIM', backbone=dict(type='SimMIMViT', arch=dict(num_heads=4), img_size=32))"


def generator():
    return torch.Generator().manual_seed(77)


def file(state, meta=META, **more):
    return {"meta": meta, "state_dict": state, "optimizer": {"state": {0: {"m": torch.ones(2, 2)}}}, **more}


def decoder(width, name="neck.decoder.0"):
    return layer(name, 192, width, 1, 1, generator=generator())


def headed(state, width, name):
    """The backbone's tensors under their prefix, and a classifier outside of it, as (all, what the forward reads)."""
    head = layer("head", 5, width, generator=generator())
    renamed = {key.replace("head", name): value for key, value in head.items()}
    return under("backbone.", state) | renamed, state | head


def without_head(state):
    return {name: value for name, value in state.items() if not name.startswith("head")}


# --- pre-training -----------------------------------------------------------------------------------------------------


def a2mim_resnet():
    state = make_resnet(ResNet())
    token = {"mask_token": torch.ones(1, 48, 1, 1), "mask_gamma": torch.ones(1, 48, 1, 1)}
    whole = under("backbone.", state | token) | decoder(80, "neck.decoder_pred.0")
    return Saved(
        file(whole, OPENMIXUP), LARGER, {"backbone": plain_cnn.resnet(state, LARGER, ResNet())}, "A2MIM",
        size=(3, 224, 224), inside="state_dict:backbone.", lost="layer4.0.bn3.weight",
        dropped={"mask token": "backbone.mask_gamma", "decoder": "neck.decoder_pred.0.weight"},
    )  # fmt: skip


def a2mim_convnext():
    """OpenMixup's norms before the convolutions of stride 2 have another eps than all others."""
    build = ConvNeXt(down_eps=1e-5)
    state = plain_cnn.make_convnext(build, CONVNEXT)
    whole = under("backbone.", state | {"mask_token": torch.ones(1, 24, 1, 1)}) | decoder(32, "neck.decoder_pred.0")
    return Saved(
        file(whole, OPENMIXUP), LARGER, {"backbone": plain_cnn.convnext(state, LARGER, build, CONVNEXT)}, "A2MIM",
        size=(3, 224, 224), arch="convnext", notes="LayerNorm with eps 1e-05, as the file says",
        inside="state_dict:backbone.", lost="stages.1.0.norm.weight",
    )  # fmt: skip


def a2mim_vit():
    """With absolute and relative positions, biases of q and v, and layer scale, as the published recipe has them."""
    build = Build(heads=4, bias="qv", relative="block", scale=True)
    state = plain_vit.make(build, VIT)
    index = {f"layers.{n}.attn.relative_position_index": torch.zeros(17, 17, dtype=torch.long) for n in range(2)}
    token = {"mask_token": torch.ones(1, 1, 128), "mask_gamma": torch.ones(128)}
    whole = under("backbone.", state | index | token) | decoder(128, "neck.decoder_pred.0")
    return Saved(
        file(whole, OPENMIXUP | {"config": RECIPE}), IMAGES,
        {"backbone": plain_vit.forward(state, IMAGES, build, VIT)}, "A2MIM", arch="beit",
        inside="state_dict:backbone.", lost="layers.1.ln2.weight", dropped={"mask token": "backbone.mask_token"},
    )  # fmt: skip


def simmim_swin():
    build = plain_swin.Swin(unfold=True, image=64)
    state = plain_swin.make(build, SWIN)
    config = "model = dict(backbone=dict(type='SimMIMSwinTransformer', img_size=64, window_size=4))"
    whole = under("backbone.", state | {"mask_token": torch.ones(1, 1, 16)}) | decoder(32)
    return Saved(
        file(whole, META | {"config": config}), LARGER,
        {"backbone": plain_swin.forward(state, LARGER, build, SWIN)}, "SimMIM", arch="swin",
        inside="state_dict:backbone.", lost="stages.1.blocks.1.norm2.weight",
    )  # fmt: skip


# --- classifiers ------------------------------------------------------------------------------------------------------


def vit_classifier(pooled, head="head.layers.head", names=VIT, **build):
    build = Build(classes=5, pooled=pooled, **build)
    state = without_head(plain_vit.make(build, names))
    whole, read = headed(state, 128, head)
    saved = file(whole | {"data_preprocessor.mean": torch.ones(3, 1, 1)}, META | {"CLASSES": tuple("abcde")})
    truth = {"backbone": plain_vit.forward(read, IMAGES, build, names)}
    return Saved(
        saved, IMAGES, truth, "OpenMMLab", "classifier", IMAGENET, 5,
        dropped={"data preprocessing": "data_preprocessor.mean"},
    )  # fmt: skip


def distilled():
    build = Build(classes=5, dist=True)
    state = plain_vit.make(build, VIT)
    names = {"head_dist.": "head.layers.head_dist.", "head.": "head.layers.head."}
    whole = {
        next((new + key[len(old) :] for old, new in names.items() if key.startswith(old)), f"backbone.{key}"): value
        for key, value in state.items()
    }
    truth = {"backbone": plain_vit.forward(state, IMAGES, build, VIT)}
    return Saved(file(whole), IMAGES, truth, "OpenMMLab", "classifier", IMAGENET, 5, arch="distilled")


def probe(norm, head):
    """MAE's linear probe: a BatchNorm without weights before the classifier."""
    state = plain_vit.make(Build(), VIT)
    whole, read = headed(state, 128, head)
    mean, var = torch.randn(128, generator=generator()), torch.rand(128, generator=generator()) + 0.5
    whole |= {f"{norm}.running_mean": mean, f"{norm}.running_var": var, f"{norm}.num_batches_tracked": torch.tensor(3)}
    tokens, _ = plain_vit.forward(state, IMAGES, Build(), VIT)
    logits = (tokens[:, 0] - mean) / (var + 1e-6).sqrt() @ read["head.weight"].T + read["head.bias"]
    return Saved(file(whole), IMAGES, {"backbone": (tokens, logits)}, "OpenMMLab", "classifier", IMAGENET, 5)


def swin_classifier():
    build = plain_swin.Swin(unfold=True, classes=5)
    whole, read = headed(without_head(plain_swin.make(build, SWIN)), 32, "head.fc")
    whole |= {"backbone.stages.0.blocks.1.attn.attn_mask": torch.zeros(4, 16, 16)}  # of mmcls before 0.20
    truth = plain_swin.forward(read, IMAGES, build, SWIN)
    return Saved(file(whole), IMAGES, {"backbone": truth}, "OpenMMLab", "classifier", IMAGENET, 5)


def convnext_classifier(second, linear):
    """As mmpretrain has it, and the files that were converted for it, which have no meta."""
    build = ConvNeXt(classes=5, second=second)
    whole, read = headed(without_head(plain_cnn.make_convnext(build, CONVNEXT)), 32, "head.fc")
    if not linear:  # pointwise layers as convolutions of 1x1
        whole = {k: v[..., None, None] if "pointwise" in k and k.endswith("weight") else v for k, v in whole.items()}
    whole = {k: v.flatten() if ".grn." in k else v for k, v in whole.items()}
    truth = plain_cnn.convnext(read, LARGER, build, CONVNEXT)
    return Saved(
        {"state_dict": whole}, LARGER, {"backbone": truth}, "OpenMMLab", "classifier", IMAGENET, 5, size=(3, 224, 224)
    )


def modules_of_convolution_and_norm(state, pooled):
    """The names of a deep stem in mmpretrain; its first stage, which halves nothing, has no place for a pooling."""
    parts = ((0, "conv"), (1, "bn"))
    places = {f"stem.{3 * at + add}.": f"stem.{at}.{part}." for at in range(3) for add, part in parts}
    places |= {f"layer1.0.downsample.{at + 1}.": f"layer1.0.downsample.{at}." for at in range(2)} if pooled else {}
    return {
        next((new + name[len(old) :] for old, new in places.items() if name.startswith(old)), name): value
        for name, value in state.items()
    }


def deep_resnet_classifier(pooled):
    build = ResNet(classes=5, deep=True, pooled=pooled, stem="stem")
    state = {k: v for k, v in make_resnet(build).items() if k[:2] != "fc"}
    whole, read = headed(modules_of_convolution_and_norm(state, pooled), 80, "head.fc")
    truth = plain_cnn.resnet(state | {f"fc.{k}": read[f"head.{k}"] for k in ("weight", "bias")}, LARGER, build)
    return Saved(
        file(whole), LARGER, {"backbone": truth}, "OpenMMLab", "classifier", IMAGENET, 5, size=(3, 224, 224),
        inside="state_dict:backbone.", lost="layer4.0.bn3.weight",
    )  # fmt: skip


def resnet_classifier(deep, averaged="", head="head.fc"):
    build = ResNet(classes=5, deep=deep, stem="stem")
    first, second = ({k: v for k, v in make_resnet(build, seed=s).items() if k[:2] != "fc"} for s in (0, 1))
    whole, _ = headed(first, 80, head)
    linear = layer("fc", 5, 80, generator=generator())
    truth = {"backbone": plain_cnn.resnet(first | linear, LARGER, build)}
    saved = file(whole)
    if averaged == "mmcv":  # its copy is of the parameters alone
        statistics = {k: v for k, v in first.items() if "running" in k or "tracked" in k}
        copy = {f"ema_backbone_{k.replace('.', '_')}": v for k, v in second.items() if k not in statistics}
        copy |= {f"ema_{head}.{k}".replace(".", "_"): linear[f"fc.{k}"] + 1 for k in ("weight", "bias")}
        saved, second = file(whole | copy), second | statistics
    if averaged == "mmengine":
        other = {f"module.{head}.{k}": linear[f"fc.{k}"] + 1 for k in ("weight", "bias")} | {"steps": torch.tensor(9)}
        saved = file(whole, ema_state_dict=under("module.backbone.", second) | other, message_hub={})
    if averaged:
        second |= {name: value + 1 for name, value in linear.items()}
        truth["unaveraged"] = plain_cnn.resnet(second, LARGER, build)
    return Saved(saved, LARGER, truth, "OpenMMLab", "classifier", IMAGENET, 5, size=(3, 224, 224))


LAYER_SCALE = replace(VIT, gamma1="attn.gamma1.weight", gamma2="ffn.gamma2.weight")
CASES = {
    "A2MIM, ResNet": a2mim_resnet,
    "A2MIM, ConvNeXt": a2mim_convnext,
    "A2MIM, ViT": a2mim_vit,
    "SimMIM, Swin": simmim_swin,
    "ViT": lambda: vit_classifier(False),
    "ViT on the mean": lambda: vit_classifier(True),
    "ViT on the mean, OpenMixup": lambda: vit_classifier(True, "head.fc", replace(VIT, fc_norm="fc_norm")),
    "ViT on the mean, mmselfsup": lambda: vit_classifier(True, "head.head", replace(VIT, fc_norm="fc_norm")),
    "ViT with layer scale": lambda: vit_classifier(False, names=LAYER_SCALE, scale=True),
    "ViT with OpenMixup's layer scale": lambda: vit_classifier(False, scale=True),
    "A2MIM, fine-tuned": lambda: vit_classifier(
        True, "head.fc", replace(VIT, fc_norm="fc_norm"), bias="qv", relative="block", scale=True
    ),
    "BEiT": lambda: vit_classifier(True, "head.fc", bias="qv", relative="block", scale=True, pos=False),
    "relative position bias and a bias of q, k, v": lambda: vit_classifier(False, relative="block"),
    "relative position bias and no other": lambda: vit_classifier(False, relative="block", bias=""),
    "DeiT, distilled": distilled,
    "MAE's linear probe, mmpretrain": lambda: probe("neck.bn", "head.layers.head"),
    "MAE's linear probe, mmselfsup": lambda: probe("head.bn", "head.head"),
    "MAE's linear probe, OpenMixup": lambda: probe("head.bn", "head.fc"),
    "Swin": swin_classifier,
    "ConvNeXt": lambda: convnext_classifier(False, True),
    "ConvNeXt, convolutions of 1x1": lambda: convnext_classifier(False, False),
    "ConvNeXt V2": lambda: convnext_classifier(True, True),
    "ResNet": lambda: resnet_classifier(False),
    "ResNet, mmselfsup": lambda: resnet_classifier(False, head="head.fc_cls"),
    "ResNetV1c": lambda: deep_resnet_classifier(False),
    "ResNetV1d": lambda: deep_resnet_classifier(True),
    "ResNetV1d of mmsegmentation": lambda: resnet_classifier(True),
    "ResNet with mmcv's EMA": lambda: resnet_classifier(False, "mmcv"),
    "ResNet with mmengine's EMA": lambda: resnet_classifier(False, "mmengine"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(CASES[case](), tmp_path)


def test_the_backbone_alone_as_it_is_published(tmp_path):
    state = plain_vit.make(Build(), VIT)
    torch.save({"state_dict": state, "author": "openmixup"}, tmp_path / "backbone.pth")
    model, report = a2mim.load_encoder(tmp_path / "backbone.pth")
    expected, _ = plain_vit.forward(state, IMAGES, Build(), VIT)
    torch.testing.assert_close(model.forward_features(IMAGES), expected, atol=1e-5, rtol=1e-5)
    assert report.names == "OpenMMLab ViT"


def test_the_vit_s_of_a2mim_is_recognised_as_what_it_is():
    """Width 768, 8 blocks, 8 heads, MLP 2304, with the relative position bias of the pre-training."""
    sizes = dict(embed_dim=768, depth=8, num_heads=8, mlp_ratio=3.0, use_abs_pos_emb=True, init_values=0.1)
    with without_weights():
        state = timm.create_model("beit_base_patch16_224", num_classes=0, **sizes).state_dict()
    dialect = next(dialect for dialect in OPENMMLAB if dialect.name == "OpenMMLab BEiT")
    theirs = from_timm(dialect, state)
    assert theirs["layers.7.ffn.layers.0.0.weight"].shape == (2304, 768)
    found = infer("beit", to_timm(dialect, theirs).state, {})
    assert {key: found.model_args[key] for key in ("depth", "num_heads", "mlp_ratio")} == dict(
        depth=8, num_heads=8, mlp_ratio=3.0
    )
    assert "OpenMixup's 'ViT-S', not DeiT-S" in found.notes[0]


def test_merged_patches_are_in_their_own_order_both_ways():
    dialect = next(dialect for dialect in OPENMMLAB if dialect.name == "OpenMMLab Swin")
    x, weight, scale = torch.randn(1, 3, 4, 4), torch.randn(7, 12), torch.randn(12)
    name = "stages.0.downsample"
    theirs = {f"{name}.reduction.weight": weight, f"{name}.norm.weight": scale, f"{name}.norm.bias": scale}
    timm_state = to_timm(dialect, theirs).state
    merging = timm.models.swin_transformer.PatchMerging(3, 7)
    merging.load_state_dict({key.removeprefix("layers.1.downsample."): value for key, value in timm_state.items()})
    unfolded = torch.nn.functional.unfold(x, 2, stride=2).transpose(1, 2)  # as mmcv does
    expected = torch.nn.functional.layer_norm(unfolded, (12,), scale, scale) @ weight.T
    torch.testing.assert_close(merging(x.permute(0, 2, 3, 1)).reshape(1, 4, 7), expected)
    assert all(torch.equal(value, theirs[key]) for key, value in from_timm(dialect, timm_state).items())


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"backbone.layers.0.attn.lamb": torch.ones(2)}, r"no place for: backbone\.layers\.0\.attn\.lamb"),
        (under("backbone.", norm("ln2", 128, generator=generator())), r"no place for: .*ln1\.weight"),
    ],
    ids=["another attention", "a norm before and behind the mean"],
)
def test_what_timm_has_not_is_refused(extra, message, tmp_path):
    saved = vit_classifier(False)
    saved.checkpoint["state_dict"].update(extra)
    torch.save(saved.checkpoint, tmp_path / "vit.pth")
    with pytest.raises(InputError, match=message):
        a2mim.load_encoder(tmp_path / "vit.pth")
