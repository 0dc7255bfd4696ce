"""How settings are declared and checked."""

import dataclasses

import pytest

from a2mim.errors import InputError
from a2mim.options import COUNT, SHARE, checked, how_many, option


@dataclasses.dataclass
class Example:
    side: int = option(7, "Side of a cell.", between=COUNT)
    share: float | None = option(None, "Share.", between=SHARE)
    kind: str = option("a", "Kind.", ("a", "b"))
    crop: tuple[float, ...] = option((0.5, 1.0), "Range.")
    steps: tuple[float, ...] = option((1,), "Steps.", many=True)
    mean: tuple[float, ...] | None = option(None, "Mean.")
    more: dict[str, int] = option({}, "Pairs.")


FIELDS = {entry.name: entry for entry in dataclasses.fields(Example)}


def test_defaults_are_not_shared():
    assert Example().more is not Example().more
    assert (Example().side, Example().share) == (7, None)


def test_how_many_numbers_a_tuple_takes():
    assert [how_many(FIELDS[name]) for name in ("crop", "steps", "mean")] == [2, None, 3]


@pytest.mark.parametrize(
    ("name", "hint", "value", "expected"),
    [
        ("side", int, "3", 3),
        ("share", float | None, None, None),
        ("share", float | None, "0.5", 0.5),
        ("crop", tuple[float, ...], "0.1 1", (0.1, 1.0)),
        ("steps", tuple[float, ...], 4, (4.0,)),
    ],
)
def test_values_are_converted(name, hint, value, expected):
    assert checked(FIELDS[name], hint, value) == expected


@pytest.mark.parametrize(
    ("name", "hint", "value", "message"),
    [
        ("side", int, 2.5, "write a whole number"),
        ("side", int, 0, "side 0 is outside 1 or more"),
        ("side", int, None, "side needs a value"),
        ("share", float | None, 2, "share 2 is outside 0 to 1"),
        ("kind", str, "c", "kind 'c' is unknown; known: a, b"),
        ("crop", tuple[float, ...], [1], "crop needs 2 numbers, not 1"),
    ],
)
def test_mistakes_get_one_clear_error(name, hint, value, message):
    with pytest.raises(InputError, match=message):
        checked(FIELDS[name], hint, value)
