"""Which architecture a set of weights is: its sizes, compared with those of the nearest timm architecture.

The same function (``families``) that reads sizes from the shapes of a file reads them from those of a named timm
architecture; the difference is ``model_args``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from a2mim.checkpoint.families import Keywords
from a2mim.checkpoint.fitting import without_weights
from a2mim.checkpoint.more_families import FAMILIES
from a2mim.encoders.build import build_encoder
from a2mim.errors import InputError


@dataclass(frozen=True)
class Architecture:
    """A timm architecture, and what was assumed to name it."""

    arch: str
    model_args: Keywords
    notes: tuple[str, ...] = ()


def infer(
    family: str,
    state: Mapping[str, torch.Tensor],
    hints: Mapping[str, Any],
    *,
    arch: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    sizes: str = "agree",
) -> Architecture:
    """The timm architecture whose weights these are.

    Args:
        family: key of ``FAMILIES``.
        state: tensors by timm's names.
        hints: what the file or the codebase says beside the shapes.
        arch, model_args: what was asked for; ``model_args`` win over what the shapes say where the weights allow it.
        sizes: when the shapes say other sizes than ``arch``: "agree" makes that an error (a caller named it), "file"
            puts them into ``model_args`` (the file named it, and was trained with other keywords), "given" keeps those
            of ``arch`` (only a part of it is expected in the file).

    Raises:
        InputError: shapes that fit no network of the family, or contradict what was asked for.
    """
    notes: list[str] = []
    kind = FAMILIES[family]
    given = dict(model_args or {})
    try:
        held = kind.describe({name: value.shape for name, value in state.items()}, {**hints, **given}, notes)
    except (KeyError, IndexError, TypeError, ValueError, ZeroDivisionError) as error:
        if isinstance(error, InputError):
            raise
        what = f"no tensor {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"the file's layers are named as in a {family}, but their shapes do not fit one: {what}"
        ) from error
    chosen = arch or kind.name(held)
    named = _named(chosen, family, tuple(sorted((key, _frozen(value)) for key, value in given.items())))
    if sizes == "file" and arch and (named is None or _of_another_kind(held, named)):
        return infer(family, state, hints, model_args=given)  # the file's name for another network of its project
    if named is None:
        raise InputError(
            f"the file holds a {kind.name(held)}-like network ({_words(held, kind.sizes)}), not the {chosen} asked for"
        )
    differ = {key: value for key, value in held.items() if not _equal(value, {**named, **given}.get(key))}
    wrong = [key for key in kind.sizes if key in differ]
    if sizes == "given":
        wrong = [key for key in wrong if not _is_part(key, held[key], {**named, **given}.get(key))]
    if sizes in ("agree", "given") or _of_another_kind(held, named) or (sizes == "file" and given.keys() & set(wrong)):
        if arch is None:
            wrong = [key for key in wrong if key in given]
        if wrong:
            nearest = "" if arch is None or kind.name(held) == arch else f" (nearest to the file: {kind.name(held)})"
            raise InputError(f"the file holds {_words(held, wrong)}, not {_words({**named, **given}, wrong)}{nearest}")
    if "global_pool" in differ and "fc_norm" in held:  # timm has another default for each way of pooling
        differ["fc_norm"] = held["fc_norm"]
    kept = {*given, *(kind.sizes if sizes == "given" else ())}
    differ = {key: value for key, value in differ.items() if key not in kept}
    return Architecture(chosen, {**differ, **given}, tuple(notes))


def _is_part(key: str, held: Any, whole: Any) -> bool:
    """Whether the file may hold the first part of a network: fewer blocks, or fewer stages."""
    if key == "depth":
        return bool(held < whole)
    if isinstance(held, list) and isinstance(whole, list | tuple) and len(held) <= len(whole):
        pairs = zip(held, whole, strict=False)
        return all(one <= other if key in ("depths", "layers") else one == other for one, other in pairs)
    return False


def _of_another_kind(held: Keywords, named: Keywords) -> bool:
    """Whether networks differ in what timm has other names for, and no keyword."""
    return any(held.get(key) != named.get(key) for key in ("bottleneck", "distilled", "swiglu", "network"))


@functools.lru_cache(maxsize=64)
def _named(arch: str, family: str, given: tuple[tuple[str, Any], ...]) -> Keywords | None:
    """The keywords that an architecture of timm stands for; None when it is of another family."""
    with without_weights():
        model, _ = build_encoder(arch, {key: value for key, value in given if key != "num_classes"})
    hints = {**dict(given), **hints_of(model), "named": True}
    try:
        return FAMILIES[family].describe({name: value.shape for name, value in model.state_dict().items()}, hints, [])
    except (InputError, KeyError):
        return None


def hints_of(model: nn.Module) -> dict[str, Any]:
    """What a timm model says about itself that the shapes of its tensors do not show."""
    heads = [module.num_heads for module in model.modules() if hasattr(module, "num_heads")]
    return {"num_heads": heads[0] if heads else None, "global_pool": getattr(model, "global_pool", None)}


def _equal(one: Any, other: Any) -> bool:
    as_list = lambda value: list(value) if isinstance(value, (list, tuple)) else value  # noqa: E731
    return as_list(one) == as_list(other)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _words(found: Mapping[str, Any], keys: Any) -> str:
    return ", ".join(f"{key}={found.get(key)}" for key in keys)
