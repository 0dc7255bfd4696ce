"""Convolutional networks and general trainers as they write their files: what is loaded computes what was trained."""

from dataclasses import replace
from itertools import pairwise

import pytest
import safetensors.torch
import torch
from codebases import IMAGENET, Saved, check, layer, norm, randn, surroundings, under
from plain_cnn import ConvNeXt, ConvNeXtNames, ResNet, convnext, make_convnext, make_resnet, resnet

import a2mim
from a2mim.errors import InputError

# 224 is what timm's networks of any size say of themselves; a smaller image shows the same
IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
NET, LABELLED = ResNet(), ResNet(classes=5)
NAMES = ConvNeXtNames()
LAST = {"lost": "layer4.0.bn3.weight"}


def generator():
    return torch.Generator().manual_seed(77)


def head(name, *widths):
    """An MLP with batch norms between, as contrastive methods have."""
    state = {}
    for at, (into, out) in enumerate(pairwise(widths)):
        state |= layer(f"{name}.{3 * at}", out, into, generator=generator())
        state |= norm(f"{name}.{3 * at + 1}", out, generator=generator(), running=True)
    return state


def pair(build=NET):
    """Two networks of other weights, and what each computes."""
    first, second = make_resnet(build), make_resnet(build, seed=1)
    return first, second, resnet(first, IMAGES, build), resnet(second, IMAGES, build)


def torchvision(build=LABELLED):
    state = make_resnet(build)
    return Saved(
        state, IMAGES, {"model": resnet(state, IMAGES, build)}, "plain weights", "weights", IMAGENET, build.classes
    )


def moco(mlp):
    query, key, first, second = pair()
    fc = layer("fc.0", 80, 80, generator=generator()) | layer("fc.2", 16, 80, generator=generator())
    fc = fc if mlp else layer("fc", 16, 80, generator=generator())
    state = under("module.encoder_q.", query | fc) | under("module.encoder_k.", key | fc)
    state |= {"module.queue": torch.ones(16, 32), "module.queue_ptr": torch.zeros(1, dtype=torch.long)}
    return Saved(
        {"epoch": 200, "arch": "resnet50", "state_dict": state, "optimizer": {"state": {}}}, IMAGES,
        {"query": first, "key": second}, "MoCo", inside="state_dict:module.encoder_q.", **LAST,
        dropped={"queue": "queue_ptr", "projection head": "encoder_q.fc.2.weight" if mlp else "encoder_q.fc.weight"},
    )  # fmt: skip


def moco_query_alone(mlp):
    """Stripped of the key encoder; a projection of one layer looks like a classifier, and is none."""
    saved = moco(mlp)
    state = saved.checkpoint["state_dict"]
    saved.checkpoint["state_dict"] = {name: value for name, value in state.items() if "encoder_q" in name}
    dropped = {"projection head": saved.dropped["projection head"]}
    return replace(saved, truth={"query": saved.truth["query"]}, dropped=dropped)


def moco_linear():
    state = make_resnet(LABELLED)
    saved = {"epoch": 100, "arch": "resnet50", "state_dict": under("module.", state), "best_acc1": torch.tensor(67.5)}
    return Saved(saved, IMAGES, {"model": resnet(state, IMAGES, LABELLED)}, "plain weights", "weights", IMAGENET, 5)


def moco_v3():
    base, momentum, first, second = pair()
    fc = head("fc", 80, 16, 16)
    state = under("module.base_encoder.", base | fc) | under("module.momentum_encoder.", momentum | fc)
    state |= under("module.", head("predictor", 16, 16))
    return Saved(
        {"epoch": 300, "arch": "resnet50", "state_dict": state}, IMAGES, {"base": first, "momentum": second}, "MoCo v3",
        dropped={"projection head": "base_encoder.fc.0.weight", "prediction head": "predictor.0.weight"},
        inside="state_dict:module.base_encoder.", **LAST,
    )  # fmt: skip


def simsiam():
    state = make_resnet(NET)
    whole = under("module.encoder.", state | head("fc", 80, 16, 16)) | under("module.", head("predictor", 16, 16))
    saved = {"epoch": 100, "arch": "resnet50", "state_dict": whole, "optimizer": {}}
    return Saved(
        saved, IMAGES, {"encoder": resnet(state, IMAGES, NET)}, "SimSiam", inside="state_dict:module.encoder.", **LAST,
        dropped={"projection head": "encoder.fc.0.weight", "prediction head": "predictor.0.weight"},
    )  # fmt: skip


def simclr(codebase):
    state = make_resnet(NET)
    if codebase == "sthalles":
        fc = layer("fc.0", 80, 80, generator=generator()) | layer("fc.2", 16, 80, generator=generator())
        saved = {"epoch": 200, "arch": "resnet18", "state_dict": under("backbone.", state | fc), "optimizer": {}}
        dropped = "backbone.fc.0.weight"
    else:
        saved = under("module.encoder.", state) | under("module.", head("projector", 80, 16))
        dropped = "projector.0.weight"
    return Saved(saved, IMAGES, {"encoder": resnet(state, IMAGES, NET)}, "SimCLR", dropped={"projection head": dropped})


def byol():
    online, target, first, second = pair(LABELLED)
    saved = under("online_encoder.net.", online) | under("target_encoder.net.", target)
    saved |= under("online_encoder.", head("projector.net", 80, 16)) | head("online_predictor.net", 16, 16)
    return Saved(
        saved, IMAGES, {"online": (first[0], None), "target": (second[0], None)}, "BYOL",
        dropped={"prediction head": "online_predictor.net.0.weight"},
        inside=":online_encoder.net.", **LAST,
    )  # fmt: skip


def barlow_twins():
    state = make_resnet(NET)
    whole = under("module.backbone.", state) | under("module.", head("projector", 80, 16, 16))
    whole |= {"module.bn.running_mean": torch.zeros(16), "module.bn.running_var": torch.ones(16)}
    return Saved(
        {"epoch": 999, "model": whole}, IMAGES, {"encoder": resnet(state, IMAGES, NET)}, "Barlow Twins",
        dropped={"batch norm of the loss": "bn.running_mean", "projection head": "projector.0.weight"},
        inside="model:module.backbone.", **LAST,
    )  # fmt: skip


def swav():
    state = make_resnet(NET)
    whole = state | head("projection_head", 80, 16) | layer("prototypes", 30, 16, generator=generator(), bias=False)
    saved = {"epoch": 800, "state_dict": under("module.", whole), "optimizer": {}, "amp": {"loss_scaler0": {}}}
    return Saved(
        saved, IMAGES, {"encoder": resnet(state, IMAGES, NET)}, "SwAV", inside="state_dict:module.", **LAST,
        dropped={"projection head": "projection_head.0.weight", "prototypes": "prototypes.weight"},
    )  # fmt: skip


def vissl(extracted):
    """Rotation, jigsaw, relative location, inpainting, ...: the same trunk with other heads."""
    state = make_resnet(NET)
    prefix, label = ("base_model._feature_blocks.", "extractor") if extracted else ("_feature_blocks.", "trunk")
    model = {"trunk": under(prefix, state), "heads": layer("0.clf.0", 4, 80, generator=generator())}
    base = {"model": model, "meters": {}, "loss": {"center": torch.ones(2)}}
    saved = {
        "phase_idx": 104,
        "iteration": 1,
        "classy_state_dict": {"base_model": base, "optimizer": {"x": torch.ones(3)}},
    }
    path = "classy_state_dict/base_model/model"
    return Saved(
        saved, IMAGES, {label: resnet(state, IMAGES, NET)}, "VISSL", inside=f"{path}/trunk:{prefix}", **LAST,
        dropped={f"{path}/heads": f"{path}/heads:0.clf.0.weight"},
    )  # fmt: skip


def spark():
    state = make_resnet(NET)
    module = under("sparse_encoder.sp_cnn.", state) | under(
        "dense_decoder.", layer("proj", 3, 8, generator=generator())
    )
    module |= {"mask_tokens.0": torch.ones(1, 80, 1, 1), "imn_m": torch.full((1, 3, 1, 1), float("nan"))}
    module |= under("densify_norms.0.", norm("x", 80, generator=generator())) | {"config": {"mask_ratio": 0.6}}
    saved = {
        "args": "Namespace()",
        "epoch": 1600,
        "performance_desc": "",
        "module": module,
        "optimizer": {},
        "is_pretrain": True,
    }
    return Saved(
        saved, IMAGES, {"encoder": resnet(state, IMAGES, NET)}, "SparK", inside="module:sparse_encoder.sp_cnn.", **LAST,
        dropped={"decoder": "dense_decoder.proj.weight", "constants": "imn_m", "mask token": "mask_tokens.0"},
    )  # fmt: skip


def spark_convnext():
    build = ConvNeXt(norm=False)
    state = make_convnext(build, NAMES)
    module = under("sparse_encoder.sp_cnn.", state) | layer("dense_decoder.proj", 3, 8, generator=generator())
    return Saved(
        {"epoch": 1600, "module": module, "is_pretrain": True}, IMAGES,
        {"encoder": convnext(state, IMAGES, build, NAMES)}, "SparK", inside="module:sparse_encoder.sp_cnn.",
        lost="stages.3.0.norm.weight", notes="the last norm (head.norm) is not in the pre-training file",
    )  # fmt: skip


def convnext_dense_pretraining(second):
    """What SparK and ConvNeXt V2 pre-train, taken out alone: dense names, and no last norm."""
    build = ConvNeXt(second=second, norm=False)
    state = make_convnext(build, NAMES)
    truth = {"model": convnext(state, IMAGES, build, NAMES)}
    return Saved(
        {"model": state}, IMAGES, truth, "plain weights", "weights", inside="model:", lost="stages.3.0.norm.weight",
        arch="convnextv2" if second else "convnext", notes="the last norm (head.norm) is not in the pre-training file",
    )  # fmt: skip


def convnext_official(second):
    build = ConvNeXt(classes=5, second=second)
    state, ema = make_convnext(build, NAMES), make_convnext(build, NAMES, seed=1)
    truth = {"model": convnext(state, IMAGES, build, NAMES), "ema": convnext(ema, IMAGES, build, NAMES)}
    return Saved(
        {"model": state, "model_ema": ema, **surroundings()}, IMAGES, truth, "ConvNeXt", "classifier", IMAGENET, 5,
        inside="model:", lost="stages.3.0.norm.weight", arch="convnextv2" if second else "convnext",
    )  # fmt: skip


def sparse(state):
    """The names and layouts of MinkowskiEngine: one row for each place of the kernel, the columns first."""
    result = {}
    for name, value in state.items():
        ends = name.rpartition(".")
        if name.startswith("downsample_layers.0"):
            result[name] = value
        elif name.endswith("dwconv.weight"):
            places = [value[:, 0, y, x] for x in range(7) for y in range(7)]
            result[f"{ends[0]}.kernel"] = torch.stack(places)
        elif name.startswith("downsample") and name.endswith(".1.weight"):
            places = [value[:, :, y, x].t() for x in range(2) for y in range(2)]
            result[f"{ends[0]}.kernel"] = torch.stack(places)
        elif name.endswith(("dwconv.bias", ".1.bias")):
            result[name] = value[None]
        elif ".grn." in name:
            result[name] = value.reshape(1, -1)
        else:
            within = "linear" if "pwconv" in name else "ln"
            result[f"{ends[0]}.{within}.{ends[2]}"] = value
    return result


def convnext_v2_pretraining():
    build = ConvNeXt(second=True, norm=False)
    state = make_convnext(build, NAMES)
    model = under("encoder.", sparse(state)) | {"mask_token": torch.ones(1, 16, 1, 1)}
    model |= layer("proj", 16, 32, 1, 1, generator=generator()) | layer("pred", 48, 16, 1, 1, generator=generator())
    model |= under("decoder.0.", layer("dwconv", 16, 1, 7, 7, generator=generator()))
    return Saved(
        {"model": model, **surroundings()}, IMAGES, {"encoder": convnext(state, IMAGES, build, NAMES)}, "ConvNeXt V2",
        dropped={"decoder": "decoder.0.dwconv.weight", "mask token": "mask_token"}, arch="convnextv2",
        inside="model:encoder.", lost="stages.3.0.norm.ln.weight", notes="head.norm",
    )  # fmt: skip


def timm_train():
    state, ema, first, second = pair(replace(LABELLED, planes=(64, 128, 256, 512)))
    saved = {"arch": "resnet50", "state_dict": state, "state_dict_ema": ema, "version": 2, "metric": 77.0}
    saved |= surroundings(model="resnet50", num_classes=5) | {"amp_scaler": {"scale": 1.0}}
    return Saved(
        saved, IMAGES, {"ema": second, "model": first}, "timm train.py", "classifier", IMAGENET, 5, arch="resnet50",
        inside="state_dict_ema:", **LAST,
    )  # fmt: skip


def lightning(prefix):
    state = make_resnet(LABELLED)
    saved = {
        "pytorch-lightning_version": "2.1.0", "epoch": 9, "global_step": 100, "hyper_parameters": {"lr": 0.1},
        "state_dict": under(prefix, state), "callbacks": {"best": torch.ones(2, 2)}, "loops": {"fit_loop": {}},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2, 2)}}}], "lr_schedulers": [],
    }  # fmt: skip
    truth = {prefix.rstrip("."): resnet(state, IMAGES, LABELLED)}
    return Saved(saved, IMAGES, truth, "PyTorch Lightning", "checkpoint", IMAGENET, 5)


def solo_learn():
    state, momentum, first, second = pair()
    whole = under("backbone.", state) | under("momentum_backbone.", momentum) | head("projector", 80, 16)
    whole |= layer("classifier", 10, 80, generator=generator())
    saved = {"pytorch-lightning_version": "2.1.2", "state_dict": whole, "epoch": 399}
    return Saved(
        saved, IMAGES, {"backbone": first, "momentum": second}, "solo-learn", inside="state_dict:backbone.", **LAST,
        dropped={"classifier beside the training": "classifier.weight", "projection head": "projector.0.weight"},
    )  # fmt: skip


def numbered(state):
    """The names of the network's modules in one Sequential."""
    places = {"conv1": "0", "bn1": "1", "layer1": "4", "layer2": "5", "layer3": "6", "layer4": "7"}
    return {f"{places[name.split('.')[0]]}.{name.partition('.')[2]}": value for name, value in state.items()}


def byol_sthalles():
    online, target, first, second = pair()
    head_of = head("projetion.net", 80, 16)  # spelt so there
    saved = {
        "online_network_state_dict": under("encoder.", numbered(online)) | head_of,
        "encoder_state_dict": numbered(online),
        "target_network_state_dict": under("encoder.", numbered(target)) | head_of,
        "optimizer_state_dict": {"state": {}},
    }
    return Saved(
        saved, IMAGES, {"online": first, "target": second}, "BYOL", lost="7.0.bn3.weight",
        inside="online_network_state_dict:encoder.",
        dropped={
            "projection head": "online_network_state_dict:projetion.net.0.weight",
            "encoder_state_dict": "encoder_state_dict:0.weight",
        },
    )  # fmt: skip


def lightly():
    state = make_resnet(NET)
    whole = under("backbone.", numbered(state)) | head("projection_head.layers", 80, 16)
    saved = {"pytorch-lightning_version": "2.1.0", "state_dict": whole}
    return Saved(
        saved, IMAGES, {"backbone": resnet(state, IMAGES, NET)}, "PyTorch Lightning", "checkpoint",
        dropped={"projection head": "projection_head.layers.0.weight"},
        inside="state_dict:backbone.", lost="7.0.bn3.weight",
    )  # fmt: skip


CASES = {
    "torchvision, ResNet": torchvision,
    "torchvision, ResNet of basic blocks": lambda: torchvision(replace(LABELLED, bottleneck=False)),
    "torchvision, ResNeXt": lambda: torchvision(replace(LABELLED, groups=4)),
    "ResNet with deep stem and pooled shortcuts": lambda: torchvision(replace(LABELLED, deep=True)),
    "MoCo v1": lambda: moco(False),
    "MoCo v2": lambda: moco(True),
    "MoCo v1, the query encoder alone": lambda: moco_query_alone(False),
    "MoCo v2, the query encoder alone": lambda: moco_query_alone(True),
    "MoCo, linear probe; PyTorch's ImageNet example": moco_linear,
    "MoCo v3, ResNet": moco_v3,
    "SimSiam": simsiam,
    "SimCLR (sthalles)": lambda: simclr("sthalles"),
    "SimCLR (Spijkervet)": lambda: simclr("spijkervet"),
    "BYOL": byol,
    "BYOL (sthalles)": byol_sthalles,
    "Barlow Twins": barlow_twins,
    "SwAV and DeepCluster-v2": swav,
    "VISSL": lambda: vissl(False),
    "VISSL, feature extractor": lambda: vissl(True),
    "SparK": spark,
    "SparK, ConvNeXt": spark_convnext,
    "SparK, the ConvNeXt alone": lambda: convnext_dense_pretraining(False),
    "ConvNeXt V2, pre-training, dense": lambda: convnext_dense_pretraining(True),
    "ConvNeXt": lambda: convnext_official(False),
    "ConvNeXt V2, fine-tuned": lambda: convnext_official(True),
    "ConvNeXt V2, pre-training": convnext_v2_pretraining,
    "timm train.py": timm_train,
    "PyTorch Lightning": lambda: lightning("model."),
    "PyTorch Lightning, another name": lambda: lightning("net.trunk."),
    "solo-learn": solo_learn,
    "lightly": lightly,
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    saved = CASES[case]()
    check(replace(saved, size=(3, 224, 224)), tmp_path)


def test_a_safetensors_file_without_any_description(tmp_path):
    state = make_resnet(LABELLED)
    safetensors.torch.save_file(state, tmp_path / "weights.safetensors")
    model, report = a2mim.load_encoder(tmp_path / "weights.safetensors")
    torch.testing.assert_close(model(IMAGES), resnet(state, IMAGES, LABELLED)[1], atol=1e-5, rtol=1e-5)
    assert "mean and std of ImageNet: the file does not say" in " ".join(report.notes)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_fsdp_wrapped_module."])
def test_wrappers_of_torch(tmp_path, prefix):
    state = make_resnet(LABELLED)
    torch.save({"model": under(prefix, state)}, tmp_path / "wrapped.pth")
    model, _ = a2mim.load_encoder(tmp_path / "wrapped.pth")
    torch.testing.assert_close(model(IMAGES), resnet(state, IMAGES, LABELLED)[1], atol=1e-5, rtol=1e-5)


def test_a_classifier_that_lost_its_last_norm_is_refused(tmp_path):
    state = make_convnext(ConvNeXt(classes=5), NAMES)
    state = {name: value for name, value in state.items() if not name.startswith("norm.")}
    torch.save({"model": state}, tmp_path / "convnext.pth")
    with pytest.raises(InputError, match=r"missing head\.norm\.weight, head\.norm\.bias"):
        a2mim.load_encoder(tmp_path / "convnext.pth")


def test_an_alexnet_of_vissl_is_refused(tmp_path):
    trunk = under("_feature_blocks.", layer("conv1.0", 96, 3, 11, 11, generator=generator()))
    model = {
        "trunk": trunk | under("_feature_blocks.", layer("conv2.0", 8, 96, 5, 5, generator=generator())),
        "heads": {},
    }
    torch.save({"classy_state_dict": {"base_model": {"model": model}}}, tmp_path / "alexnet.torch")
    with pytest.raises(InputError, match=r"does not name its architecture.*conv1\.0\.weight"):
        a2mim.load_encoder(tmp_path / "alexnet.torch")


def test_a_resnet_for_small_images_is_refused(tmp_path):
    state = make_resnet(NET) | {"conv1.weight": randn(64, 3, 3, 3, generator=generator())}
    torch.save(state, tmp_path / "cifar.pth")
    with pytest.raises(InputError, match="first convolution is 3x3 with 64 channels is not in timm"):
        a2mim.load_encoder(tmp_path / "cifar.pth")
