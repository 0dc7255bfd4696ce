"""Durations: in words, and from the command line."""

import doctest

import pytest

from a2mim import durations
from a2mim.errors import InputError


def test_the_examples_of_the_docstrings():
    assert doctest.testmod(durations).failed == 0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (59.6, "1 min 0 s"), (599, "9 min 59 s"), (3599, "1 h 0 min"), (86_399, "1 d 0 h")],
)
def test_the_next_unit_begins_where_the_last_ends(seconds, said):
    assert durations.describe(seconds) == said


@pytest.mark.parametrize("text", ["", "h", "10", "ten minutes", "10 w", "nanh", "1e999s", "-1m", "0s"])
def test_what_is_not_a_time_is_refused(text):
    with pytest.raises(InputError, match="time"):
        durations.parse(text)
