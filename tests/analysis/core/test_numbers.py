"""Numbers as the page writes them, and the table of an analysis that does not say which numbers it shows."""

import math

import pandas as pd

from a2mim.analysis.core import numbers


def test_numbers_keep_the_digits_that_count():
    assert [numbers.number(value) for value in (0.12345, -1.5, 123456.7, math.nan, math.inf)] == [
        *("0.123", "−1.5", "123457", "–", "–")
    ]
    assert [numbers.decimals(value, 2) for value in (1, -0.001, -2.5, math.nan)] == ["1.00", "0.00", "−2.50", "–"]


def test_intervals_and_verdicts():
    assert numbers.within(0.5, 0.4, 0.6).text == "0.50 (0.40 to 0.60)"
    assert numbers.within(0.5, math.nan, 0.6) == numbers.Cell("0.50", 0.5)
    assert numbers.within(-0.5, -0.6, 0.1, 1, signed=True).text == "−0.5 (−0.6 to +0.1)"
    assert numbers.within(math.nan, 0, 1) == numbers.Cell("–", None)
    ends = [(-1, 1), (0.1, 1), (-1, -0.1), (math.nan, 1)]
    assert [numbers.verdict(*one).text for one in ends] == ["no difference shown", "higher", "lower", "no interval"]


def test_lists_of_names_are_cut():
    assert numbers.listed("abc", 2) == "a, b and 1 more"
    assert numbers.listed([]) == ""


def test_places_are_the_nearest_that_there_are():
    assert numbers.nearest([0.0, 0.25, 0.5, 1.0], [0.1, 0.3, 0.5, 0.9]) == [0.0, 0.25, 0.5, 1.0]
    assert numbers.nearest([0.4], [0.0, 1.0]) == [0.4]


def test_without_numbers_the_table_is_shown_as_it_is():
    table = pd.DataFrame({"checkpoint": ["a", "b"], "mean_value": [0.123456, math.nan]})
    (shown,) = numbers.as_they_are("Sharpness", table).tables
    assert (shown.caption, shown.columns) == ("Sharpness", ("Checkpoint", "Mean value"))
    assert shown.rows[0] == (numbers.Cell("a"), numbers.Cell("0.1235", 0.123456))
    assert shown.rows[1] == (numbers.Cell("b"), numbers.Cell("–", None))
