"""What convert writes is opened by the library that it is for, which then computes the same."""

import json
import pickle
import re

import pytest
import safetensors.torch
import timm
import torch
import torch.nn.functional as F
import torchvision
from click.testing import CliRunner
from torchvision.models.convnext import CNBlockConfig

import a2mim
from a2mim import checkpoint
from a2mim.checkpoint.convert.conversion import TARGETS, convert
from a2mim.commands.checkpoint import main
from a2mim.errors import InputError

VIT = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2, mlp_ratio=3.0)
SWIN = dict(img_size=64, patch_size=4, window_size=4, embed_dim=16, depths=(2, 2), num_heads=(2, 4))
CONVNEXT = dict(depths=(1, 2, 1, 1), dims=(8, 16, 24, 32))
CHANNELS = [8, 16, 32, 64]
MODELS = {
    "vit": ("vit_tiny_patch16_224", VIT),
    "vit-no-bias": ("vit_tiny_patch16_224", VIT | dict(qkv_bias=False)),
    "vit-mean": ("vit_tiny_patch16_224", VIT | dict(global_pool="avg")),
    "vit-scaled": ("deit3_small_patch16_224", VIT),
    "vit-quick": ("vit_tiny_patch16_224", VIT | dict(act_layer="quick_gelu")),
    "deit": ("deit_tiny_distilled_patch16_224", VIT),
    "deit-one-classifier": ("vit_tiny_patch16_224", VIT | dict(reg_tokens=1)),
    "dinov2": ("vit_small_patch14_dinov2", VIT),
    "dinov2-registers": ("vit_small_patch14_reg4_dinov2", VIT),
    "beit": ("beit_base_patch16_224", VIT),
    "beit-shared": (
        "beit_base_patch16_224",
        VIT | dict(use_rel_pos_bias=False, use_shared_rel_pos_bias=True, use_abs_pos_emb=True, global_pool="token"),
    ),
    "swin": ("swin_tiny_patch4_window7_224", SWIN),
    "swin-small-maps": ("swin_tiny_patch4_window7_224", SWIN | dict(img_size=32, window_size=8)),
    "convnext": ("convnext_tiny", CONVNEXT),
    "convnext-conv-mlp": ("convnext_tiny", CONVNEXT | dict(conv_mlp=True)),
    "convnextv2": ("convnextv2_tiny", CONVNEXT),
    "resnet18": ("resnet18", {}),
    "resnet-basic": ("resnet18", dict(channels=CHANNELS)),
    "resnet-bottleneck": ("resnet50", dict(channels=CHANNELS)),
    "resnext": ("resnext50_32x4d", dict(layers=(1, 1, 1, 1), cardinality=4)),
    "resnet-deep": ("resnet14t", dict(channels=CHANNELS, stem_width=8)),
    "resnet-se": ("seresnet50", dict(layers=(1, 1, 1, 1), channels=CHANNELS)),
    "mobilenet": ("mobilenetv3_small_050", {}),
}
MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
NO_CLASSES = ("dinov2", "dinov2-registers")  # transformers classifies otherwise than timm


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Writes a model with values everywhere as a checkpoint of ours; the file and the model."""
    folder, made = tmp_path_factory.mktemp("sources"), {}

    def source(name, classes=3):
        if (name, classes) not in made:
            arch, args = MODELS[name]
            torch.manual_seed(0)
            model = timm.create_model(arch, num_classes=classes, **args).eval()
            for key, value in model.state_dict().items():
                if key.endswith("running_var"):
                    value.uniform_(0.5, 1.5)
                elif value.is_floating_point() and (value.ndim != 4 or "proj" in key):
                    scale = value.ndim == 1 and key.endswith("weight")
                    value.normal_(1 if scale else 0, 0.2)
            size = args.get("img_size", 32)
            described = dict(kind="finetune" if classes else "encoder", arch=arch, model_args=args, num_classes=classes)
            described |= dict(classes=("cat", "dog", "emu")[:classes], input_size=(3, size, size), mean=MEAN, std=STD)
            file = folder / f"{name}-{classes}.pth.tar"
            checkpoint.save_checkpoint(file, {**described, "state_dict": model.state_dict()})
            made[name, classes] = file, model, images(size)
        return made[name, classes]

    return source


def images(size):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(5))


def close(ours, theirs):
    torch.testing.assert_close(ours, theirs, atol=1e-5 * max(1, float(theirs.detach().abs().max())), rtol=1e-5)


def same_again(written, name, model, pictures):
    """The loader reads what was written as the network that it was."""
    args = {"num_heads": VIT["num_heads"]} if name.startswith(("vit", "deit", "dino")) else {}
    args |= {"img_size": pictures.shape[-1]} if name.startswith("swin") else {}
    encoder, report = a2mim.load_encoder(written, model_args={} if written.is_dir() else args)
    with torch.inference_mode():
        close(encoder(pictures), model(pictures))
        close(encoder.forward_features(pictures), model.forward_features(pictures))
    assert (report.coverage, report.num_classes) == (1.0, model.num_classes)
    return report


# --- timm -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_timm_opens_a_folder(tmp_path, sources, name):
    source, model, pictures = sources(name)
    lines = convert(source, "timm", tmp_path / "out")
    opened = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()
    with torch.inference_mode():
        close(opened(pictures), model(pictures))
    cfg = timm.data.resolve_model_data_config(opened)
    assert [tuple(cfg[key]) for key in ("mean", "std", "input_size")] == [MEAN, STD, (3, *pictures.shape[2:])]
    assert opened.pretrained_cfg["label_names"] == ["cat", "dog", "emu"]
    assert lines == (f"timm.create_model('local-dir:{tmp_path / 'out'}', pretrained=True)",)
    report = same_again(tmp_path / "out", name, model, pictures)
    assert (report.arch, report.mean, report.std) == (MODELS[name][0], MEAN, STD)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_timm_opens_a_file_as_the_line_says(tmp_path, sources, suffix):
    source, model, pictures = sources("vit")
    line = convert(source, "timm", tmp_path / f"w{suffix}")[0]
    opened = eval(line, {"timm": timm}).eval()
    with torch.inference_mode():
        close(opened(pictures), model(pictures))
    same_again(tmp_path / f"w{suffix}", "vit", model, pictures)


# --- torchvision ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 0])
@pytest.mark.parametrize(
    ("name", "suffix"),
    [("vit", ".pth"), ("swin", ".pth"), ("swin", ".safetensors"), *((n, ".pth") for n in ("convnext", "resnet18"))],
)
def test_torchvision_opens_it_as_the_lines_say(tmp_path, sources, name, suffix, classes):
    source, model, pictures = sources(name, classes)
    lines = convert(source, "torchvision", tmp_path / f"w{suffix}")
    scope = {"torchvision": torchvision, "torch": torch, "CNBlockConfig": CNBlockConfig, "safetensors": safetensors}
    for line in lines[:-1]:
        exec(line, scope)  # ends with load_state_dict, which is strict
    with torch.inference_mode():
        close(scope["model"].eval()(pictures), model(pictures))
    assert f"images: 3x{pictures.shape[2]}" in lines[-1]
    assert "less the mean (0.1, 0.2, 0.3), by the std (0.4, 0.5, 0.6)" in lines[-1]
    if name == "resnet18":
        assert lines[0] == f"model = torchvision.models.resnet18({'num_classes=3' if classes else ''})"
    same_again(tmp_path / f"w{suffix}", name, model, pictures)


# --- transformers -----------------------------------------------------------------------------------------------------

HF = {
    "vit": "ViT",
    "vit-no-bias": "ViT",
    "deit": "DeiT",
    "dinov2": "Dinov2",
    "dinov2-registers": "Dinov2WithRegisters",
    "beit": "Beit",
    "beit-shared": "Beit",
    "swin": "Swin",
    "convnext": "ConvNext",
    "convnextv2": "ConvNextV2",
    "resnet-basic": "ResNet",
    "resnet-bottleneck": "ResNet",
}


@pytest.mark.parametrize("name", [*(name for name in HF if name not in NO_CLASSES), "deit-one-classifier"])
def test_transformers_opens_a_classifier(tmp_path, sources, name):
    transformers = pytest.importorskip("transformers")
    source, model, pictures = sources(name)
    lines = convert(source, "hf", tmp_path / "out")
    opened, loading = transformers.AutoModelForImageClassification.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert not any(loading.values()), loading
    with torch.inference_mode():
        close(opened.eval()(pictures).logits, model(pictures))
    assert opened.config.id2label == {0: "cat", 1: "dog", 2: "emu"}
    assert type(opened).__name__ in lines[0]
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path / "out")
    raw = torch.randint(0, 256, pictures.shape[1:], dtype=torch.uint8)
    expected = (raw / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    close(processor(raw, return_tensors="pt")["pixel_values"][0], expected)
    report = same_again(tmp_path / "out", name, model, pictures)
    assert (report.mean, report.std, report.input_size) == (MEAN, STD, (3, *pictures.shape[2:]))
    assert report.classes == ("cat", "dog", "emu")


@pytest.mark.parametrize("name", HF)
def test_transformers_opens_an_encoder(tmp_path, sources, name):
    transformers = pytest.importorskip("transformers")
    source, model, pictures = sources(name, 0)
    lines = convert(source, "hf", tmp_path / "out")
    opened, loading = transformers.AutoModel.from_pretrained(tmp_path / "out", output_loading_info=True)
    pooler = {"pooler.dense.weight", "pooler.dense.bias"} if HF[name] in ("ViT", "DeiT") else set()
    assert loading["missing_keys"] == pooler
    assert not loading["unexpected_keys"]
    assert bool(pooler) == ("its pooler is new: take last_hidden_state" in lines)
    with torch.inference_mode():
        features = model.forward_features(pictures)
        features = features.flatten(1, 2) if name == "swin" else features
        close(opened.eval()(pictures).last_hidden_state, features)
    assert type(opened).__name__ == f"{HF[name]}Model"
    same_again(tmp_path / "out", name, model, pictures)


# --- detectron2 -------------------------------------------------------------------------------------------------------


def detectron2_names(depths, bottleneck, channels):
    """What detectron2/modeling/backbone/resnet.py builds, with a norm inside of each convolution."""
    convolutions, before = ["stem.conv1"], 64
    for stage, (depth, after) in enumerate(zip(depths, channels, strict=True), start=2):
        for block in range(depth):
            parts = ["conv1", "conv2", "conv3"] if bottleneck else ["conv1", "conv2"]
            if before != after:
                parts.append("shortcut")
            before = after
            convolutions += [f"res{stage}.{block}.{part}" for part in parts]
    norm = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    return {f"{name}.{end}" for name in convolutions for end in ("weight", *norm)}


def detectron2_forward(weights, x):
    """A ResNet by detectron2's names: stride in the 3x3 convolution, maps of the last stage."""

    def conv(name, x, stride=1):
        weight = weights[f"{name}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        keys = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{name}.norm.{key}"] for key in keys))

    x = F.max_pool2d(conv("stem.conv1", x, 2).relu(), 3, 2, 1)
    for stage in range(2, 6):
        for block in range(99):
            name, stride = f"res{stage}.{block}", 2 if stage > 2 and block == 0 else 1
            if f"{name}.conv1.weight" not in weights:
                break
            if f"{name}.conv3.weight" in weights:
                y = conv(f"{name}.conv2", conv(f"{name}.conv1", x).relu(), stride).relu()
                y = conv(f"{name}.conv3", y)
            else:
                y = conv(f"{name}.conv2", conv(f"{name}.conv1", x, stride).relu())
            x = (y + (conv(f"{name}.shortcut", x, stride) if f"{name}.shortcut.weight" in weights else x)).relu()
    return x


@pytest.mark.parametrize(
    ("name", "depths", "bottleneck", "depth"),
    [("resnet-basic", (2, 2, 2, 2), False, 18), ("resnet-bottleneck", (3, 4, 6, 3), True, 50)],
)
def test_detectron2_gets_its_names_and_its_settings(tmp_path, sources, name, depths, bottleneck, depth):
    source, model, _ = sources(name)
    lines = convert(source, "detectron2", tmp_path / "r.pkl")
    with open(tmp_path / "r.pkl", "rb") as handle:
        held = pickle.load(handle, encoding="latin1")
    assert held["__author__"] == "a2mim"
    assert held["matching_heuristics"] is True
    assert held["model"].keys() == detectron2_names(
        depths, bottleneck, [width * (4 if bottleneck else 1) for width in CHANNELS]
    )
    config = held["config"]
    assert (config["INPUT.FORMAT"], config["MODEL.RESNETS.DEPTH"]) == ("RGB", depth)
    assert config["MODEL.RESNETS.STRIDE_IN_1X1"] is False
    assert config["MODEL.RESNETS.RES2_OUT_CHANNELS"] == (32 if bottleneck else 8)
    assert config["MODEL.PIXEL_MEAN"] == [25.5, 51.0, 76.5]
    assert {"INPUT.FORMAT: RGB", "MODEL.PIXEL_STD: [102.0, 127.5, 153.0]", "the classifier is left out"} <= set(lines)
    raw = torch.randint(0, 256, (2, 3, 32, 32)).float()  # red first
    mean, std = (torch.tensor(config[f"MODEL.PIXEL_{key}"])[:, None, None] for key in ("MEAN", "STD"))
    weights = {key: torch.from_numpy(value) for key, value in held["model"].items()}
    ours = (raw / 255 - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.inference_mode():
        expected = model.forward_features(ours)
        scale = expected.abs().max()
        close(detectron2_forward(weights, (raw - mean) / std) / scale, expected / scale)


# --- what is refused, and what is left alone --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "to", "reason"),
    [
        ("beit", "torchvision", "torchvision has no beit_base"),
        ("deit", "torchvision", "distilled=True"),
        ("vit-scaled", "torchvision", "torchvision cannot express no_embed_class=True"),
        ("vit-mean", "torchvision", "global_pool=avg"),
        ("vit-no-bias", "torchvision", "qkv_bias=False"),
        ("convnextv2", "torchvision", "use_grn=True"),
        ("convnext-conv-mlp", "torchvision", "conv_mlp=True"),
        ("resnet-basic", "torchvision", r"channels=\[8, 16, 32, 64\]"),
        ("resnet-deep", "torchvision", "stem_type=deep_tiered"),
        ("swin-small-maps", "torchvision", "one window size"),
        ("mobilenet", "torchvision", "torchvision has no mobilenetv3_small_050"),
        ("vit-mean", "hf", "global_pool=avg"),
        ("vit-scaled", "hf", "no_embed_class=True"),
        ("dinov2", "hf", "DINOv2 classifies from the class token and the mean patch"),
        ("convnext-conv-mlp", "hf", "conv_mlp=True"),
        ("swin-small-maps", "hf", "one window size"),
        ("resnext", "hf", "cardinality=4"),
        ("vit", "detectron2", "is for a ResNet"),
        ("resnext", "detectron2", "18, 34, 50, 101 and 152 layers"),
        ("resnet-deep", "detectron2", "stem_type=deep_tiered"),
        *((name, to, "do not tell") for name in ("vit-quick", "resnet-se") for to in ("torchvision", "hf")),
    ],
)
def test_what_a_target_cannot_express_is_refused_with_the_reason(tmp_path, sources, name, to, reason):
    source, _, _ = sources(name)
    output = tmp_path / {"torchvision": "w.pth", "hf": "out", "detectron2": "w.pkl"}[to]
    with pytest.raises(InputError, match=reason):
        convert(source, to, output)
    assert list(tmp_path.iterdir()) == []


def test_layernorms_of_another_eps_are_kept_by_transformers_and_told_for_the_others(tmp_path, sources):
    transformers = pytest.importorskip("transformers")
    source, model, pictures = sources("vit")
    convert(source, "hf", tmp_path / "hf")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert config["layer_norm_eps"] == 1e-6
    (tmp_path / "hf" / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-3}))
    expected = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "hf").eval()(pictures).logits
    assert (expected - model(pictures)).abs().max() > 1e-4
    convert(tmp_path / "hf", "hf", tmp_path / "again")
    again = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "again").eval()
    close(again(pictures).logits, expected)
    for to, name in (("timm", "t"), ("torchvision", "t.pth")):
        lines = convert(tmp_path / "hf", to, tmp_path / name)
        assert any(
            re.match(rf"LayerNorm: eps 0.001 in the source, 1e-06 in {to}; outputs differ by", line) for line in lines
        )


@pytest.mark.parametrize(
    ("to", "name"),
    [("timm", "out"), ("timm", "w.pth"), ("torchvision", "w.pth"), ("hf", "out"), ("openmmlab", "w.pth")],
)
def test_nothing_is_replaced_unless_asked(tmp_path, sources, to, name):
    source, _, _ = sources("vit")
    convert(source, to, tmp_path / name)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.*") if file.is_file()}
    with pytest.raises(InputError, match=f"{name} is there already; --force replaces it"):
        convert(sources("vit", 0)[0], to, tmp_path / name)
    assert before == {file: file.read_bytes() for file in before}
    convert(sources("vit", 0)[0], to, tmp_path / name, force=True)
    assert any(before[file] != file.read_bytes() for file in before)
    assert {file for file in tmp_path.rglob("*.*") if file.is_file()} == set(before)


@pytest.mark.parametrize(
    ("to", "name", "wanted"),
    [
        ("hf", "w.pth", r"has to be a folder"),
        ("torchvision", "out", r"has to be a file \*\.pth or a file \*\.pt or a file \*\.safetensors"),
        ("detectron2", "w.pth", r"has to be a file \*\.pkl"),
        ("timm", "w.pkl", r"has to be a folder or a file"),
        ("caffe", "w.pth", f"no target 'caffe'; there are: {', '.join(TARGETS)}"),
    ],
)
def test_names_that_a_target_does_not_take(tmp_path, sources, to, name, wanted):
    with pytest.raises(InputError, match=wanted):
        convert(sources("vit")[0], to, tmp_path / name)


def test_a_folder_is_not_replaced_by_a_file_nor_a_file_by_a_folder(tmp_path, sources):
    (tmp_path / "w.pth").mkdir()
    (tmp_path / "out").write_text("")
    for to, name, what in (("torchvision", "w.pth", "folder"), ("hf", "out", "file")):
        with pytest.raises(InputError, match=f"{name} is a {what} already"):
            convert(sources("vit")[0], to, tmp_path / name, force=True)


def test_the_command_knows_every_target():
    option = next(option for option in main.commands["convert"].params if option.name == "to")
    assert set(option.type.choices) == set(TARGETS)


def test_the_command_says_how_to_open_what_it_wrote(tmp_path, sources):
    source, _, _ = sources("vit")
    args = ["convert", str(source), "--to", "torchvision", "--output", str(tmp_path / "w.pth")]
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert result.output.startswith(
        f"{tmp_path / 'w.pth'}:\n  model = torchvision.models.VisionTransformer(image_size=32"
    )
    again = CliRunner().invoke(main, args)
    assert (again.exit_code, again.output) == (
        2,
        f"error: {tmp_path / 'w.pth'} is there already; --force replaces it\n",
    )
    assert CliRunner().invoke(main, [*args, "--force"]).exit_code == 0
