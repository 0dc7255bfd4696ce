"""Optimiser and schedule from timm's factories, with the paper's exclusions from weight decay."""

from __future__ import annotations

import re
from typing import Any

import timm.optim
import timm.scheduler
import torch
from torch import nn

from a2mim.errors import InputError
from a2mim.settings import TrainSettings

# parameters that the authors' code does not decay, by name; the second pattern is for their ViTs only.
# Batch norms called "downsample.1" do not match, so that code decays them.
OFFICIAL_UNDECAYED = r"(bn|ln|gn)(\d+)?\.(weight|bias)|bias|mask_token"
OFFICIAL_UNDECAYED_VIT = rf"{OFFICIAL_UNDECAYED}|norm|pos_embed|cls_token|gamma"


def create_optimizer(
    model: nn.Module,
    settings: TrainSettings,
    lr: float,
    *,
    lr_scales: dict[str, float] | None = None,
    decays: dict[str, bool] | None = None,
    layer_decay: float | None = None,
) -> torch.optim.Optimizer:
    """The optimiser of a run.

    Vectors (biases, norms, mask token, gamma) and the names in the model's ``no_weight_decay()`` (position embeddings,
    class tokens) have no weight decay; with ``settings.no_decay`` "official", the names in the authors' code instead.

    Args:
        lr_scales: learning rate of single parameters, by name, relative to ``lr``.
        decays: whether single parameters have weight decay, by name; overrides the rule.
        layer_decay: learning rate of each layer relative to the one above it (timm's groups).

    Raises:
        InputError: an optimiser that timm does not know.
    """
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    undecayed = _undecayed(model, trained, settings.no_decay)
    for name, decay in (decays or {}).items():
        (undecayed.discard if decay else undecayed.add)(name)
    if layer_decay is not None:
        groups = timm.optim.param_groups_layer_decay(
            model, settings.weight_decay, undecayed, weight_decay_exclude_1d=False, layer_decay=layer_decay
        )
    else:
        groups = _groups(trained, undecayed, settings.weight_decay, lr_scales or {})
    try:
        return timm.optim.create_optimizer_v2(
            groups,
            opt=settings.opt,
            lr=lr,
            weight_decay=0.0,
            momentum=settings.momentum,
            filter_bias_and_bn=False,
            **_options(model, settings),
        )
    except (ValueError, AssertionError, RuntimeError, TypeError) as error:
        raise InputError(f"optimiser '{settings.opt}' cannot be created: {error}") from error


def create_scheduler(optimizer: torch.optim.Optimizer, settings: TrainSettings, updates_per_epoch: int) -> Any:
    """timm's scheduler, stepped by updates: linear warm-up, then ``settings.sched`` down to ``min_lr`` at the last one.

    Milestones count from the start of the run, warm-up included, and the first update of a milestone's epoch is the
    first with the lower rate (timm lowers it one update earlier).

    Raises:
        InputError: an unknown schedule, or a warm-up that is not shorter than the run.
    """
    if settings.warmup_epochs >= settings.epochs:
        raise InputError(
            f"--warmup-epochs {settings.warmup_epochs:g} must be smaller than --epochs {settings.epochs}; "
            "fractions such as 0.5 are allowed"
        )
    warmup = round(settings.warmup_epochs * updates_per_epoch) / updates_per_epoch  # whole updates
    steps: dict[str, Any] = {"decay_rate": settings.decay_rate}
    if settings.decay_epochs is not None:
        steps["decay_epochs"] = settings.decay_epochs
    if settings.sched == "multistep":
        steps["decay_milestones"] = [epoch + 0.5 / updates_per_epoch for epoch in sorted(settings.decay_milestones)]
    prefix = settings.sched not in ("step", "multistep")
    try:
        scheduler, _ = timm.scheduler.create_scheduler_v2(
            optimizer,
            sched=settings.sched,
            num_epochs=settings.epochs - warmup if prefix else settings.epochs,  # type: ignore[arg-type]
            warmup_epochs=warmup,  # type: ignore[arg-type]
            warmup_lr=settings.warmup_lr,
            warmup_prefix=prefix,
            min_lr=settings.min_lr,
            step_on_epochs=False,
            updates_per_epoch=updates_per_epoch,
            **steps,
        )
    except (ValueError, AssertionError, TypeError) as error:
        raise InputError(f"schedule '{settings.sched}' cannot be created: {error}") from error
    if scheduler is None:
        raise InputError(f"timm has no schedule '{settings.sched}'; it has cosine, tanh, step, multistep, poly, ...")
    return scheduler


def _groups(
    trained: list[tuple[str, nn.Parameter]], undecayed: set[str], decay: float, lr_scales: dict[str, float]
) -> list[dict[str, Any]]:
    """Parameter groups by weight decay and scale of the learning rate."""
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in trained:
        key = (0.0 if name in undecayed else decay, lr_scales.get(name, 1.0))
        group = groups.setdefault(key, {"params": [], "weight_decay": key[0], "lr_scale": key[1]})
        group["params"].append(parameter)
    return list(groups.values())


def _undecayed(model: nn.Module, trained: list[tuple[str, nn.Parameter]], rule: str) -> set[str]:
    """Full names of the parameters without weight decay."""
    if rule == "official":
        vit = any(name.endswith(("pos_embed", "cls_token")) for name, _ in trained)
        pattern = re.compile(OFFICIAL_UNDECAYED_VIT if vit else OFFICIAL_UNDECAYED)
        return {name for name, _ in trained if pattern.search(name)}
    if rule == "none":
        return set()
    names = {name for name, parameter in trained if parameter.ndim <= 1 or name.endswith(".bias")}
    for prefix, module in (("", model), ("encoder.", getattr(model, "encoder", None))):
        if hasattr(module, "no_weight_decay"):
            names |= {prefix + name for name in module.no_weight_decay()}  # type: ignore[union-attr, operator]
    return names


def _options(model: nn.Module, settings: TrainSettings) -> dict[str, Any]:
    """Arguments that only some optimisers take."""
    options: dict[str, Any] = {} if settings.opt_eps is None else {"eps": settings.opt_eps}
    name, device = settings.opt.lower(), next(model.parameters()).device.type
    if any(part in name for part in ("adam", "lamb", "lion", "adan")):
        options["betas"] = tuple(settings.opt_betas)
    if name in ("adam", "adamw") and device in ("cpu", "cuda"):
        options["fused"] = (
            True  # one pass over all weights: the plain update takes a tenth of a step of a small network
        )
    return options
