"""Models of Hugging Face transformers, saved as that library saves them, compute the same after loading."""

import json

import pytest
import safetensors.torch
import torch

import a2mim
from a2mim.errors import InputError

transformers = pytest.importorskip("transformers")

VIT = dict(
    hidden_size=96, num_hidden_layers=2, num_attention_heads=4, intermediate_size=160, image_size=32, patch_size=8
)
SWIN = dict(image_size=64, patch_size=4, embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4)
CONVNEXT = dict(hidden_sizes=[8, 16, 24, 32], depths=[1, 2, 1, 1])
RESNET = dict(hidden_sizes=[32, 48, 64, 80], depths=[1, 2, 1, 1])
DINOV2 = dict(hidden_size=96, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
MAE_DECODER = dict(
    decoder_hidden_size=32, decoder_num_hidden_layers=1, decoder_num_attention_heads=2, decoder_intermediate_size=32
)
NAMES = {0: "cat", 1: "dog", 2: "emu"}

# class, settings -> what the report is to say: timm's class, kind, parts left out, classes
MODELS = {
    "vit": ("ViTForImageClassification", VIT, "VisionTransformer", "classifier", set()),
    "vit-no-bias": ("ViTForImageClassification", VIT | dict(qkv_bias=False), "VisionTransformer", "classifier", set()),
    "vit-model": ("ViTModel", VIT, "VisionTransformer", "encoder", {"pooler"}),
    "vit-mim": (
        "ViTForMaskedImageModeling",
        VIT | dict(encoder_stride=8),
        "VisionTransformer",
        "pre-training",
        {"decoder", "mask token"},
    ),
    "mae": ("ViTMAEForPreTraining", VIT | MAE_DECODER, "VisionTransformer", "pre-training", {"decoder", "mask token"}),
    "deit": ("DeiTForImageClassification", VIT, "VisionTransformer", "classifier", set()),
    "deit-teacher": (
        "DeiTForImageClassificationWithTeacher",
        VIT,
        "VisionTransformerDistilled",
        "classifier",
        set(),
    ),
    "deit-model": ("DeiTModel", VIT, "VisionTransformerDistilled", "encoder", {"pooler"}),
    "beit": ("BeitForImageClassification", VIT | dict(use_relative_position_bias=True), "Beit", "classifier", set()),
    "beit-plain": (
        "BeitForImageClassification",
        VIT | dict(use_absolute_position_embeddings=True, layer_scale_init_value=0.0, use_mean_pooling=False),
        "Beit",
        "classifier",
        set(),
    ),
    "beit-model": ("BeitModel", VIT | dict(use_relative_position_bias=True), "Beit", "encoder", set()),
    "beit-mim": (
        "BeitForMaskedImageModeling",
        VIT | dict(use_shared_relative_position_bias=True, use_mask_token=True, vocab_size=20),
        "Beit",
        "pre-training",
        {"prediction head", "mask token"},
    ),
    "data2vec": (
        "Data2VecVisionForImageClassification",
        VIT | dict(use_relative_position_bias=True),
        "Beit",
        "classifier",
        set(),
    ),
    "swin": ("SwinForImageClassification", SWIN, "SwinTransformer", "classifier", set()),
    "swin-mim": (
        "SwinForMaskedImageModeling",
        SWIN | dict(encoder_stride=8),
        "SwinTransformer",
        "pre-training",
        {"decoder", "mask token"},
    ),
    "swinv2": ("Swinv2ForImageClassification", SWIN, "SwinTransformerV2", "classifier", set()),
    "swinv2-larger": (
        "Swinv2Model",
        SWIN | dict(pretrained_window_sizes=[3, 2]),
        "SwinTransformerV2",
        "encoder",
        set(),
    ),
    "convnext": ("ConvNextForImageClassification", CONVNEXT, "ConvNeXt", "classifier", set()),
    "convnext-model": ("ConvNextModel", CONVNEXT, "ConvNeXt", "encoder", set()),
    "convnextv2": ("ConvNextV2ForImageClassification", CONVNEXT, "ConvNeXt", "classifier", set()),
    "resnet": ("ResNetForImageClassification", RESNET, "ResNet", "classifier", set()),
    "resnet-basic": ("ResNetModel", RESNET | dict(layer_type="basic"), "ResNet", "encoder", set()),
    "dinov2": ("Dinov2Model", DINOV2, "VisionTransformer", "encoder", {"mask token"}),
    "dinov2-classifier": (
        "Dinov2ForImageClassification",
        DINOV2,
        "VisionTransformer",
        "classifier",
        {"mask token", "classifier of class token and mean patch at once, which timm does not have"},
    ),
    "dinov2-registers": (
        "Dinov2WithRegistersModel",
        DINOV2 | dict(num_register_tokens=3),
        "VisionTransformer",
        "encoder",
        {"mask token"},
    ),
}


def build(name, seed=0, **changes):
    """A model with values everywhere, so that a lost one is seen; the class names go into its config."""
    kind, settings = MODELS[name][:2]
    torch.manual_seed(seed)
    model_class = getattr(transformers, kind)
    model = model_class(model_class.config_class(**settings, **changes)).eval()
    for key, value in model.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif value.is_floating_point() and "decoder_pos_embed" not in key:
            scale = "norm" in key and key.endswith("weight")
            value.normal_(1 if scale else 0, 0.2).mul_(2 if "lambda" in key or "scale" in key else 1)
    return model


def save(model, folder, preprocessor=True):
    model.save_pretrained(folder)
    if preprocessor:
        config = dict(image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6], size=dict(height=32, width=32))
        (folder / "preprocessor_config.json").write_text(json.dumps(config))
    return folder


def image(model):
    size = getattr(model.config, "image_size", 64)
    return torch.randn(2, 3, *(size, size) if size < 224 else (64, 64), generator=torch.Generator().manual_seed(5))


def output(model, images):
    """The last layer of tokens or the last map, and the logits where there are any, as transformers computes them."""
    with torch.inference_mode():
        inner = getattr(model, model.base_model_prefix, model)
        more = {}
        if model.config.model_type == "vit_mae":  # leave all patches in their order
            model.config.mask_ratio = inner.embeddings.config.mask_ratio = 0.0
            patches = (model.config.image_size // model.config.patch_size) ** 2
            more = dict(noise=torch.arange(patches).float().expand(len(images), -1))
        tokens = inner(images, **more).last_hidden_state
        if model.config.model_type == "beit" and "Masked" in type(model).__name__ and model.config.use_mean_pooling:
            tokens = model.layernorm(tokens)
        logits = model(images).logits if "Classification" in type(model).__name__ else None
    return tokens, logits


def features(encoder, images):
    """timm's features in the layout of transformers."""
    with torch.inference_mode():
        found = encoder.forward_features(images)
    return found.flatten(1, 2) if "Swin" in type(encoder).__name__ else found


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_folder_computes_what_transformers_computes(tmp_path, name):
    _, _, timm_class, kind, parts = MODELS[name]
    model = build(name, id2label=NAMES)
    encoder, report = a2mim.load_encoder(save(model, tmp_path))
    images = image(model)
    tokens, logits = output(model, images)
    close(features(encoder, images), tokens)
    assert (type(encoder).__name__, report.format, report.kind) == (timm_class, "transformers", kind)
    assert (report.coverage, report.missing, report.unexpected, report.reshaped) == (1.0, (), (), ())
    assert set(report.parts) - {"an index table that timm computes"} == parts
    assert (report.mean, report.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert report.input_size == (3, *(images.shape[2:] if hasattr(model.config, "num_heads") else (32, 32)))
    if logits is None or "dinov2" in name:
        assert (report.num_classes, report.has_classifier) == (0, False)
    else:
        close(encoder(images), logits)
        assert (report.num_classes, report.has_classifier, report.classes) == (3, True, ("cat", "dog", "emu"))


@pytest.mark.parametrize("name", ["vit", "deit", "deit-teacher", "mae", "beit", "beit-mim", "swin", "dinov2"])
def test_weights_alone_by_the_names_that_transformers_5_has_in_memory(tmp_path, name):
    model = build(name)
    torch.save({"model": model.state_dict(), "optimizer": {"state": {0: torch.zeros(3, 2)}}}, tmp_path / "w.pth")
    heads = {} if name in ("beit", "beit-mim", "swin") else {"num_heads": 4}
    size = {} if name not in ("swin",) else {"img_size": 64}
    encoder, report = a2mim.load_encoder(tmp_path / "w.pth", model_args=heads | size)
    images = image(model)
    tokens, logits = output(model, images)
    close(features(encoder, images), tokens)
    if logits is not None:
        close(encoder(images), logits)
    assert (report.format, report.coverage) == ("transformers", 1.0)
    assert report.names.endswith("in memory")


@pytest.mark.parametrize("name", ["vit", "beit", "swin", "convnext", "convnextv2", "resnet", "dinov2"])
def test_weights_alone_without_config(tmp_path, name):
    model = build(name)
    weights = save(model, tmp_path / "folder", preprocessor=False) / "model.safetensors"
    weights.rename(tmp_path / "w.safetensors")
    heads = {"num_heads": 4} if name in ("vit", "dinov2") else {}
    size = {"img_size": 64} if name == "swin" else {}
    encoder, report = a2mim.load_encoder(tmp_path / "w.safetensors", model_args=heads | size)
    images = image(model)
    close(features(encoder, images), output(model, images)[0])
    assert (report.format, report.coverage, report.mean) == ("transformers", 1.0, (0.485, 0.456, 0.406))


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("vit", dict(hidden_act="gelu_new"), "hidden_act=gelu_new"),
        ("convnext", dict(hidden_act="relu"), "hidden_act=relu"),
        ("resnet", dict(hidden_act="gelu"), "hidden_act=gelu"),
        ("resnet", dict(downsample_in_bottleneck=True), "downsample_in_bottleneck=True"),
        ("resnet", dict(downsample_in_first_stage=True), "downsample_in_first_stage=True"),
        ("resnet", dict(embedding_size=32), "first convolution is 7x7 with 32 channels"),
        ("swin", dict(use_absolute_embeddings=True), "use_absolute_embeddings=True"),
        ("dinov2", dict(hidden_act="relu"), "hidden_act=relu"),
    ],
)
def test_what_timm_cannot_compute_is_refused_with_the_reason(tmp_path, name, settings, reason):
    with pytest.raises(InputError, match=reason):
        a2mim.load_encoder(save(build(name, **settings), tmp_path))


def test_a_gap_and_a_stranger_are_refused_by_name(tmp_path):
    model = build("swin")
    state = model.state_dict()
    weights = save(model, tmp_path) / "model.safetensors"
    whole = safetensors.torch.load(weights.read_bytes())  # not mapped: the file is written over
    lost = "swin.encoder.layers.1.blocks.1.layernorm_after.bias"
    safetensors.torch.save_file({name: value for name, value in whole.items() if name != lost}, weights)
    with pytest.raises(InputError, match=r"missing layers\.1\.blocks\.1\.norm2\.bias"):
        a2mim.load_encoder(tmp_path)
    safetensors.torch.save_file({**whole, "swin.encoder.layers.1.gate.weight": torch.ones(2)}, weights)
    with pytest.raises(InputError, match=r"no place for: swin\.encoder\.layers\.1\.gate\.weight"):
        a2mim.load_encoder(tmp_path)
    assert len(state) == len(whole)


def test_labels_that_are_no_names_are_no_classes(tmp_path):
    _, report = a2mim.load_encoder(save(build("vit"), tmp_path))
    assert (report.num_classes, report.classes) == (2, ())


def test_the_eps_of_the_file_is_taken(tmp_path):
    encoder, report = a2mim.load_encoder(save(build("vit", layer_norm_eps=0.5), tmp_path))
    assert {norm.eps for norm in encoder.modules() if isinstance(norm, torch.nn.LayerNorm)} == {0.5}
    assert "LayerNorm with eps 0.5, as the file says" in report.notes
    encoder, _ = a2mim.load_encoder(save(build("convnext", layer_norm_eps=0.5), tmp_path))
    assert (encoder.head.norm.eps, encoder.stem[1].eps) == (0.5, 1e-6)


def test_an_image_processor_that_does_not_normalise(tmp_path):
    folder = save(build("resnet"), tmp_path)
    (folder / "preprocessor_config.json").write_text('{"do_normalize": false, "size": {"shortest_edge": 40}}')
    _, report = a2mim.load_encoder(folder)
    assert (report.mean, report.std, report.input_size) == ((0, 0, 0), (1, 1, 1), (3, 40, 40))
