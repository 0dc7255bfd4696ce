"""Numbers as the page writes them."""

import math

import pytest

from a2mim.analysis.report import model as model


def test_numbers_keep_the_digits_that_count():
    assert [model.number(value) for value in (0.12345, -1.5, 123456.7, math.nan, math.inf)] == [
        *("0.123", "−1.5", "123457", "–", "–")
    ]
    assert [model.decimals(value, 2) for value in (1, -0.001, -2.5, math.nan)] == ["1.00", "0.00", "−2.50", "–"]


def test_intervals_and_verdicts():
    assert model.within(0.5, 0.4, 0.6).text == "0.50 (0.40 to 0.60)"
    assert model.within(0.5, math.nan, 0.6) == model.Cell("0.50", 0.5)
    assert model.within(-0.5, -0.6, 0.1, 1, signed=True).text == "−0.5 (−0.6 to +0.1)"
    assert model.within(math.nan, 0, 1) == model.Cell("–", None)
    ends = [(-1, 1), (0.1, 1), (-1, -0.1), (math.nan, 1)]
    assert [model.verdict(*one).text for one in ends] == ["no difference shown", "higher", "lower", "no interval"]


def test_tables_are_cut_and_say_so():
    rows = [[model.text(number)] for number in range(model.ROWS + 5)]
    found = model.table("t", ["n"], rows, "t.csv", "All of them.")
    assert len(found.rows) == model.ROWS
    assert found.note == "All of them. The first 200 of 205 rows; all are in t.csv."


@pytest.mark.parametrize(("seconds", "said"), [(1.25, "1.2 s"), (42, "42 s"), (90, "1 min 30 s"), (7260, "2 h 1 min")])
def test_durations(seconds, said):
    assert model.duration(seconds) == said


def test_lists_of_names_are_cut():
    assert model.listed("abc", 2) == "a, b and 1 more"
    assert model.listed([]) == ""
