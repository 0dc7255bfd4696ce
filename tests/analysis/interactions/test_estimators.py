"""The efficient estimator: uniform contexts, no coalition twice, exact where it can be, unbiased enough elsewhere."""

import math
from itertools import combinations

import numpy as np
import pytest

from a2mim.analysis.interactions import estimators
from a2mim.analysis.interactions.estimating import estimate
from a2mim.analysis.interactions.estimators import (
    Once,
    debiased_strength,
    efficient_estimator,
    pair_strength,
    shared_deltas,
    unbiased_square,
)
from a2mim.analysis.interactions.pairs import all_pairs
from tests.analysis.interactions.test_estimating import (
    Unanimity,
    as_coalition,
    every_context,
    literal_strength,
    random_game,
)


class Recorder:
    """Remembers every coalition, as a tuple of players; scores tell coalitions apart, so that contexts can be read."""

    def __init__(self):
        self.asked = []

    def __call__(self, coalitions):
        self.asked += [tuple(np.flatnonzero(row)) for row in coalitions]
        return np.zeros(len(coalitions))


def contexts_seen(order, n, pairs, draws, seed):
    """Which contexts each pair gets: Δf of the game [S is exactly a given set] is not 0 for one context alone."""
    others = {pair: every_context(pair, order, n) for pair in pairs}
    counts = {pair: np.zeros(len(others[pair]), int) for pair in pairs}
    names = {pair: {row.tobytes(): k for k, row in enumerate(others[pair])} for pair in pairs}
    rng = np.random.default_rng(seed)

    def game(coalitions):  # a number that names the coalition, so that Δf names the context
        return np.sin(50 * (coalitions @ weights) ** 3)

    weights = rng.random(n)
    for _ in range(draws):
        deltas = shared_deltas(game, np.array(pairs), order, n, 3, [(np.arange(len(pairs)), rng)])
        for p, pair in enumerate(pairs):
            known = _deltas(game, pair, others[pair])
            for delta in deltas[p]:
                match = np.flatnonzero(np.isclose(known, delta, rtol=0, atol=1e-12))
                assert len(match) == 1
                counts[pair][match[0]] += 1
    assert all(len(name) == math.comb(n - 2, order) for name in names.values())
    return counts


def _deltas(game, pair, contexts):
    return estimators.pair_deltas(game, [pair], contexts[None])[0]


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_shared_contexts_are_uniform_for_every_pair(order):
    n, pairs, draws = 7, [(0, 1), (1, 2), (4, 6)], 700
    for pair, counts in contexts_seen(order, n, pairs, draws, seed=order).items():
        expected = 3 * draws / len(counts)
        chi2 = ((counts - expected) ** 2 / expected).sum()
        freedom = len(counts) - 1
        assert chi2 < freedom + 5 * math.sqrt(2 * freedom), (pair, counts)


def test_contexts_of_a_pair_are_independent_of_each_other():
    n, order, pair, rng = 6, 2, (0, 1), np.random.default_rng(0)
    weights = rng.random(n)
    game = lambda coalitions: np.sin(50 * (coalitions @ weights) ** 3)  # noqa: E731
    known = _deltas(game, pair, every_context(pair, order, n))
    both = np.zeros((len(known), len(known)))
    for _ in range(3000):
        first, second = shared_deltas(game, np.array([pair, (1, 2), (3, 5)]), order, n, 2, [(np.arange(3), rng)])[0]
        both[np.abs(known - first).argmin(), np.abs(known - second).argmin()] += 1
    together = both.sum() / both.size
    assert np.abs(both - together).max() < 5 * math.sqrt(together)


def test_no_coalition_is_asked_twice_in_one_order():
    recorder = Recorder()
    efficient_estimator(Once(recorder), all_pairs(20, 40, np.random.default_rng(0)), 9, 20, 6, (0, 0))
    assert len(set(recorder.asked)) == len(recorder.asked)


def test_no_coalition_of_an_image_is_asked_twice_at_neighbouring_orders():
    recorder = Recorder()
    ratios = [order / 7 for order in range(8)]
    result = estimate([recorder], 9, grid=(3, 3), ratios=[min(1, ratio + 1e-9) for ratio in ratios], n_contexts=5)
    assert result.orders.tolist() == list(range(8))
    assert len(set(recorder.asked)) == len(recorder.asked) == result.evaluations.sum()


@pytest.mark.parametrize("estimator", ["efficient", "paper"])
def test_no_coalition_is_asked_twice_when_an_order_takes_several_calls(monkeypatch, estimator):
    monkeypatch.setattr(estimators, "BLOCK", 16)
    recorder = Recorder()
    # order 2: C(10, 2) + C(10, 3) + C(10, 4) coalitions are all that there can be
    estimate([recorder], 10, grid=(2, 5), orders=[0, 2, 8], n_contexts=30, estimator=estimator)
    assert len(set(recorder.asked)) == len(recorder.asked)


def test_first_and_last_order_share_their_one_context():
    recorder = Recorder()
    pairs = all_pairs(12, 30, np.random.default_rng(0))
    efficient_estimator(Once(recorder), pairs, 0, 12, 50, (0, 0))
    assert sorted(recorder.asked) == sorted(
        {(), *((player,) for player in np.unique(pairs)), *(tuple(sorted(pair)) for pair in pairs.tolist())}
    )


def test_few_contexts_are_all_taken_and_the_answer_is_exact():
    n = 6
    game, pairs = random_game(n, 3), np.array(list(combinations(range(n), 2)))
    for order in range(n - 1):
        measured = efficient_estimator(Once(game), pairs, order, n, 6, (0, 0))  # C(4, 2) = 6
        expected = [abs(game.interaction(i, j, order)) for i, j in pairs]
        np.testing.assert_allclose(measured.strength, expected, atol=1e-12)
        np.testing.assert_allclose(measured.square, np.square(expected), atol=1e-12)
        assert not measured.floor.any()


def test_strength_comes_near_brute_force_over_all_contexts():
    n = 10
    game, pairs = random_game(n, 5), all_pairs(n, 45, np.random.default_rng(0))
    for order in (2, 4, 6):
        found = [efficient_estimator(Once(game), pairs, order, n, 12, (seed, 0)).strength.mean() for seed in range(60)]
        truth = literal_strength(game, pairs, order, n)
        assert np.mean(found) == pytest.approx(truth, abs=0.03 * truth + 3 * np.std(found) / math.sqrt(60))


def test_pairs_may_be_turned_and_null_players_have_none():
    n = 12
    game = Unanimity([[0, 1], [0, 1, 2, 3], [4, 5]], [1.0, -2.0, 3.0], n)  # 6 to 11 are in no group
    pairs = np.array([(0, 1), (2, 3), (6, 0), (7, 8)])
    for order in (2, 5, 8):
        one = efficient_estimator(Once(game), pairs, order, n, 8, (0, 0))
        turned = efficient_estimator(Once(game), pairs[:, ::-1], order, n, 8, (0, 0))
        np.testing.assert_allclose(one.strength, turned.strength, atol=1e-12)
        assert not one.strength[2:].any()


def test_additive_games_have_no_interaction():
    weights = np.random.default_rng(0).standard_normal(16)
    result = estimate([lambda coalitions: coalitions @ weights], 16, grid=(4, 4))
    np.testing.assert_allclose(result.strength, 0, atol=1e-12)
    np.testing.assert_allclose(result.rms, 0, atol=1e-6)


# --- from differences to strength


@pytest.mark.parametrize(("noise", "left"), [(0.5, 0.005), (2.0, 0.015), (3.5, 0.06)])
def test_the_bias_of_the_absolute_value_is_removed(noise, left):
    rng = np.random.default_rng(0)
    truth = rng.laplace(size=(200_000, 1))
    deltas = truth + noise * np.abs(truth).mean() * rng.standard_normal((len(truth), 12))
    strength = np.abs(truth).mean()
    assert debiased_strength(deltas).mean() == pytest.approx(strength, rel=left)
    if noise > 1:
        assert pair_strength(deltas).mean() > 1.05 * strength


def test_what_shows_in_few_contexts_is_not_lost():
    rng = np.random.default_rng(0)
    deltas = 5.0 * (rng.random((200_000, 12)) < 0.02)
    # most pairs show it in none or in one of their contexts, where the others have no sign to give
    assert debiased_strength(deltas).mean() == pytest.approx(5.0 * 0.02, rel=0.02)
    rounded = deltas + 1e-13 * rng.standard_normal(deltas.shape) * (deltas.sum(axis=1, keepdims=True) > 0)
    assert debiased_strength(rounded).mean() == pytest.approx(5.0 * 0.02, rel=0.02)


def test_the_square_is_unbiased():
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((100_000, 1))
    square = unbiased_square(truth + 3 * rng.standard_normal((len(truth), 4)))
    assert square.mean() == pytest.approx((truth**2).mean(), abs=4 * square.std() / math.sqrt(len(square)))
    assert np.isnan(unbiased_square(np.ones((3, 1)))).all()


def test_without_noise_every_form_is_the_absolute_value():
    deltas = np.repeat(np.array([[-2.0], [0.0], [3.0]]), 5, axis=1)
    np.testing.assert_allclose(debiased_strength(deltas), [2, 0, 3])
    np.testing.assert_allclose(unbiased_square(deltas), [4, 0, 9])


def test_once_asks_for_new_coalitions_alone_and_forgets_small_ones():
    asked = []

    def game(coalitions):
        asked.append(len(coalitions))
        return coalitions.sum(axis=1)

    once = Once(game)
    rows = np.array([as_coalition(players, 4) for players in ((0, 1), (0, 1), (2,), (1, 2))])
    assert once(rows).tolist() == [2, 2, 1, 2]
    assert once(rows[::-1]).tolist() == [2, 1, 2, 2]
    assert asked == [3]
    once.forget(2)
    assert once(rows).tolist() == [2, 2, 1, 2]  # (2,) is asked for again
    assert asked == [3, 1]
    assert once.evaluations == 4
