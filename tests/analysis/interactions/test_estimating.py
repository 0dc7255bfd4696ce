import json
import math
import sys
import weakref
from itertools import combinations

import numpy as np
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn

from a2mim import seeds
from a2mim.analysis.interactions import estimators
from a2mim.analysis.interactions.estimating import (
    PAPER_RATIOS,
    estimate,
    orders_of,
    pair_deltas,
    ratios_of,
    relative_strength,
)
from a2mim.analysis.interactions.estimators import draw_contexts, pair_strength
from a2mim.analysis.interactions.games import PatchGame
from a2mim.analysis.interactions.pairs import all_pairs
from a2mim.errors import InputError, RunError


class Unanimity:
    """f(S) = Σ_k weight_k · [members_k ⊆ S]: any game at all is such a sum, and its interactions are known."""

    def __init__(self, members, weights, n):
        self.members = np.array([[player in group for player in range(n)] for group in members])
        self.weights = np.array(weights, dtype=float)
        self.asked = 0

    def __call__(self, coalitions):
        self.asked += len(coalitions)
        return ((~coalitions).astype(int) @ self.members.T == 0) @ self.weights

    def interaction(self, i, j, order):
        """Closed form of Eq. (1): Σ over groups with i and j of weight · P(the group's other players are in S)."""
        n = self.members.shape[1]
        total = 0.0
        for group, weight in zip(self.members, self.weights, strict=True):
            others = int(group.sum()) - 2
            if group[i] and group[j] and others <= order:
                total += weight * math.comb(n - 2 - others, order - others) / math.comb(n - 2, order)
        return total


def random_game(n, seed, groups=25):
    rng = np.random.default_rng(seed)
    members = [rng.choice(n, rng.integers(1, 6), replace=False).tolist() for _ in range(groups)]
    return Unanimity(members, rng.standard_normal(groups), n)


def as_coalition(players, n):
    coalition = np.zeros(n, bool)
    coalition[list(players)] = True
    return coalition


def every_context(pair, order, n):
    others = [player for player in range(n) if player not in pair]
    return np.array([as_coalition(context, n) for context in combinations(others, order)])


def literal_delta(game, i, j, context, n):
    """Eq. (1), Δf, one coalition at a time."""
    f = lambda players: float(game(as_coalition(players, n)[None])[0])  # noqa: E731
    context = {player for player in range(n) if context[player]}
    return f(context | {i, j}) - f(context | {i}) - f(context | {j}) + f(context)


def literal_strength(game, pairs, order, n):
    """The numerator of Eq. (2) for one image, every context of Eq. (1) taken."""
    total = 0.0
    for i, j in pairs:
        deltas = [literal_delta(game, i, j, context, n) for context in every_context((i, j), order, n)]
        total += abs(sum(deltas) / len(deltas))
    return total / len(pairs)


# --- Eq. (1)


def test_deltas_are_the_literal_ones():
    n, rng = 9, np.random.default_rng(0)
    game = random_game(n, 1)
    pairs = all_pairs(n, 7, rng)
    contexts = np.array([draw_contexts(pair, 4, n, 5, rng) for pair in pairs])
    deltas = pair_deltas(game, pairs, contexts)
    assert deltas.shape == (7, 5)
    assert deltas.dtype == np.float64
    for p, (i, j) in enumerate(pairs):
        for t in range(5):
            assert deltas[p, t] == pytest.approx(literal_delta(game, i, j, contexts[p, t], n), abs=1e-12)


@pytest.mark.parametrize("n", [8, 9, 10])
def test_random_game_over_every_context_has_its_known_interaction(n):
    game = random_game(n, n)
    for order in range(n - 1):
        for pair in ((0, 1), (n - 1, 3)):
            deltas = pair_deltas(game, [pair], every_context(pair, order, n)[None])
            assert deltas.mean() == pytest.approx(game.interaction(*pair, order), abs=1e-12)


def test_interaction_is_symmetric_and_a_null_player_has_none():
    n = 8
    game = Unanimity([[0, 1], [0, 1, 2, 3], [4, 5]], [1.0, -2.0, 3.0], n)  # 6 and 7 are in no group
    contexts = every_context((0, 1), 3, n)[None]
    np.testing.assert_array_equal(pair_deltas(game, [(0, 1)], contexts), pair_deltas(game, [(1, 0)], contexts))
    for other in (0, 4, 7):
        assert not pair_deltas(game, [(6, other)], every_context((6, other), 3, n)[None]).any()


@pytest.mark.parametrize("score", ["log-odds", "log-prob", "logit"])
def test_published_code_is_reproduced(reference, score):
    with safe_open(reference / "small_cnn.safetensors", "pt") as file:
        about = file.metadata()
    model = timm.create_model(about["arch"], **json.loads(about["model_args"]))
    model.load_state_dict(load_file(reference / "small_cnn.safetensors"))
    official = np.load(reference / "official_interactions.npz")
    side = int(official["grid"])
    game = PatchGame(model, torch.from_numpy(official["image"][0]), int(official["label"]), (side, side), score=score)
    assert orders_of(official["ratios"], side**2).tolist() == official["orders"].tolist()
    deltas = []
    for ratio in official["ratios"]:
        chosen = official[f"context_{round(100 * ratio)}"].astype(int)  # (P, T, m) players
        contexts = np.zeros((*chosen.shape[:2], side**2), bool)
        np.put_along_axis(contexts, chosen, True, axis=2)
        deltas.append(pair_deltas(game, official["pairs"], contexts))
    np.testing.assert_allclose(deltas, official["delta_" + score.replace("-", "_")], atol=1e-4)
    if score == "log-odds":
        strength = pair_strength(np.array(deltas)).mean(axis=1)
        np.testing.assert_allclose(strength, official["strength"], atol=1e-4)
        np.testing.assert_allclose(relative_strength(strength), official["J"], atol=1e-4)


# --- Eq. (2)


def test_strength_is_the_literal_one_at_orders_with_one_context():
    n, pairs = 8, [(0, 1), (2, 7), (5, 3)]
    games = [random_game(n, seed) for seed in range(4)]
    result = estimate(games, n, ratios=(0, 1), pairs=pairs)
    for column, order in enumerate((0, n - 2)):
        expected = np.mean([literal_strength(game, pairs, order, n) for game in games])
        assert result.strength[column] == pytest.approx(expected, abs=1e-12)


def test_strength_comes_near_the_literal_one_with_many_contexts():
    n, pairs = 8, [(0, 1), (2, 7), (5, 3)]
    game = random_game(n, 3)
    result = estimate([game], n, ratios=(0.2, 0.5, 0.8), pairs=pairs, n_contexts=4000)
    expected = [literal_strength(game, pairs, order, n) for order in result.orders]
    np.testing.assert_allclose(result.strength, expected, atol=0.05 * max(expected))


def test_additive_game_has_no_interaction():
    n = 12
    game = Unanimity([[player] for player in range(n)], range(n), n)
    result = estimate([game], n, pairs="all")
    assert not result.strength.any()
    assert np.isnan(result.J).all()  # no strength, no shape


def test_product_of_a_pair_interacts_at_every_order():
    n = 9
    game = Unanimity([[2, 6]], [-1.5], n)
    result = estimate([game], n, pairs=[(2, 6), (2, 5)], n_contexts=3)
    np.testing.assert_allclose(result.strength, 1.5 / 2)
    np.testing.assert_allclose(result.J, 1)


def test_product_of_k_players_interacts_at_high_orders():
    n, k, pair = 10, 4, (1, 2)
    game = Unanimity([[1, 2, 3, 4]], [1.0], n)
    for order in range(n - 1):
        found = pair_deltas(game, [pair], every_context(pair, order, n)[None]).mean()
        needed = k - 2
        expected = math.comb(n - k, order - needed) / math.comb(n - 2, order) if order >= needed else 0
        assert found == pytest.approx(expected)


def test_relative_strength_has_mean_one_over_the_sampled_ratios():
    games = [random_game(16, seed) for seed in range(3)]
    result = estimate(games, 16, pairs="all", n_pairs=20, n_contexts=10)
    assert result.J.mean() == pytest.approx(1)
    np.testing.assert_allclose(result.J, result.strength / result.strength.mean())


def test_relative_strength_may_have_mean_one_over_all_orders():
    ratios = np.array([1.0, 0.0, 0.25])
    strength = np.array([[2.0, 4.0, 1.0]])  # by ratio: 4, 1, 2; trapezoids 0.625 + 1.125
    np.testing.assert_allclose(relative_strength(strength, ratios, "uniform-m"), strength / 1.75)
    result = estimate([Unanimity([[0, 1]], [1.0], 9)], 9, grid=(3, 3), ratios=ratios, normalise="uniform-m")
    np.testing.assert_allclose(result.J, relative_strength(result.strength, ratios, "uniform-m"))
    with pytest.raises(InputError, match="unknown normalise 'mean'; known: ratios, uniform-m"):
        estimate([], 9, normalise="mean")
    with pytest.raises(InputError, match="needs two different ratios"):
        estimate([], 9, ratios=(0.5,), normalise="uniform-m")


def test_orders_are_those_of_the_published_code():
    assert orders_of(PAPER_RATIOS, 196).tolist() == [0, 9, 19, 38, 58, 77, 97, 116, 135, 155, 174, 184, 194]


def test_orders_may_be_given_by_number():
    for n in range(2, 300):
        orders = list(range(n - 1))
        assert orders_of(ratios_of(orders, n), n).tolist() == orders
    by_number = estimate([random_game(9, 0)], 9, grid=(3, 3), orders=[0, 3, 7], n_contexts=2)
    by_ratio = estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=[0, 3 / 7, 1], n_contexts=2)
    assert by_number.orders.tolist() == [0, 3, 7]
    assert by_number.to_frame().equals(by_ratio.to_frame())
    for order in (-1, 8):
        with pytest.raises(InputError, match=f"order {order} is out of range: 9 players allow 0 to 7"):
            estimate([random_game(9, 0)], 9, grid=(3, 3), orders=[2, order])


def test_ratios_of_one_order_share_one_measurement():
    game = random_game(6, 0)
    result = estimate([game], 6, ratios=(0, 0.1, 0.2, 1), pairs="all", n_contexts=4)
    assert result.orders.tolist() == [0, 0, 0, 4]
    assert len(set(result.strength[:3])) == 1
    assert game.asked == result.evaluations[0] + result.evaluations[3]


# --- what is drawn


def test_contexts_are_uniform_over_the_other_players():
    n, pair, order = 7, (1, 4), 2
    contexts = draw_contexts(pair, order, n, 20000, np.random.default_rng(0))
    assert not contexts[:, pair].any()
    assert set(contexts.sum(axis=1)) == {order}
    kinds, counts = np.unique(contexts, axis=0, return_counts=True)
    assert len(kinds) == math.comb(n - 2, order)
    assert np.abs(counts - 2000).max() < 5 * math.sqrt(2000)


@pytest.mark.parametrize("order", [0, 5])
def test_first_and_last_order_have_one_context(order):
    contexts = draw_contexts((0, 3), order, 7, 4, np.random.default_rng(0))
    assert contexts.sum(axis=1).tolist() == [order] * 4


def listening(game):
    heard = []

    def wrapped(coalitions):
        heard.append(np.packbits(coalitions, axis=1).tobytes())
        return game(coalitions)

    return wrapped, heard


def test_questions_depend_on_seed_and_image_alone():
    def asked(position, ids, ratios=(0.3, 0.7), seed=0, n_pairs=6):
        games = [random_game(16, k) for k in range(3)]
        games[position], heard = listening(games[position])
        estimate(games, 16, grid=(4, 4), ratios=ratios, n_pairs=n_pairs, n_contexts=3, seed=seed, ids=ids)
        return heard

    first = asked(0, ["dog", "cat", "fox"])
    assert asked(2, ["cat", "fox", "dog"]) == first
    assert asked(0, ["dog", "cat", "fox"], ratios=(0.1, 0.3, 0.7))[-len(first) :] == first
    assert asked(0, ["cat", "dog", "fox"]) != first
    assert asked(0, ["dog", "cat", "fox"], seed=1) != first


def test_a_game_may_carry_its_id_and_its_grid():
    plain, heard_plain = listening(random_game(12, 0))
    named, heard_named = listening(random_game(12, 0))
    named.id, named.grid = "dog", (3, 4)
    estimate([named], 12, n_pairs=5, n_contexts=2)
    estimate([plain], 12, grid=(3, 4), n_pairs=5, n_contexts=2, ids=["dog"])
    assert heard_named == heard_plain


def test_contexts_of_a_pair_do_not_depend_on_the_other_pairs(monkeypatch):
    n, pairs = 10, [(0, 1), (4, 7), (2, 9)]
    settings = dict(ratios=(0.5,), n_contexts=5, estimator="paper")
    whole = estimate([random_game(n, 0)], n, pairs=pairs, **settings)
    monkeypatch.setattr(estimators, "BLOCK", 1)  # one pair at a time
    apart = estimate([random_game(n, 0)], n, pairs=pairs, **settings)
    turned = [estimate([random_game(n, 0)], n, pairs=[pair[::-1]], **settings) for pair in pairs]
    assert apart.strength == pytest.approx(whole.strength, abs=1e-12)
    assert np.mean([result.strength for result in turned]) == pytest.approx(whole.strength[0], abs=1e-12)


# --- the result


def test_evaluations_are_those_the_game_was_asked_for():
    games = [random_game(16, seed) for seed in range(2)]
    result = estimate(games, 16, grid=(4, 4), ratios=(0, 0.5, 1), n_pairs=7, n_contexts=6, estimator="paper")
    assert result.evaluations[1] <= 2 * 7 * 6 * 4
    assert sum(game.asked for game in games) == result.evaluations.sum()
    pairs = result.pairs
    distinct = sum(1 + len(np.unique(image)) + 7 for image in pairs)  # S, every S + i, every S + i + j
    assert result.evaluations[[0, 2]].tolist() == [distinct, distinct]
    assert (result.n_images, result.n_pairs, result.n_contexts) == (2, 7, 6)


def test_noise_floor_is_what_a_game_of_pure_noise_gives():
    rng = np.random.default_rng(0)

    def noise(coalitions):
        return rng.standard_normal(len(coalitions))

    settings = dict(grid=(5, 5), ratios=(0, 0.5, 1), n_pairs=40, n_contexts=10)
    plain, halved = (estimate([noise] * 60, 25, estimator=name, **settings) for name in ("paper", "efficient"))
    for result, share in ((plain, 1), (halved, 0.5)):
        assert result.noise_floor[[0, 2]].tolist() == [0, 0]
        floor = share * math.sqrt(2 / math.pi) * 2 / math.sqrt(10)
        assert result.noise_floor[1] == pytest.approx(floor, rel=0.05)
        assert result.strength[1] == pytest.approx(floor, rel=0.1)
    alone = estimate([noise], 25, grid=(5, 5), ratios=(0, 0.5), n_contexts=1)
    assert alone.noise_floor[0] == 0
    assert np.isnan(alone.noise_floor[1])


def test_intervals_hold_the_curve_and_come_from_the_seed():
    games = [random_game(16, seed) for seed in range(6)]
    first, again = (estimate(games, 16, grid=(4, 4), n_pairs=10, n_contexts=5, seed=3) for _ in range(2))
    assert (first.ci_low <= first.strength).all()
    assert (first.strength <= first.ci_high).all()
    assert (first.J_ci_low <= first.J).all()
    assert (first.J_ci_high >= first.J).all()
    assert first.to_frame().equals(again.to_frame())
    one = estimate(games[:1], 16, grid=(4, 4), n_pairs=10, n_contexts=5)
    assert (one.ci_low < one.ci_high).any()


def test_frame_has_the_columns_of_the_file():
    frame = estimate([random_game(9, 0)], 9, grid=(3, 3), n_contexts=2).to_frame()
    columns = "ratio, order, strength, ci_low, ci_high, J, J_ci_low, J_ci_high, noise_floor, "
    columns += "n_images, n_pairs, n_contexts, evaluations"
    assert ", ".join(frame.columns) == columns
    assert len(frame) == 13
    assert frame.ratio.tolist() == list(PAPER_RATIOS)


def test_games_are_made_and_dropped_one_by_one():
    alive: weakref.WeakSet[Unanimity] = weakref.WeakSet()

    def games():
        for seed in range(5):
            game = random_game(9, seed)
            alive.add(game)
            yield game
            assert len(alive) <= 2

    assert estimate(games(), 9, grid=(3, 3), ratios=(0, 1)).n_images == 5


@pytest.mark.parametrize("batch_size", [1, 3, 10**6])
def test_curve_of_a_network_does_not_depend_on_the_batch_size(batch_size):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.GELU(), nn.Flatten(), nn.Linear(54, 4)).eval()
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    def curve(size):
        games = (PatchGame(net, image, 1, (4, 4), batch_size=size) for image in images)
        return estimate(games, 16, ratios=(0, 0.5, 1), n_pairs=5, n_contexts=4).strength

    np.testing.assert_allclose(curve(batch_size), curve(16), rtol=1e-4)


def test_progress_is_shown_on_request_to_a_terminal(capsys, monkeypatch):
    estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=(0, 1), progress="my net")
    assert capsys.readouterr().err == ""  # a log file gets no bar
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=(0, 1), progress="my net")
    assert "my net: 100%" in capsys.readouterr().err
    estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=(0, 1))
    assert capsys.readouterr().err == ""


# --- mistakes


@pytest.mark.parametrize(
    ("pairs", "contexts", "message"),
    [
        ([(0, 9)], np.zeros((1, 2, 9), bool), r"pair \(0, 9\) is out of range: players are 0 to 8"),
        ([(-1, 2)], np.zeros((1, 2, 9), bool), r"pair \(-1, 2\) is out of range"),
        ([(3, 3)], np.zeros((1, 2, 9), bool), r"pair \(3, 3\): a player does not interact with itself"),
        ([(0, 1, 2)], np.zeros((1, 2, 9), bool), r"pairs must be integers \(P, 2\)"),
        ([(0.0, 1.0)], np.zeros((1, 2, 9), bool), "got float64"),
        ([(0, 1), (1, 2)], np.zeros((1, 2, 9), bool), "2 pairs, but contexts for 1"),
        ([(0, 1)], np.zeros((2, 9), bool), r"contexts must be bool \(P, T, players\), got bool \(2, 9\)"),
        ([(0, 1)], np.zeros((1, 2, 9)), "got float64"),
        ([(2, 1)], np.ones((1, 2, 9), bool), r"a context of pair \(2, 1\) holds one of the two"),
    ],
)
def test_wrong_pairs_and_contexts_are_named(pairs, contexts, message):
    with pytest.raises(InputError, match=message):
        pair_deltas(random_game(9, 0), pairs, contexts)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(estimator="fast"), "unknown estimator 'fast'; known: efficient, paper"),
        (dict(ratios=(0, 1.2)), "ratio 1.2 is outside 0 to 1"),
        (dict(ratios=()), "no ratios"),
        (dict(pairs="near"), r"unknown pairs 'near'; known: neighbours, clamped, all, or an array \(P, 2\)"),
        (dict(pairs=[(0, 9)]), r"pair \(0, 9\) is out of range"),
        (dict(grid=None), r"pairs 'neighbours' need the grid=\(rows, cols\) of the players; pairs 'all' need none"),
        (dict(grid=(4, 4)), "a grid of 4x4 has 16 cells, not 9 players"),
        (dict(n_players=1), r"1 player\(s\) have no pairs"),
        (dict(n_pairs=0), "n_pairs is 0"),
        (dict(n_contexts=-1), "n_contexts is -1"),
        (dict(games=[]), "no games given"),
        (dict(games=iter([])), "no games given"),
        (dict(ids=[]), "0 ids given, but there are more games"),
        (dict(games=[lambda coalitions: np.zeros((3, 1))]), r"the game gives shape \(3, 1\) for \d+ coalitions"),
    ],
)
def test_wrong_settings_are_named(change, message):
    settings = dict(games=[random_game(9, 0)], n_players=9, grid=(3, 3), n_contexts=2) | change
    with pytest.raises(InputError, match=message):
        estimate(**settings)


def test_scores_that_are_no_numbers_end_the_estimate():
    with pytest.raises(RunError, match=r"[0-9]+ of [0-9]+ scores are not finite"):
        estimate([lambda coalitions: np.full(len(coalitions), np.inf)], 9, grid=(3, 3), ratios=(0,))


def test_nothing_global_is_seeded():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    estimate([random_game(9, 0)], 9, grid=(3, 3), ratios=(0.5,), n_contexts=2, seed=seeds.derive("any"))
    assert torch.rand(1) == expected
