"""Which architecture a file is: what is named, what names and shapes tell, and what they do not."""

import pytest
import timm
import torch

import a2mim
from a2mim.errors import InputError

# refused under their own names before names and shapes were compared first
OWN = ("vit_small_patch16_dinov3", "cait_xxs24_224", "hiera_tiny_224", "resnest14d", "samvit_base_patch16_224")


def save(path, arch, prefix="", **args):
    """A file of timm's own with values everywhere; the model."""
    torch.manual_seed(0)
    model = timm.create_model(arch, **args).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.3 * torch.randn_like(parameter).abs())
    torch.save({f"{prefix}{name}": value for name, value in model.state_dict().items()}, path)
    return model


@pytest.mark.parametrize(
    "arch", ["test_vit", "test_vit4", "test_resnet", "test_convnext", "test_efficientnet", "levit_128s"]
)
@pytest.mark.parametrize("classes", [0, 3])
def test_timms_own_file_under_its_own_name(tmp_path, arch, classes):
    model = save(tmp_path / "own.pth", arch, num_classes=classes)
    loaded, report = a2mim.load_encoder(tmp_path / "own.pth", arch)
    assert (report.arch, report.coverage, report.model_args, report.num_classes) == (arch, 1.0, {}, classes)
    images = torch.randn(1, *model.default_cfg["input_size"])
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("arch", OWN)
def test_timms_own_file_that_others_name_alike(tmp_path, arch):
    model = save(tmp_path / "own.pth", arch, "backbone.", num_classes=0)
    loaded, _ = a2mim.load_encoder(tmp_path / "own.pth", arch)
    images = torch.randn(1, *model.default_cfg["input_size"])
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images), atol=1e-5, rtol=1e-5)


def notes(path, *given, **options):
    return [note for note in a2mim.load_encoder(path, *given, **options)[1].notes if "same names and shapes" in note]


def test_what_else_it_may_be_is_noted_unless_it_is_named(tmp_path):
    save(tmp_path / "r.pth", "resnet50", num_classes=0)
    _, report = a2mim.load_encoder(tmp_path / "r.pth")
    assert report.arch == "resnet50"
    (note,) = notes(tmp_path / "r.pth")
    assert "resnetblur50" in note
    assert "resnetaa50" in note
    assert f"note: {note}" in report.remarks()
    assert note in report.to_dict()["notes"]
    assert notes(tmp_path / "r.pth", "resnetaa50") == []


def test_nothing_is_noted_where_nothing_else_can_be_meant(tmp_path):
    save(tmp_path / "r.pth", "resnet34", num_classes=0)
    assert notes(tmp_path / "r.pth") == []
    save(tmp_path / "v.pth", "vit_tiny_patch16_224", num_classes=0)
    assert notes(tmp_path / "v.pth") == []


def test_timms_only_network_of_these_names_and_shapes_is_taken(tmp_path):
    model = save(tmp_path / "d.pth", "test_vit", num_classes=0)
    loaded, report = a2mim.load_encoder(tmp_path / "d.pth")
    assert report.arch == "test_vit"
    assert any("timm's network with these names and shapes" in note for note in report.notes)
    images = torch.randn(1, *model.default_cfg["input_size"])
    with torch.no_grad():
        torch.testing.assert_close(loaded(images), model(images), atol=1e-5, rtol=1e-5)


def test_a_vit_without_position_embedding_needs_a_name(tmp_path):
    save(tmp_path / "v.pth", "vit_tiny_patch16_224", pos_embed="none", depth=1)
    with pytest.raises(InputError, match=r"a ViT without position embedding: .* give the timm name with --model"):
        a2mim.load_encoder(tmp_path / "v.pth")
    _, report = a2mim.load_encoder(tmp_path / "v.pth", "vit_tiny_patch16_224", dict(pos_embed="none", depth=1))
    assert report.coverage == 1


def test_a_file_in_which_nothing_is_found_says_what_it_may_be(tmp_path):
    save(tmp_path / "m.pth", "test_efficientnet", "net.")
    with pytest.raises(InputError, match=r"--model .*its names and shapes are those of timm's test_efficientnet"):
        a2mim.load_encoder(tmp_path / "m.pth")


def test_a_name_that_was_given_is_not_asked_for(tmp_path):
    save(tmp_path / "m.pth", "test_efficientnet")
    with pytest.raises(InputError) as error:
        a2mim.load_encoder(tmp_path / "m.pth", "mobilenetv3_small_050")
    assert "does not hold the named network: it lacks" in str(error.value)
    assert "give the timm name" not in str(error.value)


def test_the_files_word_on_heads_is_not_overruled_by_equal_shapes(tmp_path):
    model = timm.create_model("vit_small_patch16_224", num_classes=0, depth=1)
    state = {f"module.base_encoder.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "arch": "vit_small"}, tmp_path / "moco.pth.tar")
    with pytest.raises(InputError, match="num_heads=12, not num_heads=6"):
        a2mim.load_encoder(tmp_path / "moco.pth.tar", "vit_small_patch16_224", dict(depth=1))
    _, report = a2mim.load_encoder(tmp_path / "moco.pth.tar", "vit_small_patch16_224", dict(depth=1, num_heads=12))
    assert report.model_args["num_heads"] == 12
