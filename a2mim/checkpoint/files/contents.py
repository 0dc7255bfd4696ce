"""What a file holds: its groups of tensors ("state_dict", "teacher", ...) without wrappers' prefixes, and the rest."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from a2mim.checkpoint.files.globs import any_fits
from a2mim.checkpoint.files.reading import State
from a2mim.errors import InputError

# components that torch's wrappers put into names: DDP, torch.compile, FSDP, activation checkpointing
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
# groups whose tensors are not weights
_NOT_WEIGHTS = (
    "optim",
    "scaler",
    "amp",
    "sched",
    "message_hub",
    "rng",
    "loss",
    "callbacks",
    "sampler",
    "best_acc",
    "grad_",
)
# where the weights lie when a file has several groups; an EMA copy is never taken for the main group
_MAIN = ("", "state_dict", "model", "model_state_dict", "model_state", "module", "network", "net", "weights", "params")
_EMA = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
_GROUPS = 2000  # dictionaries with tensors; a checkpoint of a network has fewer
_DEPTH = 6  # of dictionaries within dictionaries; VISSL has four


@dataclass(frozen=True)
class Place:
    """Where a network lies in a file: the group of tensors, and what their names begin with."""

    group: str
    prefix: str = ""

    def holds(self, group: str, name: str) -> bool:
        return group == self.group and name.startswith(self.prefix)


@dataclass
class Contents:
    """The tensors of a file by group, and everything else that it says.

    ``groups`` maps a path of keys, joined by "/" ("" for the file's top), to the tensors that lie there, by name.
    """

    file: Path
    groups: dict[str, State]
    meta: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any], file: Path) -> Contents:
        groups = {path: _unwrapped(state) for path, state in _walk(checkpoint)}
        if len(groups) > _GROUPS:
            raise InputError(f"{file} holds tensors in {len(groups)} dictionaries, not a network (at most {_GROUPS})")
        for path, state in list(groups.items()):
            groups[path], copy = _without_mmcv_copy(state)
            groups |= {"ema_state_dict": copy} if copy else {}  # as mmengine, its successor, has it
        meta = {key: value for key, value in checkpoint.items() if not isinstance(value, torch.Tensor)}
        return cls(file, groups, {key: value for key, value in meta.items() if key not in groups})

    @functools.cached_property
    def main(self) -> str | None:
        """Path of the group with the weights."""
        large = [path for path, state in self.groups.items() if any(value.ndim > 1 for value in state.values())]
        named = [path for path in _MAIN if path in large]
        return named[0] if named else max(large, key=lambda path: len(self.groups[path]), default=None)

    @property
    def main_is_named(self) -> bool:
        """Whether the main group is called so, and not just the largest of several."""
        return self.main in _MAIN

    @functools.cached_property
    def ema(self) -> str | None:
        """Path of the group with the averaged copy of the weights."""
        return next((path for path in _EMA if path in self.groups), None)

    def place(self, address: str) -> Place:
        """``group:prefix`` as a place; without a group, in the main one."""
        group, colon, prefix = address.rpartition(":")
        named = {"": self.main, "*": self.main, "*ema": self.ema}
        found = named.get(group, group) if colon else self.main
        return Place("\0" if found is None else found, prefix)  # a group of that name is in no file

    def at(self, place: Place) -> State:
        """Tensors at a place, the prefix taken off."""
        state = self.groups.get(place.group, {})
        return {name[len(place.prefix) :]: value for name, value in state.items() if name.startswith(place.prefix)}

    def has(self, address: str) -> bool:
        """Whether a tensor fits ``group:glob``."""
        place = self.place(address)
        return any_fits(self.groups.get(place.group, {}), (place.prefix,))

    def tensors(self) -> Iterator[tuple[str, str, torch.Tensor]]:
        """Every tensor as (group, name, value)."""
        for group, state in self.groups.items():
            for name, value in state.items():
                yield group, name, value

    def summary(self) -> str:
        """What there is, in a few words, for messages."""
        groups = [
            f"{path or 'top level'}: {len(state)} tensors ({next(iter(state))}, ...)"
            for path, state in self.groups.items()
        ]
        return "; ".join(groups[:4]) or f"no tensors, but {', '.join(map(str, list(self.meta)[:6])) or 'nothing'}"


def _walk(node: Mapping[str, Any], path: str = "", depth: int = 0) -> Iterator[tuple[str, State]]:
    """Every dictionary that holds tensors, with its path."""
    tensors = {str(name): value for name, value in node.items() if isinstance(value, torch.Tensor)}
    if tensors:
        yield path, tensors
    for key, value in node.items():
        if isinstance(value, Mapping) and depth < _DEPTH and not str(key).lower().startswith(_NOT_WEIGHTS):
            yield from _walk(value, f"{path}/{key}".lstrip("/"), depth + 1)


def _without_mmcv_copy(state: State) -> tuple[State, State]:
    """mmcv keeps a second copy among the weights, "ema_" before the name and "_" for its dots: both, apart.

    It has the parameters alone: running statistics are those of both.
    """
    if not any(name.startswith("ema_") for name in state):
        return state, {}
    dotted = {f"ema_{name.replace('.', '_')}": name for name in state}
    copy = {dotted[name]: value for name, value in state.items() if name in dotted}
    first = {name: value for name, value in state.items() if name not in dotted}
    return first, {**first, **copy} if copy else {}


def _unwrapped(state: State) -> State:
    """The names without the components that wrappers add; as they are where two would become one."""
    short = {_without_wrappers(name): value for name, value in state.items()}
    return short if len(short) == len(state) else state


def _without_wrappers(name: str) -> str:
    """A name without wrappers' components; a "module" inside a numbered layer is the network's own (iFormer)."""
    parts = name.split(".")
    numbered = next((index for index, part in enumerate(parts[1:], 1) if part.isdigit()), len(parts))
    return ".".join(
        part for index, part in enumerate(parts) if part not in _WRAPPERS or (part == "module" and index > numbered)
    )
