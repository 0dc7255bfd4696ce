"""Networks under analysis: from checkpoints, and from memory."""

import pytest
import timm
import torch

from a2mim.analysis.core.subjects import load_subjects, name_of, report_of
from a2mim.errors import InputError


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("runs/my-run", "my-run"),
        ("runs/my-run/last.pth.tar", "my-run"),
        ("runs/my-run/model_best.pth.tar", "my-run"),
        ("runs/my-run/backbone.safetensors", "my-run"),
        ("weights/vit.v2.safetensors", "vit.v2"),
        ("mae.pth", "mae"),
        ("fashion-vit-a2mim", "fashion-vit-a2mim"),
    ],
)
def test_a_checkpoint_is_called_after_its_run_or_its_file(path, name):
    assert name_of(path) == name


def test_checkpoints_of_one_name_are_told_apart_by_their_paths(reference, tmp_path):
    copies = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        copies.append(str(tmp_path / folder / "small_cnn.safetensors"))
        (tmp_path / folder / "small_cnn.safetensors").write_bytes((reference / "small_cnn.safetensors").read_bytes())
    assert [subject.name for subject in load_subjects("encoders", copies)] == copies
    with pytest.raises(InputError, match="given twice"):
        load_subjects("encoders", [copies[0]] * 2)


def test_a_module_in_memory_says_what_it_takes_or_is_asked():
    model = timm.create_model("resnet10t", num_classes=7)
    report = report_of("mine", model)
    assert (report.input_size, report.num_classes, report.has_classifier) == ((3, 176, 176), 7, True)
    assert report.mean == model.pretrained_cfg["mean"]
    own = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with pytest.raises(InputError, match=r"mine does not say its input_size, mean, std; give them"):
        report_of("mine", own)
    report = report_of("mine", own.train(), (3, 16, 16), (0.5,) * 3, (0.5,) * 3)
    assert (report.num_classes, report.input_size) == (5, (3, 16, 16))
    assert own.training
