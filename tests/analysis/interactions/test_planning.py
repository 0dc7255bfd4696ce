import pytest

from a2mim.analysis.interactions import planning
from a2mim.analysis.interactions.estimating import estimate
from a2mim.errors import InputError

QUESTION = dict(grid=(6, 6), ratios=(0.0, 0.3, 0.5, 1.0), pairs="neighbours", distance=2, estimator="efficient")


def test_the_cost_is_what_an_estimate_asks_for():
    class Counting:
        asked = 0

        def __call__(self, coalitions):
            self.asked += len(coalitions)
            return coalitions.sum(axis=1) * 1.0

    plan = planning.plan(36, QUESTION, n_images=2, most_images=50, n_pairs=40)
    games = [Counting(), Counting()]
    estimate(games, 36, n_pairs=plan.n_pairs, n_contexts=plan.n_contexts, **QUESTION)
    assert sum(game.asked for game in games) == pytest.approx(plan.evaluations, rel=0.1)


def test_given_numbers_stand_and_defaults_fill_the_rest():
    plan = planning.plan(36, QUESTION, n_images=7, most_images=50)
    assert (plan.n_images, plan.n_pairs, plan.n_contexts) == (7, 200, 12)
    assert planning.plan(36, QUESTION, n_images=7, most_images=5).n_images == 5


def test_a_larger_budget_is_kept_and_gives_a_smaller_error():
    errors = []
    for evaluations in (20_000, 100_000, 1_000_000):
        plan = planning.plan(36, QUESTION, n_images=None, most_images=2000, evaluations=evaluations)
        assert plan.evaluations <= evaluations
        errors.append(plan.standard_error)
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 1.5 * errors[-1]


def test_a_budget_too_small_for_one_image_is_refused():
    with pytest.raises(InputError, match="50 evaluations of a network are not enough for one image"):
        planning.plan(36, QUESTION, n_images=None, most_images=9, evaluations=50)


def test_the_description_says_what_is_measured_and_for_how_long():
    text = planning.Plan(100, 200, 12, 13, 50_000).describe(2, 1000.0, (0, 1))
    assert "100 images x 13 orders x 200 pairs x 12 contexts on 2 network(s) = 10,000,000 evaluations" in text
    assert "about 2 h 47 min at 1,000 images/s" in text
    assert "this shard does 1/4" in planning.Plan(100, 200, 12, 13, 50_000).describe(2, 1000.0, (0, 4))
