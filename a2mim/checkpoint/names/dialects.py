"""The same layers under other names: how each codebase names a network, as pairs of templates that read both ways.

timm's names are the common tongue. A ``Dialect`` lists pairs (theirs, timm's); the loader reads a pair from left to
right, ``a2mim-checkpoint convert`` from right to left, so that no name stands in two places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

import torch

from a2mim.checkpoint.files.globs import any_fits, fits
from a2mim.checkpoint.files.reading import State
from a2mim.errors import InputError

Change = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Rename:
    """Two templates for the start of a name, whole components: ``Rename("layers.{i}.ln1", "blocks.{i}.norm1")``.

    ``{i}`` and ``{j}`` stand for numbers, ``{i+1}`` for the number shifted; what follows the template stays as it is.
    ``change`` alters the tensor on the way to timm, ``back`` on the way from it (a shape, an order of channels).
    """

    theirs: str
    timm: str
    change: Change | None = None
    back: Change | None = None


@dataclass(frozen=True)
class Join:
    """Several of their layers that are one in timm, one below the other (dimension 0): separate q, k and v, mostly."""

    theirs: tuple[str, ...]
    timm: str


@dataclass(frozen=True)
class Ignore:
    """Names (globs) that carry nothing to load, and why: index tables, counters."""

    names: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class Dialect:
    """How one codebase names one family of networks.

    Args:
        name: what reports print, such as "mmpretrain ViT".
        family: key of ``families.FAMILIES``, which tells width, depth and so on from timm's names.
        has: globs of names; all must be there for the dialect to be recognised.
        lacks: globs of names of which none may be there.
        rules: the first that fits a name is taken; a name that none fits is timm's already.
        hints: what the codebase always does and no shape shows (``num_heads``, ``eps``), handed to the family.
        note: what the reader of a report should know about this translation.
        fold: for what no single name can tell: a change of all tensors under timm's names, and its reverse.
        measure: hints from tensors (by their names) that timm computes, such as the masks of an attention.
    """

    name: str
    family: str
    has: tuple[str, ...]
    rules: tuple[Rename | Join | Ignore, ...] = ()
    lacks: tuple[str, ...] = ()
    hints: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    fold: tuple[Callable[[State], State], Callable[[State], State]] | None = None
    measure: Callable[[Mapping[str, torch.Tensor]], Mapping[str, object]] = lambda state: {}

    def fits(self, names: Collection[str]) -> bool:
        """Whether the tensors of these names are a network in this dialect."""
        return all(any_fits(names, (glob,)) for glob in self.has) and not any_fits(names, self.lacks)


@dataclass
class Translation:
    """A network by timm's names; ``origin`` says which names of the file each came from, ``ignored`` what was left."""

    state: State = field(default_factory=dict)
    origin: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)  # name in the file -> why


def to_timm(dialect: Dialect, state: Mapping[str, torch.Tensor]) -> Translation:
    """The tensors of ``state`` by timm's names.

    Raises:
        InputError: a part of a joined layer is missing, or two tensors claim one name.
    """
    result = Translation()
    parts: dict[tuple[str, tuple[str, ...]], dict[int, str]] = {}  # of joined layers: position -> name in the file
    for name, tensor in state.items():
        rule, timm = _match(dialect.rules, name)
        if isinstance(rule, Ignore):
            result.ignored[name] = rule.why
        elif isinstance(rule, Join):
            parts.setdefault((timm, rule.theirs), {})[_position(rule, name)] = name
        else:
            _claim(result, timm, (name,))
            result.state[timm] = rule.change(tensor) if rule and rule.change else tensor
    for (timm, templates), found in parts.items():
        lost = [template for index, template in enumerate(templates) if index not in found]
        if lost:
            raise InputError(
                f"{timm} is made of {len(templates)} tensors, of which {', '.join(lost)} is not in the file"
            )
        names = tuple(found[index] for index in range(len(templates)))
        _claim(result, timm, names)
        result.state[timm] = torch.cat([state[name] for name in names])
    if dialect.fold:
        result.state = dialect.fold[0](result.state)
    return result


def from_timm(dialect: Dialect, state: Mapping[str, torch.Tensor]) -> State:
    """The tensors of ``state``, named as in timm, by the dialect's names: the reverse of ``to_timm``."""
    result: State = {}
    for name, tensor in (dialect.fold[1](dict(state)) if dialect.fold else state).items():
        for rule in dialect.rules:
            if isinstance(rule, Ignore):
                continue
            rest = _capture(rule.timm, name)
            if rest is None:
                continue
            if isinstance(rule, Join):
                pieces = tensor.chunk(len(rule.theirs))
                result |= {_fill(theirs, *rest): piece for theirs, piece in zip(rule.theirs, pieces, strict=True)}
            else:
                result[_fill(rule.theirs, *rest)] = rule.back(tensor) if rule.back else tensor
            break
        else:
            result[name] = tensor
    return result


def recognise(names: Iterable[str], dialects: Iterable[Dialect]) -> Dialect | None:
    """The first dialect that fits, or None."""
    names = frozenset(names)
    return next((dialect for dialect in dialects if dialect.fits(names)), None)


# --- templates --------------------------------------------------------------------------------------------------------


def _match(rules: Iterable[Rename | Join | Ignore], name: str) -> tuple[Rename | Join | Ignore | None, str]:
    """The first rule that fits a name of theirs, and the name in timm."""
    for rule in rules:
        if isinstance(rule, Ignore):
            if fits(name, rule.names):
                return rule, name
            continue
        for theirs in rule.theirs if isinstance(rule, Join) else (rule.theirs,):
            rest = _capture(theirs, name)
            if rest is not None:
                return rule, _fill(rule.timm, *rest)
    return None, name


def _position(rule: Join, name: str) -> int:
    return next(index for index, theirs in enumerate(rule.theirs) if _capture(theirs, name) is not None)


_FIELD = re.compile(r"\{([a-z])([+-]\d+)?\}")
_COMPILED: dict[str, tuple[re.Pattern[str], dict[str, int]]] = {}


def _compile(template: str) -> tuple[re.Pattern[str], dict[str, int]]:
    """A template as a pattern, and the shift of each of its numbers."""
    if template not in _COMPILED:
        shifts = {letter: int(shift or 0) for letter, shift in _FIELD.findall(template)}
        pieces = re.split(_FIELD, template)  # text, letter, shift, text, ...
        pattern = "".join(
            re.escape(piece) if index % 3 == 0 else f"(?P<{piece}>\\d+)"
            for index, piece in enumerate(pieces)
            if index % 3 != 2
        )
        _COMPILED[template] = re.compile(pattern + r"(?P<rest>(?:\..+)?)"), shifts
    return _COMPILED[template]


def _capture(template: str, name: str) -> tuple[dict[str, int], str] | None:
    """The numbers in a name that fits the template, and what follows it."""
    pattern, shifts = _compile(template)
    found = pattern.fullmatch(name)
    if not found:
        return None
    numbers = {letter: int(found[letter]) - shift for letter, shift in shifts.items()}
    return None if min(numbers.values(), default=0) < 0 else (numbers, found["rest"])


def _fill(template: str, numbers: Mapping[str, int], rest: str) -> str:
    return _FIELD.sub(lambda hit: str(numbers[hit[1]] + int(hit[2] or 0)), template) + rest


def _claim(result: Translation, timm: str, names: tuple[str, ...]) -> None:
    if timm in result.origin:
        raise InputError(f"{' and '.join(result.origin[timm] + names)} are both '{timm}' in timm")
    result.origin[timm] = names
