"""Two curves: differences, their paired intervals, and the sentence that is said about them."""

import numpy as np
import pytest

from a2mim.analysis.interactions.comparison import compare, conclusion, middle_difference
from a2mim.analysis.interactions.estimating import estimate, summarise
from a2mim.errors import InputError
from tests.analysis.interactions.test_estimating import random_game

RATIOS = (0.0, 0.3, 0.5, 0.7, 1.0)


class Image:
    """What ``summarise`` takes of one image."""

    def __init__(self, strength, pairs):
        self.strength, self.square, self.floor = strength, strength**2, np.zeros_like(strength)
        self.pairs, self.evaluations = pairs, np.ones(len(strength), dtype=int)


def curve(shape, rng, *, n_images=12, common=None):
    """A result whose strengths have this shape over the orders, times what two curves have in ``common``."""
    common = rng.gamma(2.0, size=(n_images, 1, 40)) if common is None else common
    own = rng.lognormal(0, 0.2, size=(n_images, len(shape), 1)) * rng.normal(1, 0.5, size=(n_images, len(shape), 40))
    values = np.array(shape)[:, None] * own * common
    pairs = np.stack([np.arange(40), np.arange(40) + 1], axis=1)
    about = dict(n_contexts=2, seed=0, estimator="paper", normalise="ratios")
    return summarise(RATIOS, 100, [Image(one, pairs) for one in values], about)


def two_curves(shape, seed, **options):
    rng = np.random.default_rng(seed)
    common = rng.gamma(2.0, size=(12, 1, 40)) * rng.gamma(6.0, size=(12, 1, 1))
    return curve(shape, rng, common=common, **options), curve((1, 1, 1, 1, 1), rng, common=common, **options)


def test_a_curve_does_not_differ_from_itself():
    result = two_curves((1, 2, 3, 2, 1), 0)[0]
    found = compare(result, result).drop(columns=["ratio", "order"])
    np.testing.assert_allclose(found, 0, atol=1e-12)
    assert conclusion("a", result, "b", result).endswith("(95 % interval +0.00 to +0.00): no difference shown")


def test_intervals_of_the_difference_are_as_wide_as_its_spread():
    curves = [two_curves((1, 1, 1, 1, 1), seed) for seed in range(30)]
    found = [compare(*pair) for pair in curves]
    middle = np.array([middle_difference(*pair) for pair in curves])
    spread = np.std([table.J_difference for table in found], axis=0)
    width = np.mean([table.J_ci_high - table.J_ci_low for table in found], axis=0)
    assert (width / spread).mean() == pytest.approx(2 * 1.96, rel=0.35)
    assert (middle[:, 2] - middle[:, 1]).mean() / middle[:, 0].std() == pytest.approx(2 * 1.96, rel=0.45)
    covered = [(table.J_ci_low <= 0) & (table.J_ci_high >= 0) for table in found]
    assert 0.85 <= np.mean(covered) <= 0.99


def test_pairing_makes_the_interval_narrower_than_that_of_one_curve():
    result, reference = two_curves((1, 2, 3, 2, 1), 1)
    found = compare(result, reference)
    assert ((found.ci_high - found.ci_low)[1:4] < (result.ci_high - result.ci_low)[1:4]).all()


def test_the_sentence_says_where_and_whether_there_are_more_middle_orders():
    more, flat = two_curves((1, 2, 3, 2, 1), 2)
    sentence = conclusion("mim", more, "scratch", flat)
    assert sentence.startswith("J of mim against scratch: higher at 0.5n")
    assert " and lower at 0n, 1n; its mean over middle orders (0.3n to 0.7n) differs by +0." in sentence
    assert sentence.endswith(": more of them")
    assert conclusion("scratch", flat, "mim", more).endswith(": fewer of them")


def test_without_middle_orders_none_are_spoken_of():
    result = estimate([random_game(9, 0)] * 3, 9, grid=(3, 3), ratios=(0.0, 1.0), n_contexts=2)
    assert "middle" not in conclusion("a", result, "b", result)
    with pytest.raises(InputError, match=r"no ratio within 0\.3 to 0\.7 was measured"):
        middle_difference(result, result)


def test_curves_of_other_questions_are_refused():
    one = estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=(0.5,), n_contexts=2, n_pairs=4)
    for change in (dict(seed=1), dict(n_pairs=5), dict(ratios=(0.9,))):
        settings = dict(ratios=(0.5,), n_contexts=2, n_pairs=4) | change
        other = estimate([random_game(9, 0)], 9, grid=(3, 3), **settings)
        with pytest.raises(InputError, match="on the same images, pairs and orders only"):
            compare(one, other)
