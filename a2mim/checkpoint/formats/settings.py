"""Settings that stand beside weights, read with their types: a value of another kind is an error that names it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from a2mim.errors import InputError

_LARGE = 100_000  # no side, number of heads or of channels is larger


class Settings(Mapping[str, Any]):
    """A dictionary of somebody else's, from ``source`` ("config.json"): each reader returns None for a missing key.

    Raises:
        InputError: a value that is not of the asked type; the message has source, key, value and rule.
    """

    def __init__(self, values: Mapping[str, Any], source: str) -> None:
        self._values, self.source = values, source

    @classmethod
    def of(cls, meta: Mapping[str, Any], name: str) -> Settings:
        """The settings of ``name``.json, empty where there are none."""
        values = meta.get(name)
        if values is None:
            values = {}
        if not isinstance(values, Mapping):
            raise InputError(f"{name} is {_shown(values)}, not a dictionary of settings")
        return cls(values, f"{name}.json")

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def inner(self, key: str) -> Settings:
        """The settings of an inner dictionary alone."""
        inner = self.get(key) or {}
        if not isinstance(inner, Mapping):
            raise self.wrong(key, "a dictionary of settings")
        return Settings(inner, self.source)

    def within(self, key: str) -> Settings:
        """These settings with those of an inner dictionary over them."""
        inner = self.get(key)
        if inner is None:
            return self
        if not isinstance(inner, Mapping):
            raise self.wrong(key, "a dictionary of settings")
        return Settings({**self._values, **inner}, self.source)

    def wrong(self, key: str, rule: str) -> InputError:
        return InputError(f"{self.source} says {key}={_shown(self.get(key))}; it has to be {rule}")

    def text(self, key: str) -> str | None:
        value = self.get(key)
        if value is not None and not isinstance(value, str):
            raise self.wrong(key, "text")
        return value

    def flag(self, key: str) -> bool | None:
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def number(self, key: str) -> float | None:
        value = self.get(key)
        if value is not None and not (is_number(value) and value > 0):
            raise self.wrong(key, "a number larger than 0")
        return None if value is None else float(value)

    def whole(self, key: str) -> int | None:
        value = self.get(key)
        if value is not None and not is_whole(value):
            raise self.wrong(key, "a whole number from 1")
        return value

    def wholes(self, key: str) -> list[int] | None:
        """A list of whole numbers from 0."""
        value = self.get(key)
        if value is not None and not (isinstance(value, list | tuple) and all(is_whole(one, 0) for one in value)):
            raise self.wrong(key, "a list of whole numbers")
        return None if value is None else list(value)

    def size(self, key: str) -> int | list[int] | None:
        """A side, or height and width."""
        value = self.get(key)
        if value is None or is_whole(value):
            return value
        if isinstance(value, list | tuple) and len(value) == 2 and all(map(is_whole, value)):
            return list(value)
        raise self.wrong(key, "a whole number from 1, or height and width")

    def numbers(self, key: str) -> tuple[float, ...] | None:
        """Numbers for the channels; one is for all three."""
        value = self.get(key)
        if value is None or (isinstance(value, list | tuple) and not value):
            return None
        if is_number(value):
            return (float(value),) * 3
        if isinstance(value, list | tuple) and all(map(is_number, value)):
            return tuple(map(float, value))
        raise self.wrong(key, "a list of numbers")


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return type(value) in (int, float) and abs(value) < 1e30 and math.isfinite(value)


def is_whole(value: Any, least: int = 1) -> bool:
    """Whether a value is a whole number, of the size that sides and counts have."""
    return type(value) is int and least <= value < _LARGE


def _shown(value: Any) -> str:
    text = ascii(value) if not isinstance(value, str | int | float) else repr(value)
    text = text if text.isprintable() else ascii(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
