"""Values on the command line of the analyses that are more than a number or a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from a2mim import durations
from a2mim.errors import InputError

PAIRS = ("neighbours", "clamped", "all")


class Grid(click.ParamType):
    """Cells over the image: 14 (square) or 8x16 (rows x columns)."""

    name = "grid"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split("x")
        if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
            self.fail(f"'{value}' is not a grid; write 14 or 8x16 (rows x columns)", param, ctx)
        return int(parts[0]), int(parts[-1])


class Numbers(click.ParamType):
    """Numbers with commas between them, each within 0 to 1."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not a list of numbers; write 0,0.25,0.5", param, ctx)
        if not all(0 <= number <= 1 for number in numbers):
            self.fail(f"'{value}' has a ratio outside 0 to 1; every ratio must lie between 0 and 1", param, ctx)
        return numbers


class Counts(click.ParamType):
    """Whole numbers with commas between them."""

    name = "counts"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split(",")
        if not all(part.strip().isdigit() for part in parts):
            self.fail(f"'{value}' is not a list of whole numbers; write 0,10,31", param, ctx)
        return tuple(map(int, parts))


class Pairs(click.ParamType):
    """A way to draw pairs, or a file that lists them."""

    name = "pairs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value in PAIRS:
            return value
        try:
            lines = Path(value).read_text(encoding="utf-8").split()
            pairs = [[int(player) for player in line.split(",")] for line in lines]
        except OSError:
            self.fail(f"'{value}' is neither one of {', '.join(PAIRS)} nor a file", param, ctx)
        except ValueError:
            self.fail(f"{value}: every line must be a pair of players such as 17,18", param, ctx)
        if not pairs or any(len(pair) != 2 for pair in pairs):
            self.fail(f"{value}: every line must be a pair of players such as 17,18", param, ctx)
        return pairs


class Duration(click.ParamType):
    """A time in seconds, from 90s, 10m, 2h, 1d."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return durations.parse(str(value))
        except InputError as error:
            self.fail(str(error), param, ctx)


class Shard(click.ParamType):
    """K/N, counted from 1, as (K - 1, N)."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        parts = str(value).split("/")
        if len(parts) != 2 or not all(part.isdigit() for part in parts) or not 1 <= int(parts[0]) <= int(parts[1]):
            self.fail(f"'{value}' is not a shard; write 3/16 for the third of sixteen", param, ctx)
        return int(parts[0]) - 1, int(parts[1])


class BatchSize(click.ParamType):
    """A number, or auto (None) for the fastest."""

    name = "batch size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in (None, "auto"):
            return None
        if (isinstance(value, int) or str(value).isdigit()) and int(value) > 0:
            return int(value)
        self.fail(f"'{value}' is neither a number of images nor auto", param, ctx)


class Range(click.ParamType):
    """LOW,HIGH: two numbers, the lower first."""

    name = "range"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        try:
            low, high = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"'{value}' is not a range; write two numbers such as 0,4095", param, ctx)
        if not low < high:
            self.fail(f"'{value}' is not a range; the lower number must come first, such as 0,4095", param, ctx)
        return low, high


class Share(click.ParamType):
    """A number above 0, at most 1."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        return click.FloatRange(0, 1, min_open=True).convert(value, param, ctx)


KINDS = {"grid": Grid, "ratios": Numbers, "counts": Counts, "pairs": Pairs, "duration": Duration, "share": Share}
