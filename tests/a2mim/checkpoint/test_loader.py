"""Round trips of our own checkpoints, the report, and files that are not what they should be."""

import pytest
import safetensors.torch
import timm
import torch

import a2mim
from a2mim import checkpoint
from a2mim.errors import InputError
from a2mim.masking import random_mask

ARGS = dict(channels=[8, 16, 24, 32], stem_width=4)


@pytest.fixture
def pretrained():
    torch.manual_seed(0)
    return a2mim.create_model("resnet14t", model_args=ARGS, img_size=32, mean=(0.5,) * 3, std=(0.2,) * 3).eval()


def described(model):
    return dict(
        kind="pretrain",
        epoch=4,
        arch=model.arch,
        model_args=model.model_args,
        mim_args=model.mim_args,
        num_classes=0,
        input_size=(3, *model.img_size),
        mean=model.mean,
        std=model.std,
        state_dict=model.state_dict(),
    )


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    return timm.create_model("resnet14t", num_classes=5, **ARGS).eval()


def finetuned(model):
    return dict(
        kind="finetune",
        epoch=2,
        arch="resnet14t",
        model_args=ARGS,
        num_classes=5,
        classes=tuple("abcde"),
        input_size=(3, 32, 32),
        mean=(0.5,) * 3,
        std=(0.2,) * 3,
        state_dict=model.state_dict(),
    )


IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def close(ours, theirs):
    """Equal but for rounding: weights mapped to a file lie elsewhere, where kernels may add in another order."""
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def same_weights(ours, theirs):
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(value, theirs.state_dict()[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("form", ["run", "file", "full", "backbone"])
def test_encoder_round_trip(tmp_path, pretrained, form):
    saved = described(pretrained)
    checkpoint.save_checkpoint(tmp_path / "last.pth.tar", saved)
    checkpoint.export_safetensors(tmp_path / "full.safetensors", saved)
    checkpoint.export_safetensors(tmp_path / "backbone.safetensors", saved, encoder_only=True)
    names = {"run": "", "file": "last.pth.tar", "full": "full.safetensors", "backbone": "backbone.safetensors"}
    encoder, report = a2mim.load_encoder(tmp_path / names[form])
    assert not encoder.training
    same_weights(encoder, pretrained.encoder)
    close(encoder(IMAGES), pretrained.encoder(IMAGES))
    assert (report.arch, report.model_args, report.num_classes) == ("resnet14t", ARGS, 0)
    assert (report.input_size, report.mean, report.std) == ((3, 32, 32), (0.5,) * 3, (0.2,) * 3)
    assert (report.coverage, report.missing, report.unexpected, report.reshaped) == (1.0, (), (), ())
    assert len(report.matched) == len(encoder.state_dict())
    assert (report.has_head, report.has_classifier) == (form != "backbone", False)
    assert ("mask_token" in report.dropped) == (form != "backbone")


def test_the_exported_encoder_has_plain_timm_names(tmp_path, pretrained):
    checkpoint.export_safetensors(tmp_path / "e.safetensors", described(pretrained), encoder_only=True)
    timm_model = timm.create_model("resnet14t", num_classes=0, **ARGS)
    timm_model.load_state_dict(safetensors.torch.load_file(tmp_path / "e.safetensors"), strict=True)
    close(timm_model.eval()(IMAGES), pretrained.encoder(IMAGES))


def test_masked_model_round_trip_and_half_precision(tmp_path, pretrained):
    mask = random_mask(2, (4, 4), 0.6, torch.Generator().manual_seed(0))
    checkpoint.export_safetensors(tmp_path / "m.safetensors", described(pretrained))
    model, report = a2mim.load_masked_model(tmp_path / "m.safetensors")
    same_weights(model, pretrained)
    close(model(IMAGES, mask), pretrained(IMAGES, mask))
    assert report.has_head
    assert report.epoch == 4
    checkpoint.export_safetensors(tmp_path / "h.safetensors", described(pretrained), half=True)
    model, _ = a2mim.load_masked_model(tmp_path / "h.safetensors")
    assert model.mask_token.dtype == torch.float32
    assert torch.allclose(model(IMAGES, mask), pretrained(IMAGES, mask), atol=0.01)


def test_classifier_is_kept_replaced_or_left_out_as_asked(tmp_path, classifier):
    checkpoint.save_checkpoint(tmp_path / "f.pth.tar", finetuned(classifier))
    model, report = a2mim.load_encoder(tmp_path / "f.pth.tar")
    close(model(IMAGES), classifier(IMAGES))
    assert (report.num_classes, report.has_classifier, report.classes) == (5, True, tuple("abcde"))
    model, report = a2mim.load_encoder(tmp_path / "f.pth.tar", num_classes=7)
    assert model(IMAGES).shape == (2, 7)
    assert (report.has_classifier, set(report.dropped)) == (False, {"fc.weight", "fc.bias"})
    model, report = a2mim.load_encoder(tmp_path / "f.pth.tar", num_classes=0)
    close(model.forward_features(IMAGES), classifier.forward_features(IMAGES))


def test_plain_timm_weights_name_their_own_architecture(tmp_path, classifier):
    torch.save(classifier.state_dict(), tmp_path / "w.pth")
    for given in [(), ("resnet14t", ARGS)]:
        model, report = a2mim.load_encoder(tmp_path / "w.pth", *given)
        close(model(IMAGES), classifier(IMAGES))
        assert (report.format, report.num_classes) == ("plain weights", 5)


def test_a_family_that_is_not_told_from_shapes_needs_a_name(tmp_path):
    network = timm.create_model("mobilenetv3_small_050", num_classes=4).eval()
    torch.save(
        {"state_dict": {f"net.{name}": value for name, value in network.state_dict().items()}}, tmp_path / "w.pth"
    )
    with pytest.raises(InputError, match=r"no network that is known here.*give the timm name with --model"):
        a2mim.load_encoder(tmp_path / "w.pth")
    model, report = a2mim.load_encoder(tmp_path / "w.pth", "mobilenetv3_small_050")
    close(model(IMAGES), network(IMAGES))
    assert (report.coverage, report.num_classes, report.which) == (1.0, 4, "net")


def test_the_reference_network_loads(reference):
    _, report = a2mim.load_encoder(reference / "small_cnn.safetensors")
    assert (report.arch, report.num_classes, report.coverage) == ("resnet10t", 10, 1.0)


def test_a_contradicted_architecture_is_an_error_that_shows_both(tmp_path, pretrained):
    checkpoint.save_checkpoint(tmp_path / "p.pth.tar", described(pretrained))
    with pytest.raises(InputError, match="holds a resnet14t, not the resnet10t"):
        a2mim.load_encoder(tmp_path / "p.pth.tar", "resnet10t")
    with pytest.raises(InputError, match="built with stem_width=4, not stem_width=8"):
        a2mim.load_encoder(tmp_path / "p.pth.tar", model_args={"stem_width": 8})


def test_gaps_are_refused_by_name_and_allowed_when_asked(tmp_path, classifier):
    state = {name: value for name, value in classifier.state_dict().items() if not name.startswith("layer4.0.bn2")}
    torch.save({**state, "stranger": torch.zeros(1)}, tmp_path / "gap.pth")
    with pytest.raises(
        InputError, match=r"covers 99\.\d% of resnet14t.*missing layer4.0.bn2.*without a place stranger"
    ):
        a2mim.load_encoder(tmp_path / "gap.pth", "resnet14t", ARGS)
    _, report = a2mim.load_encoder(tmp_path / "gap.pth", "resnet14t", ARGS, min_coverage=0.9)
    assert 0.9 < report.coverage < 1
    assert report.unexpected == ("stranger",)
    assert all(name.startswith("layer4.0.bn2") for name in report.missing)


def test_a_part_of_a_network_is_loaded_only_when_asked(tmp_path, classifier):
    state = {name: value for name, value in classifier.state_dict().items() if not name.startswith(("layer4", "fc"))}
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(InputError, match=r"channels=\[8, 16, 24\], not .*channels=\[8, 16, 24, 32\]"):
        a2mim.load_encoder(tmp_path / "part.pth", "resnet14t", ARGS)
    model, report = a2mim.load_encoder(tmp_path / "part.pth", "resnet14t", ARGS, min_coverage=0.1)
    assert 0.1 < report.coverage < 0.9
    assert all(name.startswith("layer4") for name in report.missing)
    assert torch.equal(model.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])
    assert model.layer4[0].conv1.weight.std() > 0  # random, not whatever was in memory


def test_one_tensor_too_many_would_be_another_network(tmp_path, classifier):
    torch.save({**classifier.state_dict(), "layer1.0.se.weight": torch.zeros(1)}, tmp_path / "more.pth")
    with pytest.raises(InputError, match=r"1 tensors that resnet50 has no place for: layer1.0.se.weight"):
        a2mim.load_encoder(tmp_path / "more.pth")


def test_lost_running_statistics_are_no_small_matter(tmp_path, classifier):
    state = {name: value for name, value in classifier.state_dict().items() if not name.endswith("running_var")}
    torch.save(state, tmp_path / "stats.pth")
    with pytest.raises(InputError, match="running_var"):
        a2mim.load_encoder(tmp_path / "stats.pth", "resnet14t", ARGS)


def test_another_shape_shows_both(tmp_path, classifier):
    torch.save({**classifier.state_dict(), "conv1.0.weight": torch.zeros(5, 3, 3, 3)}, tmp_path / "s.pth")
    with pytest.raises(InputError, match=r"has shape \(5, 3, 3, 3\) in the file and \(3, 3, 3, 3\) in the model"):
        a2mim.load_encoder(tmp_path / "s.pth", "resnet14t", ARGS)


def test_a_checkpoint_without_a_head_is_refused_with_the_reason(tmp_path, classifier):
    checkpoint.save_checkpoint(tmp_path / "f.pth.tar", finetuned(classifier))
    with pytest.raises(InputError, match=r"has no reconstruction head of a2mim \(it holds: finetune\)"):
        a2mim.load_masked_model(tmp_path / "f.pth.tar")


ODD = dict(
    mean=0.5, std=[None, 1], classes=10, input_size=32, epoch="last", args=[1], model_args={"depth": 3}, arch="mine"
)


@pytest.mark.parametrize("key", ODD)
def test_what_others_keep_under_our_names_is_left_alone(tmp_path, classifier, key):
    torch.save({"state_dict": classifier.state_dict(), key: ODD[key]}, tmp_path / "x.pth")
    _, report = a2mim.load_encoder(tmp_path / "x.pth")
    assert (report.coverage, report.mean, report.classes) == (1.0, (0.485, 0.456, 0.406), ())
    assert report.input_size == (3, 224, 224)
    assert report.epoch is None


class _Bomb:
    def __reduce__(self):
        return (print, ("code from a file ran",))


def test_a_pickle_that_runs_code_is_refused_unless_trusted(tmp_path, capsys, classifier):
    torch.save({"state_dict": classifier.state_dict(), "other": _Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(InputError, match="would run code from the file"):
        a2mim.load_encoder(tmp_path / "bomb.pth", "resnet14t", ARGS)
    assert "code from a file ran" not in capsys.readouterr().out
    a2mim.load_encoder(tmp_path / "bomb.pth", "resnet14t", ARGS, trust=True)
    assert "code from a file ran" in capsys.readouterr().out


def test_the_report_prints_what_was_found(tmp_path, pretrained):
    checkpoint.save_checkpoint(tmp_path / "p.pth.tar", described(pretrained))
    text = str(a2mim.load_encoder(tmp_path / "p.pth.tar")[1])
    for part in (
        "a2mim, pretrain, epoch 4",
        "resnet14t(channels=[8, 16, 24, 32]",
        "3x32x32",
        "100.0%",
        "mask token: 1 (mask_token)",
        "reconstruction head: 2 (head.project.weight, head.project.bias)",
        "layer4        ",
    ):
        assert part in text
