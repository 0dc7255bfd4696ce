"""Student's t against scipy's own interval."""

import doctest
import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from a2mim.figures import statistics
from a2mim.figures.statistics import half_width, mean_interval


@pytest.mark.parametrize("values", [[1.0, 2.0, 1.5], [3.0, -1.0], list(range(40))])
def test_the_interval_is_scipys(values):
    mean, low, high = mean_interval(values)
    assert mean == pytest.approx(np.mean(values))
    expected = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    assert (low, high) == pytest.approx(expected)


@pytest.mark.parametrize(("values", "mean"), [([2.0], 2.0), ([], math.nan), ([2.0, 3.0, math.nan], math.nan)])
def test_without_two_numbers_there_is_no_interval(values, mean):
    assert mean_interval(values) == pytest.approx((mean, math.nan, math.nan), nan_ok=True)


def test_the_half_width_takes_arrays_and_series():
    deviation, n = np.array([1.0, 2.0, 5.0]), np.array([2, 10, 1])
    expected = [scipy.stats.t.ppf(0.975, k - 1) * s / math.sqrt(k) for s, k in [(1, 2), (2, 10)]]
    assert half_width(deviation, n) == pytest.approx([*expected, math.nan], nan_ok=True)
    named = half_width(pd.Series(deviation, index=list("abc")), pd.Series(n, index=list("abc")))
    assert named.index.tolist() == list("abc")
    assert half_width(deviation, 10).shape == (3,)


def test_the_examples_run():
    assert doctest.testmod(statistics).failed == 0
