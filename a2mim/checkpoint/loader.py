"""Checkpoints: what a run writes, and the one loader through which every analysis reads a network.

Nothing is loaded in silence: ``load_encoder`` returns the model together with a ``LoadReport`` that says what was
matched, missing, unexpected and dropped, and refuses a file that does not cover the encoder. Files are read with
``weights_only=True`` (or as safetensors), so that bytes from strangers run no code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from a2mim.checkpoint.storage import BACKBONE, BEST, LAST, State, read_checkpoint, resolve
from a2mim.encoders import build_encoder, default_img_size
from a2mim.errors import InputError
from a2mim.model import MaskedImageModel, create_model


@dataclass(frozen=True)
class LoadReport:
    """What the loader found in a file, and what became of it; ``str()`` is what ``a2mim-checkpoint inspect`` prints.

    ``coverage`` is the share, 0 to 1, of the encoder's parameters (classifier left out) that got a value from the file.
    The lists hold names of tensors: ``missing`` in the model but not in the file, ``unexpected`` in it but with no
    place, ``reshaped`` fitted to another shape, ``dropped`` left out on purpose (decoder, other classifier).
    """

    path: str
    format: str
    kind: str
    arch: str
    model_args: dict[str, Any]
    num_classes: int
    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    has_classifier: bool
    has_head: bool
    parameters: int
    coverage: float
    matched: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    reshaped: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    epoch: int | None = None
    args: dict[str, Any] = field(default_factory=dict)  # settings of the run that wrote the file, where it says them

    def __str__(self) -> str:
        size = "x".join(map(str, self.input_size))
        args = ", ".join(f"{key}={value}" for key, value in self.model_args.items())
        rows = [
            ("file", self.path),
            ("format", f"{self.format}, {self.kind}" + ("" if self.epoch is None else f", epoch {self.epoch}")),
            ("architecture", f"{self.arch}({args}), {self.parameters / 1e6:.2f} million parameters"),
            ("input", f"{size}, mean {_numbers(self.mean)}, std {_numbers(self.std)}"),
            ("classifier", f"{self.num_classes} classes" if self.has_classifier else "none"),
            ("reconstruction head", "yes" if self.has_head else "none"),
            ("coverage", f"{self.coverage:.1%} of the encoder's parameters, {len(self.matched)} tensors matched"),
        ]
        for label in ("missing", "unexpected", "reshaped", "dropped"):
            names = getattr(self, label)
            rows.append((label, f"{len(names)} ({_some(names)})" if names else "0"))
        return "\n".join(f"{label + ':':<21}{text}" for label, text in rows)


@dataclass
class _Contents:
    """A file's weights, by the encoder's own names, and what the file says about them."""

    format: str
    encoder: State
    meta: Mapping[str, Any] = field(default_factory=dict)
    extra: State = field(default_factory=dict)  # reconstruction head, mask token
    file: Path = Path()

    @property
    def kind(self) -> str:
        return str(self.meta.get("kind") or "weights")

    def architecture(self, arch: str | None, model_args: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
        """The architecture that the file and the caller agree on."""
        said = self.meta.get("arch")
        if arch and said and arch != said:
            raise InputError(f"{self.file} holds a {said}, not the {arch} that was asked for")
        if not (arch or said):
            raise InputError(f"{self.file} does not name its architecture; give the timm name with --model (arch=...)")
        said_args = dict(self.meta.get("model_args") or {})
        said_args.pop("num_classes", None)
        for key, value in (model_args or {}).items():
            if key in said_args and said_args[key] != value:
                raise InputError(f"{self.file} was built with {key}={said_args[key]}, not {key}={value}")
        return str(arch or said), {**said_args, **(model_args or {})}


# --- loading ----------------------------------------------------------------------------------------------------------


def load_encoder(
    path: str | os.PathLike[str],
    arch: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    *,
    num_classes: int | None = None,
    trust: bool = False,
    min_coverage: float = 1.0,
) -> tuple[nn.Module, LoadReport]:
    """The timm model in a checkpoint, in eval mode, and the report on how it was loaded.

    Args:
        path: checkpoint file, run folder, or the name of a shipped checkpoint.
        arch: timm architecture; needed when the file does not name it, an error when it names another.
        model_args: keywords for the architecture, likewise.
        num_classes: outputs of the classifier. Default: the file's own classifier, or none. Another number than the
            file's gives a new random classifier, and the report lists the file's as dropped.
        trust: unpickle arbitrary objects (runs code from the file).
        min_coverage: refuse a file that covers less than this share of the encoder's parameters.

    Returns:
        ``(model, report)``.

    Raises:
        InputError: an unreadable file, an unknown or contradicted architecture, other shapes, too little coverage.
    """
    contents = _read_contents(resolve(path), trust)
    arch, args = contents.architecture(arch, model_args)
    model, args = build_encoder(arch, args)
    classifier = _classifier_names(model)
    in_file = {name: value for name, value in contents.encoder.items() if name.startswith(classifier)}
    classes_in_file = next((value.shape[0] for name, value in in_file.items() if name.endswith("weight")), 0)
    classes = classes_in_file if num_classes is None else num_classes
    if classes:
        model, _ = build_encoder(arch, args, num_classes=classes)
    dropped = tuple(contents.extra) + (tuple(in_file) if classes != classes_in_file else ())
    state = {name: value for name, value in contents.encoder.items() if name not in dropped}
    report = _fill(model, state, contents, arch=arch, model_args=args, num_classes=classes, dropped=dropped)
    gaps = [name for name in report.missing if not name.endswith("num_batches_tracked")]  # a counter that no one reads
    if report.coverage < min_coverage or (gaps and min_coverage == 1):
        stray = f"; without a place {_some(report.unexpected)}" if report.unexpected else ""
        raise InputError(
            f"{contents.file} covers {report.coverage:.1%} of {arch}, {min_coverage:.0%} is asked for; "
            f"missing {_some(tuple(gaps))}{stray} (is it the right architecture?)"
        )
    return model.eval(), report


def load_masked_model(path: str | os.PathLike[str], *, trust: bool = False) -> tuple[MaskedImageModel, LoadReport]:
    """The whole pre-training model (encoder, mask token, reconstruction head) of one of our checkpoints, in eval mode.

    Raises:
        InputError: a file without a reconstruction head, or what ``load_encoder`` raises.
    """
    contents = _read_contents(resolve(path, prefer=(LAST, BEST, BACKBONE)), trust)
    if not contents.extra:
        raise InputError(
            f"{contents.file} has no reconstruction head (it holds: {contents.kind}); "
            "give a checkpoint that a2mim-pretrain wrote"
        )
    arch, args = contents.architecture(None, None)
    model = create_model(arch, model_args=args, **contents.meta["mim_args"])
    state = {f"encoder.{name}": value for name, value in contents.encoder.items()} | contents.extra
    report = _fill(model, state, contents, arch=arch, model_args=model.model_args)
    if report.missing or report.unexpected:
        odd = _some(report.missing + report.unexpected)
        raise InputError(f"{contents.file} does not fit its own settings; missing or without a place: {odd}")
    model.eval()
    return model, report


def _fill(
    model: nn.Module, state: State, contents: _Contents, *, num_classes: int = 0, dropped: tuple[str, ...] = (), **known
) -> LoadReport:
    """Copy ``state`` into ``model`` and report; every tensor is accounted for by name."""
    own = model.state_dict()
    matched = [name for name in state if name in own]
    for name in matched:
        if state[name].shape != own[name].shape:
            raise InputError(
                f"{contents.file}: '{name}' has shape {tuple(state[name].shape)}, "
                f"{known['arch']} has {tuple(own[name].shape)}"
            )
    model.load_state_dict({**own, **{name: state[name] for name in matched}}, strict=True)
    encoder: Any = getattr(model, "encoder", model)
    classifier = _classifier_names(encoder)
    sizes = {name: value.numel() for name, value in model.named_parameters() if not name.startswith(classifier)}
    meta = contents.meta
    return LoadReport(
        path=str(contents.file),
        format=contents.format,
        kind=contents.kind,
        num_classes=num_classes,
        input_size=tuple(meta.get("input_size") or (3, *default_img_size(encoder))),
        mean=tuple(meta.get("mean") or encoder.default_cfg["mean"]),
        std=tuple(meta.get("std") or encoder.default_cfg["std"]),
        has_classifier=any(name.startswith(classifier) for name in matched),
        has_head=bool(contents.extra),
        parameters=sum(sizes.values()),
        coverage=sum(size for name, size in sizes.items() if name in state) / max(1, sum(sizes.values())),
        matched=tuple(matched),
        missing=tuple(name for name in own if name not in state and not name.startswith(classifier)),
        unexpected=tuple(name for name in state if name not in own),
        dropped=dropped,
        classes=tuple(meta.get("classes") or ()),
        epoch=meta.get("epoch"),
        args=dict(meta.get("args") or {}),
        **known,
    )


# --- formats: how a file is recognised and where its weights lie; the first that fits is taken ------------------------


def _own_pretraining(checkpoint: Mapping[str, Any]) -> _Contents | None:
    if checkpoint.get("kind") != "pretrain":
        return None
    state = checkpoint["state_dict"]
    extra = {name: value for name, value in state.items() if not name.startswith("encoder.")}
    return _Contents("a2mim", _under(state, "encoder."), checkpoint, extra)


def _own_finetuning(checkpoint: Mapping[str, Any]) -> _Contents | None:
    if checkpoint.get("kind") not in ("finetune", "encoder"):
        return None
    return _Contents("a2mim", checkpoint["state_dict"], checkpoint)


def _plain_timm(checkpoint: Mapping[str, Any]) -> _Contents | None:
    state = checkpoint.get("state_dict", checkpoint)
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        return None
    return _Contents("timm", dict(state), {} if state is checkpoint else checkpoint)


FORMATS: tuple[Callable[[Mapping[str, Any]], _Contents | None], ...] = (_own_pretraining, _own_finetuning, _plain_timm)


def _read_contents(file: Path, trust: bool) -> _Contents:
    checkpoint = read_checkpoint(file, trust=trust)
    for recognise in FORMATS:
        contents = recognise(checkpoint)
        if contents is not None:
            contents.file = file
            return contents
    raise InputError(f"{file} holds no weights that are known here; its keys: {_some(tuple(map(str, checkpoint)))}")


# --- small things -----------------------------------------------------------------------------------------------------


def _classifier_names(model: Any) -> tuple[str, ...]:
    """Prefixes of the classifier's parameters in a timm model."""
    names = model.default_cfg.get("classifier") or "\0"
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _under(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _some(names: tuple[str, ...], limit: int = 4) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "") or "none"


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
