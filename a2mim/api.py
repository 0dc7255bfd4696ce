"""``a2mim.pretrain`` and ``a2mim.finetune``: the two training commands as functions with named settings."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pandas as pd

from a2mim import pretraining, recipes
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings, PretrainSettings, TrainSettings
from a2mim.training import finetuning
from a2mim.training.runs import Run

F = TypeVar("F", bound=Callable[..., Any])


class Trained(NamedTuple):
    """A finished run.

    Args:
        path: its folder, which ``load_encoder``, ``finetune`` and every analysis take.
        summary: one row per epoch, as in summary.csv.
    """

    path: Path
    summary: pd.DataFrame


def _with_settings(kind: type[TrainSettings]) -> Callable[[F], F]:
    """Show the fields of a settings class, with types and defaults, as named arguments of a function (``help``)."""

    def decorate(function: F) -> F:
        signature, hints = inspect.signature(function), typing.get_type_hints(kind)
        named = [entry for entry in signature.parameters.values() if entry.kind is not entry.VAR_KEYWORD]
        taken = {entry.name for entry in named}
        for entry in dataclasses.fields(kind):
            if entry.name not in taken:
                shown = {"default": _default(entry), "annotation": hints[entry.name]}
                named.append(inspect.Parameter(entry.name, inspect.Parameter.KEYWORD_ONLY, **shown))
        function.__signature__ = signature.replace(parameters=named)  # type: ignore[attr-defined]
        meanings = "".join(f"\n        {entry.name}: {entry.metadata['help']}" for entry in dataclasses.fields(kind))
        function.__doc__ = (function.__doc__ or "") + f"\n    Settings:{meanings}\n"
        return function

    return decorate


def _default(entry: dataclasses.Field[Any]) -> Any:
    return None if entry.default is dataclasses.MISSING else entry.default


@_with_settings(PretrainSettings)
def pretrain(
    recipe: str | None = None,
    *,
    output: str | Path = "runs",
    experiment: str = "pretrain",
    resume: str | Path | None = None,
    echo: Callable[[str], None] = print,
    **settings: Any,
) -> Trained:
    """Pre-train an encoder without labels, as ``a2mim-pretrain`` does (arXiv:2205.13943, and its rivals by ``method``).

    Args:
        recipe: name of a preset or path of a YAML file. Without a recipe, ``model``, ``dataset`` and ``data_dir``:
            fashion-vit, a small ViT on the embedded images.
        output, experiment: the run's folder is ``output/experiment``, with a number if that exists.
        resume: folder of a run to continue.
        echo: receives the lines that say what happens.
        settings: any field of ``PretrainSettings`` by name; they override the recipe.

    Returns:
        The run: ``path`` and ``summary``.

    Raises:
        InputError: a recipe or settings that cannot be used.
        RunError, OSError: the run had to end; what it saved is intact.

    Examples:
        >>> import tempfile
        >>> import a2mim
        >>> options = dict(limit=64, batch_size=32, epochs=1, warmup_epochs=0, workers=0, echo=lambda line: None)
        >>> run = a2mim.pretrain("fashion-vit", output=tempfile.mkdtemp(), **options)  # doctest: +ELLIPSIS
        epoch 1/1  loss ...
        >>> run.summary.epoch.tolist()
        [1]
        >>> encoder, report = a2mim.load_encoder(run.path)
        >>> report.arch
        'vit_tiny_patch16_224'
    """
    begun = None if resume is None else Path(resume)
    name = recipe or (None if begun else recipes.default(PretrainSettings, settings))
    resolved = recipes.resolve(PretrainSettings, name, begun, settings, echo)
    run = pretraining.pretrain(
        resolved, output=output, experiment=experiment, resume=begun, echo=echo, recipe=name or ""
    )
    return _trained(run)


@_with_settings(FinetuneSettings)
def finetune(
    checkpoint: str | Path | None = None,
    recipe: str | None = None,
    *,
    output: str | Path = "runs",
    experiment: str = "finetune",
    resume: str | Path | None = None,
    which: str | None = None,
    trust: bool = False,
    echo: Callable[[str], None] = print,
    **settings: Any,
) -> Trained:
    """Train a classifier on a checkpoint, or from scratch, as ``a2mim-finetune`` does.

    Args:
        checkpoint: file, run folder or shipped name; None trains ``model`` from scratch.
        recipe: name of a preset or path of a YAML file. Without one: on the embedded images fashion-finetune, or
            fashion-linear with ``linear``; on other images the defaults, or linear-moco with ``linear``.
        output, experiment: the run's folder is ``output/experiment``, with a number if that exists.
        resume: folder of a run to continue.
        which, trust: as in ``a2mim.load_encoder``.
        echo: receives the lines that say what happens.
        settings: any field of ``FinetuneSettings`` by name; they override the recipe.

    Returns:
        The run: ``path`` and ``summary``, with the accuracies of each epoch (top1, top5, %).

    Raises:
        InputError: a recipe, settings or a checkpoint that cannot be used.
        RunError, OSError: the run had to end; what it saved is intact.

    Examples:
        >>> import tempfile
        >>> import a2mim
        >>> network = dict(model="resnet10t", model_args=dict(channels=[8, 16, 24, 32], stem_width=4), img_size=32)
        >>> options = dict(limit=64, batch_size=32, epochs=1, warmup_epochs=0, workers=0, echo=lambda line: None)
        >>> run = a2mim.finetune(output=tempfile.mkdtemp(), **network, **options)  # doctest: +ELLIPSIS
        epoch 1/1  loss ...
        >>> run.summary.top1.between(0, 100).all().item()
        True
    """
    if settings.get("knn"):
        raise InputError("knn trains nothing: call a2mim.training.knn.nearest_neighbours, or a2mim-finetune --knn")
    begun = None if resume is None else Path(resume)
    name = recipe or (None if begun else recipes.default(FinetuneSettings, settings))
    resolved = recipes.resolve(FinetuneSettings, name, begun, settings, echo)
    run = finetuning.finetune(
        resolved,
        checkpoint,
        output=output,
        experiment=experiment,
        resume=begun,
        which=which,
        trust=trust,
        echo=echo,
        recipe=name or "",
    )
    return _trained(run)


def _trained(run: Run) -> Trained:
    """The run with its table; in processes that do not write the table may be empty."""
    file = run.path / "summary.csv"
    return Trained(run.path, pd.read_csv(file) if file.is_file() else pd.DataFrame())
