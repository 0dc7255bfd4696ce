"""Averages over images and paired differences against what is known of them."""

import numpy as np
import pytest

from a2mim.analysis.core import statistics


def test_paired_differences_are_narrower_than_the_spread_of_the_images():
    rng = np.random.default_rng(0)
    hard = 5 * rng.standard_normal((50, 1))  # some images are hard for both models
    values = {"a": hard + 0.1 * rng.standard_normal((50, 2)), "b": hard + 1 + 0.1 * rng.standard_normal((50, 2))}
    found = statistics.compare(values, {"b": "a"}, seed=0)
    assert found["a"]["value"].tolist() == pytest.approx(values["a"].mean(axis=0).tolist())
    assert found["a"][["difference", "difference_ci_low", "difference_ci_high"]].isna().all(axis=None)
    assert (found["b"]["difference"] - 1).abs().max() < 0.1
    assert (found["b"]["difference_ci_low"] < found["b"]["difference"]).all()
    assert (found["b"]["difference_ci_high"] - found["b"]["difference_ci_low"]).max() < 0.1
    assert (found["b"]["ci_high"] - found["b"]["ci_low"]).min() > 2


def test_one_image_says_nothing_of_others():
    found = statistics.compare({"a": np.array([[1.0, 2.0]])}, {}, seed=0)["a"]
    assert found["value"].tolist() == [1, 2]
    assert found[["ci_low", "ci_high"]].isna().all(axis=None)


def test_the_log_of_a_ratio_is_a_mean_over_images():
    rng = np.random.default_rng(1)
    above, below = rng.random((20, 3)), rng.random((20, 3))
    values = statistics.log_ratio_values(above, below)
    assert np.exp(values.mean(axis=0)) == pytest.approx(above.sum(axis=0) / below.sum(axis=0))
    # an image twice as large above and below is an image of more weight, not of another ratio
    assert statistics.log_ratio_values(above, 3 * above) == pytest.approx(np.full((20, 3), -np.log(3)))
    assert np.isnan(statistics.log_ratio_values(above, np.zeros((20, 3)))).all()


def test_intervals_of_a_ratio_cover_it_as_often_as_they_say(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 300)
    rng, covered = np.random.default_rng(2), 0
    for trial in range(200):
        below = rng.gamma(4, 1, (40, 1))
        above = below * rng.gamma(4, 0.25, (40, 1))  # the ratio of the means is 1
        low, high = np.exp(statistics.mean_interval(statistics.log_ratio_values(above, below), trial))[:, 0]
        covered += low <= 1 <= high
    assert 0.90 <= covered / 200 <= 0.985
