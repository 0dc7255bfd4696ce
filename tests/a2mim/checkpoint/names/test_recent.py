"""Networks of 2023 to 2026 by their writers' own names compute what their writers' code computes."""

from __future__ import annotations

import json
import re

import pytest
import timm
import torch
import torchvision
from plain_cnn import lukemelas, make_lukemelas
from plain_rotary import EvaNames, dinov3, eva02, make_dinov3, make_eva02
from plain_towers import clip_tower, hiera, make_clip_tower, make_hiera
from plain_vit import Build, Names, forward, make

import a2mim
from a2mim.errors import InputError

ATOL = dict(atol=1e-5, rtol=1e-5)


def load(tmp_path, checkpoint, *args, **options):
    torch.save(checkpoint, tmp_path / "checkpoint.pth")
    return a2mim.load_encoder(tmp_path / "checkpoint.pth", *args, **options)


def random_values(model, seed=0):
    """Values everywhere, so that a lost tensor is seen."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.is_floating_point():
            scale = name.endswith("weight") and value.ndim == 1
            spread = 0.1 if value.ndim < 2 else 1.5 / max(1, value[0].numel()) ** 0.5
            value.copy_(torch.randn(value.shape, generator=generator) * spread + scale)
    return model.eval()


def images(side=32, batch=2):
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(1))


# --- DINOv2 under FSDP, and its giant ---------------------------------------------------------------------------------


@pytest.mark.parametrize("registers", [0, 3])
def test_dinov2_in_chunks_of_blocks(tmp_path, registers):
    names, build = Names(gamma1="ls1.gamma", gamma2="ls2.gamma"), Build(depth=4, scale=True, registers=registers)
    state = make(build, names)
    chunked = {
        re.sub(r"^blocks\.(\d)", lambda hit: f"blocks.{int(hit[1]) // 2}.{hit[1]}", key): value
        for key, value in state.items()
    }
    assert "blocks.1.3.ls2.gamma" in chunked
    teacher = {f"backbone.{key}": value for key, value in chunked.items()}
    model, report = load(tmp_path, {"teacher": {**teacher, "dino_head.mlp.0.weight": torch.ones(4, 128)}})
    truth, _ = forward(state, images(), build, names)
    torch.testing.assert_close(model.forward_features(images()), truth, **ATOL)
    assert (report.format, report.coverage, report.unexpected) == ("DINOv2", 1.0, ())


@pytest.mark.parametrize("chunks", [False, True])
def test_dinov2_giant_has_a_gated_mlp(tmp_path, chunks):
    names, build = (
        Names(gamma1="ls1.gamma", gamma2="ls2.gamma", fc1="mlp.w12", fc2="mlp.w3"),
        Build(scale=True, gated=True),
    )
    state = make(build, names)
    saved = {re.sub(r"^blocks\.", "blocks.0.", key): value for key, value in state.items()} if chunks else state
    model, report = load(tmp_path, saved)
    truth, _ = forward(state, images(), build, names)
    torch.testing.assert_close(model.forward_features(images()), truth, **ATOL)
    assert report.arch == "vit_giant_patch14_dinov2"
    assert report.unexpected == ()


# --- DINOv3, EVA-02 ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("biases", [False, True])
def test_dinov3(tmp_path, gated, biases):
    state = make_dinov3(gated=gated, biases=biases)
    model, report = load(tmp_path, state)
    torch.testing.assert_close(model.forward_features(images(48)), dinov3(state, images(48)), **ATOL)
    assert report.format == "DINOv3"
    assert report.coverage == 1
    assert report.unexpected == ()
    assert model.forward_head(model.forward_features(images(48))).shape == (2, 128)  # of the class token
    torch.testing.assert_close(model(images(48)), dinov3(state, images(48))[:, 0], **ATOL)


def test_dinov3_in_training(tmp_path):
    state = make_dinov3()
    teacher = {f"backbone.{key}": value for key, value in state.items()}
    model, report = load(tmp_path, {"teacher": teacher | {"dino_head.mlp.0.weight": torch.ones(4, 128)}})
    torch.testing.assert_close(model.forward_features(images()), dinov3(state, images()), **ATOL)
    assert report.format == "DINOv3"
    assert "projection head" in report.parts


def test_dinov3_in_16_bits_is_noted(tmp_path):
    state = make_dinov3()
    half = state | {"rope_embed.periods": state["rope_embed.periods"].bfloat16()}
    model, report = load(tmp_path, half)
    torch.testing.assert_close(model.forward_features(images()), dinov3(state, images()), **ATOL)
    assert any("16 bits" in note for note in report.notes)


def test_dinov3_with_what_timm_has_not_is_refused(tmp_path):
    state = make_dinov3()
    with pytest.raises(InputError, match="periods"):
        load(tmp_path, state | {"rope_embed.periods": torch.rand(8) + 1})
    state["blocks.0.attn.qkv.bias_mask"] = torch.ones_like(state["blocks.0.attn.qkv.bias"])
    with pytest.raises(InputError, match="bias of the keys"):
        load(tmp_path, state)


@pytest.mark.parametrize(
    "names",
    [EvaNames(), EvaNames(fused=True, subln=False), EvaNames(inner=True), EvaNames(grid=16)],
    ids=["base", "small", "clip", "pre-trained at 16 x 16"],
)
def test_eva02(tmp_path, names):
    state = make_eva02(names)
    model, report = load(tmp_path, state)
    torch.testing.assert_close(model.forward_features(images()), eva02(state, images(), names), **ATOL)
    assert report.format == "EVA-02"
    assert report.coverage == 1
    assert report.unexpected == ()
    assert any(report.mean)


# --- CLIP, SigLIP -----------------------------------------------------------------------------------------------------

_TEXT = {
    "token_embedding.weight": torch.ones(7, 16),
    "transformer.resblocks.0.attn.in_proj_weight": torch.ones(48, 16),
    "ln_final.weight": torch.ones(16),
    "text_projection": torch.ones(16, 8),
    "logit_scale": torch.ones(()),
    "positional_embedding": torch.ones(5, 16),
}


@pytest.mark.parametrize("writer", ["OpenAI", "open_clip"])
def test_clip(tmp_path, writer):
    tower = make_clip_tower()
    state = {f"visual.{key}": value for key, value in tower.items()} | _TEXT
    if writer == "OpenAI":
        state |= {
            "input_resolution": torch.tensor(32),
            "context_length": torch.tensor(77),
            "vocab_size": torch.tensor(7),
        }
    model, report = load(tmp_path, state)
    truth = clip_tower(tower, images(), quick=writer == "OpenAI")
    torch.testing.assert_close(model.forward_features(images()), truth, **ATOL)
    assert report.mean[0] == 0.48145466
    assert report.parts["text encoder"]
    assert any("QuickGELU" in note for note in report.notes) == (writer == "open_clip")


def test_an_activation_that_is_asked_for_is_taken(tmp_path):
    tower = make_clip_tower()
    state = {f"visual.{key}": value for key, value in tower.items()} | _TEXT
    model, _ = load(tmp_path, state, model_args={"act_layer": "quick_gelu"})
    torch.testing.assert_close(model.forward_features(images()), clip_tower(tower, images(), quick=True), **ATOL)


def test_open_clip_with_timm_s_network(tmp_path):
    torch.manual_seed(0)
    args = dict(depth=2, img_size=32, embed_dim=128, num_heads=2)
    whole = random_values(timm.create_model("vit_base_patch16_siglip_224", num_classes=0, **args))
    state = {f"visual.trunk.{key}": value for key, value in whole.state_dict().items()}
    state |= {"text.token_embedding.weight": torch.ones(3, 4), "logit_bias": torch.ones(())}
    model, report = load(tmp_path, {f"module.{key}": value for key, value in state.items()})
    with torch.no_grad():
        torch.testing.assert_close(model(images()), whole(images()), **ATOL)
    assert report.parts["text encoder"] == ("text.token_embedding.weight",)


# --- I-JEPA, Hiera ----------------------------------------------------------------------------------------------------


def test_ijepa(tmp_path):
    build = Build(cls=False)
    target, context = make(build, seed=0), make(build, seed=1)
    module = lambda state: {f"module.{key}": value for key, value in state.items()}  # noqa: E731
    saved = {"encoder": module(context), "target_encoder": module(target), "epoch": 3, "opt": {}}
    saved["predictor"] = module({"predictor_embed.weight": torch.ones(4, 4), "mask_token": torch.ones(1, 1, 4)})
    for which, state in ((None, target), ("context", context)):
        model, report = load(tmp_path, saved, which=which)
        torch.testing.assert_close(model.forward_features(images()), forward(state, images(), build)[0], **ATOL)
        assert report.format == "I-JEPA"
        assert report.unexpected == ()


@pytest.mark.parametrize("pre_training", [False, True])
def test_hiera(tmp_path, pre_training):
    state = make_hiera()
    saved = dict(state)
    if pre_training:
        saved = {
            key.replace("norm.", "encoder_norm.") if key.startswith("norm.") else key: value
            for key, value in saved.items()
        }
        saved = {key: value for key, value in saved.items() if not key.startswith("head.")}
        saved |= {"decoder_embed.weight": torch.ones(2, 2), "multi_scale_fusion_heads.0.weight": torch.ones(2, 2)}
    model, report = load(tmp_path, {"model_state": saved})
    features, logits = hiera(state, images(64))
    torch.testing.assert_close(model.forward_features(images(64)), features.flatten(1, 2), **ATOL)
    if not pre_training:
        torch.testing.assert_close(model(images(64)), logits, **ATOL)
    assert report.format == "Hiera"
    assert report.coverage == 1


# --- EfficientNet, MobileNetV2 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b5", "efficientnet_v2_s", "mobilenet_v2"])
def test_torchvision(tmp_path, name):
    theirs = random_values(torchvision.models.get_model(name, num_classes=5))
    model, report = load(tmp_path, theirs.state_dict())
    with torch.no_grad():
        truth = theirs.features(images(64))
        size = truth.abs().max()  # random values may grow from block to block
        torch.testing.assert_close(model.forward_features(images(64)) / size, truth / size, **ATOL)
        torch.testing.assert_close(model(images(64)) / size, theirs(images(64)) / size, **ATOL)
    assert report.num_classes == 5
    assert report.unexpected == ()


@pytest.mark.parametrize("lite", [False, True])
def test_efficientnet_pytorch(tmp_path, lite):
    state = make_lukemelas(lite)
    model, report = load(tmp_path, state)
    features, logits = lukemelas(state, images(64))
    torch.testing.assert_close(model.forward_features(images(64)), features, **ATOL)
    torch.testing.assert_close(model(images(64)), logits, **ATOL)
    assert report.arch == ("tf_efficientnet_lite0" if lite else "tf_efficientnet_b0")
    assert report.format == "EfficientNet-PyTorch"
    assert report.mean[0] == (127 / 255 if lite else 0.485)


def test_a_mobilenet_of_another_width_is_told_or_refused(tmp_path):
    for width, arch in ((0.5, "mobilenetv2_050"), (1.4, "mobilenetv2_140")):
        theirs = random_values(torchvision.models.mobilenet_v2(width_mult=width, num_classes=3))
        model, report = load(tmp_path, theirs.state_dict())
        assert report.arch == arch
        with torch.no_grad():
            truth = theirs(images(64))
        torch.testing.assert_close(model(images(64)) / truth.abs().max(), truth / truth.abs().max(), **ATOL)
    with pytest.raises(InputError, match="no EfficientNet or MobileNetV2 of timm"):
        load(tmp_path, torchvision.models.mobilenet_v2(width_mult=0.75).state_dict())


# --- transformers -----------------------------------------------------------------------------------------------------

_SMALL = dict(
    hidden_size=128, num_hidden_layers=2, num_attention_heads=4, intermediate_size=256, image_size=32, patch_size=8
)
_WORDS = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=50)
_LIBRARY = {
    "dinov3": ("DINOv3ViTModel", _SMALL | dict(num_register_tokens=4)),
    "dinov3-gated": ("DINOv3ViTModel", _SMALL | dict(use_gated_mlp=True, hidden_act="silu", rope_theta=50.0)),
    "siglip": ("SiglipVisionModel", _SMALL),
    "siglip-gelu": ("SiglipVisionModel", _SMALL | dict(hidden_act="gelu", layer_norm_eps=1e-4)),
    "clip": ("CLIPVisionModel", _SMALL),
    "clip-gelu": ("CLIPVisionModel", _SMALL | dict(hidden_act="gelu")),
    "clip-projection": ("CLIPVisionModelWithProjection", _SMALL),
    "ijepa": ("IJepaModel", _SMALL),
    "dinov2-gated": ("Dinov2Model", _SMALL | dict(use_swiglu_ffn=True)),
    "dinov2-registers-gated": ("Dinov2WithRegistersModel", _SMALL | dict(use_swiglu_ffn=True)),
    "hiera": ("HieraModel", dict(embed_dim=16, depths=[1, 2, 1, 1], num_heads=[1, 2, 4, 8], image_size=[64, 64])),
    "whole-clip": ("CLIPModel", dict(vision_config=_SMALL | dict(hidden_act="gelu"), text_config=_WORDS)),
    "whole-siglip": ("SiglipModel", dict(vision_config=_SMALL, text_config=_WORDS)),
}


@pytest.mark.parametrize("form", ["folder", "memory"])
@pytest.mark.parametrize("name", _LIBRARY)
def test_transformers(tmp_path, name, form):
    transformers = pytest.importorskip("transformers")
    kind, settings = _LIBRARY[name]
    made = getattr(transformers, kind)
    theirs = random_values(made(made.config_class(**settings)))
    path = tmp_path / "folder"
    theirs.save_pretrained(path)
    if form == "memory":  # beside the config, as a trainer's callback leaves it
        (path / "model.safetensors").unlink()
        torch.save(theirs.state_dict(), path / "pytorch_model.bin")
    model, report = a2mim.load_encoder(path)
    x = images(64 if "hiera" in name else 32)
    with torch.no_grad():
        truth = theirs.vision_model(x) if name.startswith(("whole", "clip-pro")) else theirs(x)
        features = model.forward_features(x)
        if "clip" in name:  # transformers normalises the class token alone
            torch.testing.assert_close(features[:, 0], truth.pooler_output, **ATOL)
        else:
            last = truth.last_hidden_state
            torch.testing.assert_close(features.reshape(last.shape), last, **ATOL)
        if "siglip" in name:
            torch.testing.assert_close(model(x), truth.pooler_output, **ATOL)
    assert (report.format, report.coverage, report.unexpected) == ("transformers", 1.0, ())


def test_clip_without_its_config_says_what_it_takes(tmp_path):
    transformers = pytest.importorskip("transformers")
    theirs = random_values(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**_SMALL)))
    model, report = load(tmp_path, theirs.state_dict(), model_args={"num_heads": 4})
    with torch.no_grad():
        truth = theirs(images()).pooler_output
        torch.testing.assert_close(model.forward_features(images())[:, 0], truth, **ATOL)
    assert any("QuickGELU" in note for note in report.notes)


@pytest.mark.parametrize("arch", ["resnet18", "vit_tiny_patch16_224"])
def test_timm_in_transformers(tmp_path, arch):
    transformers = pytest.importorskip("transformers")
    config = transformers.TimmWrapperConfig(
        architecture=arch, num_labels=4, model_args={} if arch == "resnet18" else {"depth": 2, "img_size": 32}
    )
    theirs = random_values(transformers.TimmWrapperForImageClassification(config))
    theirs.save_pretrained(tmp_path / "folder")
    model, report = a2mim.load_encoder(tmp_path / "folder")
    with torch.no_grad():
        torch.testing.assert_close(model(images()), theirs(images()).logits, **ATOL)
    assert (report.arch, report.format, report.classes) == (arch, "timm", ())


def test_a_config_of_another_type_is_named(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**_SMALL)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_attention_heads": "four"}))
    with pytest.raises(InputError, match=r"config.json says num_attention_heads='four'; it has to be a whole number"):
        a2mim.load_encoder(tmp_path)
