"""The one loader through which every analysis reads a network.

Every load is reported: ``load_encoder`` returns the model together with a ``LoadReport`` that says what was matched,
missing, unexpected, reshaped and dropped, and refuses a file that does not cover the encoder. The steps: ``reading``
reads the file, ``finding`` finds the encoder in it, ``planning`` says which architecture it is and gives its layers
timm's names, ``fitting`` puts them in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import timm
from torch import nn

from a2mim.checkpoint import fitting, planning
from a2mim.checkpoint.files.contents import Contents, Place
from a2mim.checkpoint.files.globs import fits
from a2mim.checkpoint.files.integrity import notes as integrity_notes
from a2mim.checkpoint.files.reading import State, read_checkpoint
from a2mim.checkpoint.files.storage import BACKBONE, BEST, LAST, resolve
from a2mim.checkpoint.formats.finding import CLASSIFIER, Found, find
from a2mim.checkpoint.formats.format import IMAGENET, look_up
from a2mim.checkpoint.formats.refusals import refuse_strangers
from a2mim.checkpoint.names.dialects import Translation
from a2mim.checkpoint.planning import Plan
from a2mim.checkpoint.report import LoadReport, percent, some
from a2mim.encoders.build import build_encoder, default_img_size
from a2mim.errors import InputError
from a2mim.model import MaskedImageModel, create_model

_RECONSTRUCTS = ("reconstruction head", "decoder")  # parts that turn features back into an image
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")  # of batch norms: no parameters


def load_encoder(
    path: str | os.PathLike[str],
    arch: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    *,
    num_classes: int | None = None,
    which: str | None = None,
    trust: bool = False,
    min_coverage: float = 1.0,
) -> tuple[nn.Module, LoadReport]:
    """The timm model in a checkpoint, in eval mode, and the report on how it was loaded.

    >>> model, report = load_encoder("fashion-vit-a2mim")  # a checkpoint that ships with the package
    >>> report.coverage, report.has_classifier
    (1.0, True)

    The weights of a file in float32 are not copied: they stay mapped to the file until they are changed. To replace a
    file in use, rename another file over it (as every command here does).

    Args:
        path: checkpoint file, folder (a run, Hugging Face, timm), or the name of a shipped checkpoint.
        arch: timm architecture. Default: what the file says, else what names and shapes tell. A file with the names
            and shapes of this architecture is loaded as it is.
        model_args: keywords for the architecture; ``img_size`` other than the file's resamples its position embedding.
        num_classes: outputs of the classifier. Default: the file's own classifier, or none. Another number than the
            file's gives a new random classifier, and the report lists the file's as dropped.
        which: the encoder to take from a file with several (teacher and student, model and EMA). Default: the one that
            the authors evaluate.
        trust: unpickle arbitrary objects (runs code from the file).
        min_coverage: refuse a file that covers less than this share of the encoder's parameters. At 1, a tensor that
            has no place in the encoder is refused too.

    Returns:
        ``(model, report)``.

    Raises:
        InputError: an unreadable file, an unknown or contradicted architecture, other shapes, too little coverage.
    """
    contents = _read(path, trust)
    found = _find(contents, which, arch, model_args)
    try:
        plan = planning.plan(contents, found, arch, model_args, partial=min_coverage < 1)
    except InputError as error:
        if str(contents.file) in str(error):
            raise
        raise InputError(f"{contents.file}: {error}") from error
    model, report = _build(contents, found, plan, num_classes)
    if reason := refusal(report, min_coverage):
        raise InputError(reason)
    return model.eval(), report


def load_masked_model(path: str | os.PathLike[str], *, trust: bool = False) -> tuple[MaskedImageModel, LoadReport]:
    """The whole pre-training model (encoder, mask token, reconstruction head) of one of our checkpoints, in eval mode.

    Raises:
        InputError: a file without our reconstruction head, or what ``load_encoder`` raises.
    """
    contents = _read(path, trust, prefer=(LAST, BEST, BACKBONE))
    found = find(contents)
    if "mim_args" not in contents.meta:
        kind = contents.meta.get("kind") or found.format.kind
        if kind == "pretrain" and "method" in contents.meta:  # ours, and whole
            raise InputError(f"{contents.file} has no reconstruction head: {contents.meta['method']} trains none")
        raise InputError(
            f"{contents.file} has no reconstruction head of a2mim (it holds: {kind}); "
            "give a checkpoint that a2mim-pretrain wrote"
        )
    plan = planning.plan(contents, found, None, None)
    model = create_model(plan.arch, model_args=plan.model_args, **contents.meta["mim_args"])
    state = contents.at(Place(contents.main or ""))
    fitted, _, missing = fitting.fit(model, state)
    odd = {*missing, *state.keys() - fitted.keys()}
    if odd:
        raise InputError(
            f"{contents.file} does not fit its own settings; missing or without a place: {some(sorted(odd))}"
        )
    fitting.assign(model, fitted)
    _, report = _build(contents, found, plan, None)
    model.eval()
    return model, report


def _read(path: str | os.PathLike[str], trust: bool, prefer: tuple[str, ...] = (BEST, LAST, BACKBONE)) -> Contents:
    file = resolve(path, prefer)
    contents = Contents.of(read_checkpoint(file, trust=trust), file)
    refuse_strangers(contents)
    return contents


def _find(contents: Contents, which: str | None, arch: str | None, model_args: Mapping[str, Any] | None) -> Found:
    """The encoder in a file; the names of a network that the caller or the file names help to find it."""
    named = arch or planning.said(contents.meta)
    own = planning.names_of(named, model_args) if named else ()
    landmarks = [name for name in own if not name.endswith(_STATISTICS)]
    try:
        return find(contents, which, landmarks=tuple(landmarks[:8]), own=frozenset(own))
    except InputError as error:
        raise InputError(f"{error}{'' if named or which else planning.suggestion(contents)}") from error


def _build(contents: Contents, found: Found, plan: Plan, num_classes: int | None) -> tuple[nn.Module, LoadReport]:
    """The model with the file's weights in it, and the report; every tensor of the file is accounted for by name."""
    heads = _classifiers(plan.arch)
    state, origin = _named_classifier(plan.translation, found, heads)
    in_file = {name: value for name, value in state.items() if name.startswith(heads)}
    classes_in_file = next(
        (value.shape[0] for name, value in in_file.items() if name.endswith("weight") and value.ndim), 0
    )
    classes = classes_in_file if num_classes is None else num_classes
    parts = dict(found.dropped)
    if classes != classes_in_file and in_file:
        parts["classifier"] = tuple(origin.get(name, name) for name in in_file)
        state = {name: value for name, value in state.items() if name not in in_file}
    with fitting.without_weights():
        model, args = build_encoder(plan.arch, plan.model_args, num_classes=classes)
    try:
        resample = fitting.resampling(found.format.name, plan.names, [*found.state, *found.aside])
        fitted, reshaped, missing = fitting.fit(model, state, resample)
    except InputError as error:
        raise InputError(f"{contents.file} as {plan.arch}: {error}") from error
    if set(missing) & dict(model.named_parameters()).keys():  # what the file lacks needs random weights after all
        model, _ = build_encoder(plan.arch, args, num_classes=classes)
    fitting.assign(model, fitted)
    if "pos_embed" in reshaped and resample != fitting.TIMM:
        plan.notes += ("position embedding resampled without antialiasing, as the codebase of the file does it",)
    for why in set(plan.translation.ignored.values()):
        parts[why] = tuple(found.origin[name] for name, reason in plan.translation.ignored.items() if reason == why)
    report = _report(
        contents,
        found,
        plan,
        model,
        model_args=args,
        num_classes=classes,
        parts=parts,
        matched=tuple(fitted),
        reshaped=reshaped,
        missing=tuple(name for name in missing if not name.startswith(heads) or classes == classes_in_file),
        unexpected=tuple(origin.get(name, name) for name in state if name not in fitted),
    )
    timm_model: Any = model
    timm_model.default_cfg = timm_model.pretrained_cfg = {  # what timm's transforms look at
        **timm_model.default_cfg,
        "mean": report.mean,
        "std": report.std,
        "input_size": report.input_size,
        "num_classes": classes,
    }
    return model, report


def _report(contents: Contents, found: Found, plan: Plan, model: Any, **known: Any) -> LoadReport:
    meta, hints, notes = contents.meta, plan.hints, [*plan.notes, *integrity_notes(contents.file)]
    eps = hints.get("eps")
    eps = eps if isinstance(eps, Mapping) or eps is None else {"*": eps}
    notes += [f"LayerNorm with eps {value:g}, as the file says" for value in _set_eps(model, eps or {})]
    if fitting.untrained(model, dict.fromkeys(known["matched"])):
        notes.append("these weights look untrained: no batch norm has seen an image (means 0, variances 1 throughout)")
    heads = _classifiers(plan.arch)
    sizes = {name: value.numel() for name, value in model.named_parameters() if not name.startswith(heads)}
    matched = set(known["matched"])
    mean, std = (_numbers(meta.get(key)) or hints.get(key) for key in ("mean", "std"))
    if not mean or not std:
        mean, std = found.format.normalisation or (model.default_cfg["mean"], model.default_cfg["std"])
        if plan.assumed and found.format.normalisation is None:
            mean, std = IMAGENET
            notes.append("mean and std of ImageNet: the file does not say how its images were normalised")
    if "input_size" in hints:  # of a network for images of any size
        model.default_cfg = {**model.default_cfg, "input_size": tuple(hints["input_size"])}
    return LoadReport(
        path=str(contents.file),
        format=found.format.name,
        kind=str(meta.get("kind") or found.format.kind),
        arch=plan.arch,
        names=plan.names,
        which=found.which,
        choices=found.choices,
        input_size=_size(meta.get("input_size")) or (_channels(model), *default_img_size(model)),
        mean=tuple(mean),
        std=tuple(std),
        has_classifier=any(name.startswith(heads) for name in matched),
        has_head=any(part in _RECONSTRUCTS for part in known["parts"]),
        parameters=sum(sizes.values()),
        coverage=sum(size for name, size in sizes.items() if name in matched) / max(1, sum(sizes.values())),
        classes=tuple(_listed(meta.get("classes")) or hints.get("classes") or ()),
        epoch=_epoch(meta),
        args=meta["args"] if isinstance(meta.get("args"), dict) else {},
        notes=tuple(notes),
        **known,
    )


def refusal(report: LoadReport, min_coverage: float = 1.0) -> str:
    """One line that says why a file does not give a whole network, with the likeliest cause; empty if it does."""
    gaps = [name for name in report.missing if not name.endswith("num_batches_tracked")]  # a counter that no one reads
    whole = min_coverage == 1
    if report.coverage < min_coverage or (whole and gaps):
        stray = f"; without a place {some(report.unexpected)}" if report.unexpected else ""
        wrong = "is it the right architecture, or another encoder of the file (--which)?"
        covers = f"covers {percent(report.coverage)} of {report.arch}, {min_coverage:.0%} is asked for; missing"
        lacks = covers if report.coverage < min_coverage else f"is not all of a {report.arch}: missing"
        return f"{report.path} {lacks} {some(gaps)}{stray} ({wrong if stray else 'is the file whole?'})"
    if whole and report.unexpected:
        return (
            f"{report.path} holds {len(report.unexpected)} tensors that {report.arch} has no place for: "
            f"{some(report.unexpected)}; without them it would be another network"
        )
    return ""


def _named_classifier(translation: Translation, found: Found, heads: tuple[str, ...]) -> tuple[State, dict[str, str]]:
    """Tensors by timm's names with the classifier under its own, and the names in the file that each came from."""
    home = {
        name: name.replace(f"{CLASSIFIER}.", heads[0], 1) if name.startswith(CLASSIFIER) else name
        for name in translation.state
    }
    state = {home[name]: value for name, value in translation.state.items()}
    origin = {
        home.get(name, name): " + ".join(found.origin.get(short, short) for short in names)
        for name, names in translation.origin.items()
    }
    return state, origin


def _classifiers(arch: str) -> tuple[str, ...]:
    """Prefixes of the classifier's parameters in a timm architecture."""
    config = timm.get_pretrained_cfg(arch) or timm.get_pretrained_cfg(arch.split(".")[0])
    names = (config and config.classifier) or "\0"
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def _set_eps(model: nn.Module, eps: Mapping[str, float]) -> tuple[float, ...]:
    """Give every LayerNorm the eps of the first glob that fits its name; those that were not timm's."""
    changed = set()
    for name, norm in model.named_modules():
        value = next((value for glob, value in eps.items() if fits(name, (glob,))), None)
        if isinstance(norm, nn.LayerNorm) and value is not None and norm.eps != value:
            norm.eps = value
            changed.add(value)
    return tuple(sorted(changed))


def _listed(value: Any) -> tuple[Any, ...]:
    """A list that stands beside the weights; empty where others keep something else under its name."""
    return tuple(value) if isinstance(value, list | tuple) else ()


def _numbers(value: Any) -> tuple[float, ...]:
    found = _listed(value)
    return found if all(isinstance(number, int | float) for number in found) else ()


def _size(value: Any) -> tuple[int, int, int] | None:
    found = _listed(value)
    return found if len(found) == 3 and all(isinstance(number, int) for number in found) else None


def _channels(model: nn.Module) -> int:
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return first.in_channels if first is not None else 3


def _epoch(meta: Mapping[str, Any]) -> int | None:
    found = next((look_up(meta, key) for key in ("epoch", "meta.epoch") if look_up(meta, key) is not None), None)
    return found if isinstance(found, int) and not isinstance(found, bool) else None
