"""The networks under analysis: from checkpoints, through the one loader, or modules in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2mim.checkpoint import LoadReport, load_encoder, load_masked_model
from a2mim.data import ImageSource
from a2mim.errors import InputError
from a2mim.training.devices import pick_device

from .arrays import Arrays
from .choices import PORTION
from .class_map import MappedSource
from .networks import eval_mode
from .options import Kind

Echo = Callable[[str], None]
SHIPPED: Mapping[str, tuple[str, ...]] = {
    "classifiers": ("fashion-vit-a2mim", "fashion-resnet-a2mim"),
    "encoders": ("fashion-vit-a2mim", "fashion-resnet-a2mim"),
    "masked models": ("fashion-vit-pretrained", "fashion-resnet-pretrained"),
}


@dataclass(frozen=True)
class Part:
    """The part that is being measured.

    Args:
        number: which portion of the images it is.
        position: its place among the portions that are measured.
        begun: what an earlier process kept of it; empty for a new part.
        keep: (arrays, share=0.0) keeps what is there of an unfinished part, so that another process goes on from it;
            ``share`` of the part is done. What ``measure`` returns is kept anyway.
    """

    number: int
    position: int
    begun: Arrays
    keep: Callable[..., None]


@dataclass
class Subject:
    """A network under analysis.

    ``found`` holds what ``prepare`` of an analysis found out about it for ``measure``; ``part`` is the part that is
    being measured.
    """

    name: str
    model: nn.Module
    report: LoadReport
    batch_size: int = PORTION
    found: dict[str, Any] = field(default_factory=dict)
    part: Part | None = None

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return next((tensor.device for tensor in self.model.parameters()), torch.device("cpu"))

    def digest(self) -> str:
        """A short name for the weights: parts of another network are not taken for this one's."""
        found = hashlib.blake2b(digest_size=8)
        for name, tensor in self.model.state_dict().items():
            found.update(name.encode())
            found.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return found.hexdigest()


def name_of(path: str) -> str:
    """What a checkpoint is called in tables: its run's folder for a file that every run has, else its own stem."""
    file = Path(path)
    stem = file.name.removesuffix(".tar").removesuffix(file.suffix if file.is_file() else "")
    stem = stem.removesuffix(".pth").removesuffix(".safetensors")
    return file.parent.name if stem in ("last", "model_best", "backbone") else stem


def load_subjects(
    kind: Kind,
    subjects: Sequence[str] | Mapping[str, nn.Module | str],
    *,
    names: Sequence[str] = (),
    device: str = "auto",
    echo: Echo = lambda _: None,
    module: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[Subject]:
    """The networks, each with its own name; ``echo`` gets what the loader remarks on them.

    Args:
        kind: what is taken: ``classifiers``, ``encoders`` or ``masked models`` (with their reconstruction head).
        subjects: checkpoints, or name -> checkpoint or module; none: those that come with the package.
        names: one for each checkpoint; default: the names of their files.
        module: what is known of modules in memory: ``input_size``, ``mean``, ``std``; see ``report_of``.
        options: keywords of the loader.

    Raises:
        InputError: what the loader raises, or names that are not one for each checkpoint and all different.
    """
    if not isinstance(subjects, Mapping):
        paths = list(subjects) or list(SHIPPED[kind])
        subjects = dict(zip(_names(paths, names), paths, strict=True))
    load = load_masked_model if kind == "masked models" else load_encoder
    place = pick_device(device)
    found = []
    for name, one in subjects.items():
        if isinstance(one, nn.Module):
            found.append(Subject(name, one, report_of(name, one, **module or {})))
            continue
        model, report = load(one, **options)
        for remark in report.remarks():
            echo(f"{name}: {remark}")
        # NHWC is up to four times faster for convolutions on a CPU, and makes no difference elsewhere
        found.append(Subject(name, model.to(place).to(memory_format=torch.channels_last), report))
    return found


def _names(paths: Sequence[str], names: Sequence[str]) -> list[str]:
    if names and len(names) != len(paths):
        raise InputError(f"{len(names)} names given for {len(paths)} checkpoints")
    called = list(names) or [name_of(path) for path in paths]
    if len(set(called)) < len(called):
        called = [str(path) for path in paths]
    if len(set(called)) < len(called):
        raise InputError("the same checkpoint is given twice; give each a name with --name")
    return called


def report_of(
    name: str,
    model: nn.Module,
    input_size: Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> LoadReport:
    """What is known of a module in memory: given here, else from its timm configuration, and never guessed.

    Raises:
        InputError: a size, mean or standard deviation that neither the caller nor the module gives.
    """
    config: Mapping[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    size, mean, std = (
        given if given is not None else config.get(key)
        for key, given in (("input_size", input_size), ("mean", mean), ("std", std))
    )
    missing = [key for key, value in (("input_size", size), ("mean", mean), ("std", std)) if value is None]
    if size is None or mean is None or std is None:
        raise InputError(
            f"{name} does not say its {', '.join(missing)}; give them: input_size=(3, 224, 224), mean=..., std=..."
        )
    channels, height, width = (int(value) for value in size)
    given = next(iter(model.parameters()), torch.zeros(1))
    images = torch.zeros(1, channels, height, width, device=given.device, dtype=given.dtype)
    with torch.inference_mode(), eval_mode(model):
        logits = model(images)
    classes = logits.shape[1] if isinstance(logits, torch.Tensor) and logits.ndim == 2 else 0
    return LoadReport(
        path=name,
        format="module",
        kind="in memory",
        arch=type(model).__name__,
        model_args={},
        num_classes=classes,
        input_size=(channels, height, width),
        mean=tuple(mean),
        std=tuple(std),
        has_classifier=classes > 0,
        has_head=hasattr(model, "mask_token"),
        parameters=sum(tensor.numel() for tensor in model.parameters()),
        coverage=1.0,
        matched=tuple(model.state_dict()),
    )


def check_classifier(subject: Subject, source: ImageSource) -> None:
    """Raise InputError unless the model has a classifier and the images have labels that fit it."""
    if not subject.report.has_classifier:
        raise InputError(
            f"{subject.report.path} has no classifier; fine-tune it first: a2mim-finetune {subject.report.path}"
        )
    if not source.classes:
        raise InputError(f"{source.name} has no labels, and this analysis needs them: one sub-folder for each class")
    if isinstance(source, MappedSource):
        source.check(subject.report.num_classes, subject.name)
    elif len(source.classes) != subject.report.num_classes:
        raise InputError(
            f"{source.name} has {len(source.classes)} classes, {subject.name} has {subject.report.num_classes}"
            "; where the images are of some of its classes, say which: --class-map FILE (JSON, folder name -> number "
            "of the class), or --class-map imagenet-1k for folders named after synsets"
        )
