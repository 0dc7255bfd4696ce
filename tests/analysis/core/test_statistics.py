import math

import numpy as np
import pytest

from a2mim.analysis.core import statistics
from a2mim.analysis.core.statistics import interval, resampled_means


@pytest.mark.parametrize(("images", "between"), [(30, 0.0), (30, 0.3), (30, 2.0), (5, 0.3)])
def test_intervals_cover_the_mean_as_often_as_they_say(monkeypatch, images, between):
    monkeypatch.setattr(statistics, "RESAMPLES", 300)
    rng, pairs, covered = np.random.default_rng(0), 20, 0
    for _ in range(200):
        values = between * rng.standard_normal((images, 1, 1)) + rng.standard_normal((images, 1, pairs))
        low, high = interval(resampled_means(values, rng))[:, 0]
        covered += low <= 0 <= high
    assert 0.90 <= covered / 200 <= 0.985


def test_one_image_is_told_by_its_pairs():
    values = np.random.default_rng(0).standard_normal((1, 1, 400))
    low, high = interval(resampled_means(values, np.random.default_rng(1)))[:, 0]
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(400), rel=0.15)


def test_values_without_spread_have_no_width_and_one_pair_no_interval_of_its_own():
    flat = np.full((4, 2, 3), 0.5)
    np.testing.assert_allclose(resampled_means(flat, np.random.default_rng(0)), 0.5)
    assert np.ptp(resampled_means(np.ones((1, 1, 1)), np.random.default_rng(0))) == 0


def test_equal_seeds_draw_equal_images_and_pairs():
    values = np.random.default_rng(0).standard_normal((6, 3, 5))
    first, second = (resampled_means(values, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
