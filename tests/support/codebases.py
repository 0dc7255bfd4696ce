"""What the tests of formats share: a file as a codebase writes it, and the proof that it is loaded as it was meant."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass, field

import pytest
import torch

import a2mim
from a2mim.errors import InputError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5,) * 3, (0.5,) * 3)


@dataclass
class Saved:
    """A checkpoint by its codebase's own names, and what its author's forward makes of ``images``.

    ``truth`` maps a label of ``which`` (the default first) to (features, logits or None).
    """

    checkpoint: dict
    images: torch.Tensor
    truth: dict
    format: str
    kind: str = "pre-training"
    norm: tuple = IMAGENET
    classes: int = 0
    dropped: dict = field(default_factory=dict)  # part -> some name in it
    inside: str = ""  # path to the encoder's tensors, "group:prefix", to take one away and add one
    lost: str = "blocks.1.norm2.weight"
    arch: str = ""
    notes: str = ""
    size: tuple = ()  # of the images that the report gives; that of ``images`` where it is empty


def check(saved: Saved, tmp_path) -> None:
    """Every encoder in the file computes what the original computes, and the report says what became of all else."""
    file = tmp_path / "checkpoint.pth"
    torch.save(saved.checkpoint, file)
    for number, (label, (features, logits)) in enumerate(saved.truth.items()):
        model, report = a2mim.load_encoder(file, which=label if number else None)
        assert report.which == label
        with torch.no_grad():
            torch.testing.assert_close(model.forward_features(saved.images), features, atol=1e-5, rtol=1e-5)
            if logits is not None:
                torch.testing.assert_close(model(saved.images), logits, atol=1e-5, rtol=1e-5)
    assert set(report.choices) >= set(saved.truth)
    assert (report.format, report.kind, report.num_classes) == (saved.format, saved.kind, saved.classes)
    assert report.has_classifier == bool(saved.classes)
    assert (report.coverage, report.missing, report.unexpected) == (1.0, (), ())
    assert report.input_size == (saved.size or (3, *saved.images.shape[-2:]))
    assert (report.mean, report.std) == saved.norm
    assert saved.arch in report.arch
    assert saved.notes in "\n".join(report.notes)
    _, report = a2mim.load_encoder(file)
    for part, name in saved.dropped.items():
        assert name in report.parts[part], (part, report.parts)
    if saved.inside:
        _check_one_less_and_one_more(saved, tmp_path / "other.pth")


def _check_one_less_and_one_more(saved: Saved, file) -> None:
    group, _, prefix = saved.inside.partition(":")
    state = saved.checkpoint
    for key in filter(None, group.split("/")):
        state = state[key]
    kept = state.pop(prefix + saved.lost)
    torch.save(saved.checkpoint, file)
    with pytest.raises(InputError, match="missing"):
        a2mim.load_encoder(file)
    state[prefix + saved.lost] = kept
    state[f"{prefix}a_layer_of_its_own.weight"] = torch.ones(3)
    torch.save(saved.checkpoint, file)
    with pytest.raises(InputError, match="a_layer_of_its_own"):
        a2mim.load_encoder(file)


def under(prefix: str, state: dict) -> dict:
    return {prefix + name: value for name, value in state.items()}


def surroundings(**settings) -> dict:
    """What stands around the weights in most files: an optimizer with tensors, an epoch, the parsed arguments."""
    optimizer = {"state": {0: {"step": 3, "exp_avg": torch.ones(2, 2)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    return {"optimizer": optimizer, "epoch": 7, "scaler": {"scale": 65536.0}, "args": Namespace(**settings)}


def randn(*shape: int, generator: torch.Generator, std: float = 0.1, mean: float = 0.0) -> torch.Tensor:
    return torch.randn(*shape, generator=generator) * std + mean


def layer(name: str, out: int, *shape: int, generator: torch.Generator, bias: bool = True) -> dict:
    """Weight and bias of a linear or convolutional layer."""
    std = 1 / max(1, torch.Size(shape).numel()) ** 0.5
    state = {f"{name}.weight": randn(out, *shape, generator=generator, std=std)}
    return state | ({f"{name}.bias": randn(out, generator=generator)} if bias else {})


def norm(name: str, width: int, *, generator: torch.Generator, running: bool = False) -> dict:
    """A norm whose weights are far enough from one and zero to be missed when they are lost."""
    state = {
        f"{name}.weight": randn(width, generator=generator, std=0.2, mean=1.0),
        f"{name}.bias": randn(width, generator=generator, std=0.2),
    }
    if running:
        state |= {
            f"{name}.running_mean": randn(width, generator=generator, std=0.2),
            f"{name}.running_var": torch.rand(width, generator=generator) + 0.5,
            f"{name}.num_batches_tracked": torch.tensor(5),
        }
    return state
