"""How a setting is declared (default, meaning, choices, range) and how its value is checked; without torch."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

from a2mim.errors import InputError

COUNT, SHARE, POSITIVE = (1, float("inf")), (0, 1), (0, float("inf"))


def option(
    default: Any,
    meaning: str,
    choices: Iterable[str] = (),
    between: tuple[float, float] | None = None,
    *,
    many: bool = False,
) -> Any:
    """A dataclass field with its meaning, its choices and the range of its values.

    Args:
        default: value if the setting is not given; None: it follows from the model, the data or another setting.
        meaning: help text: starts with a capital, ends with a full stop.
        choices: values that a text may take; empty: any.
        between: smallest and largest number.
        many: for tuples: any number of values.
    """
    metadata = {"help": meaning, "choices": tuple(choices), "between": between, "many": many}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


def how_many(entry: dataclasses.Field[Any]) -> int | None:
    """How many numbers a tuple setting takes; None: any number. Without a default it takes one per colour."""
    if entry.metadata["many"]:
        return None
    return len(entry.default) if isinstance(entry.default, tuple) else 3


def checked(entry: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """``value`` converted to the type of a field (``hint``), within its choices and its range.

    Raises:
        InputError: a value of the wrong type, choice or range.
    """
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        if type(None) in kinds:
            return None
        raise InputError(f"{entry.name} needs a value")
    value = _converted(entry.name, kinds[0], value)
    wanted = how_many(entry)
    if isinstance(value, tuple) and len(value) != (wanted or len(value)):
        raise InputError(f"{entry.name} needs {wanted} numbers, not {len(value)}")
    choices, between = entry.metadata["choices"], entry.metadata["between"]
    if choices and value not in choices:
        raise InputError(f"{entry.name} '{value}' is unknown; known: {', '.join(choices)}")
    for number in value if isinstance(value, tuple) else (value,):
        if between and not between[0] <= number <= between[1]:
            upper = "or more" if between[1] == float("inf") else f"to {between[1]:g}"
            raise InputError(f"{entry.name} {number:g} is outside {between[0]:g} {upper}")
    return value


def _converted(name: str, kind: Any, value: Any) -> Any:
    try:
        if kind is bool:
            if not isinstance(value, bool):
                raise TypeError("write true or false")
            return value
        if kind is int and (isinstance(value, bool) or float(value) != int(value)):
            raise TypeError("write a whole number")
        if kind in (int, float, str):
            return kind(value)
        if typing.get_origin(kind) is dict:
            if not isinstance(value, Mapping):
                raise TypeError("write pairs of a name and a value")
            return dict(value)
        numbers = value.replace(",", " ").split() if isinstance(value, str) else value
        if isinstance(numbers, (int, float)):
            numbers = [numbers]
        return tuple(float(number) for number in numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} cannot be {value!r}: {error}") from error
