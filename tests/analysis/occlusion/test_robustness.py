"""Numbers of an occlusion curve, by hand; intervals that cover; differences that are paired."""

import numpy as np
import pytest

from a2mim.analysis.core import statistics
from a2mim.analysis.occlusion import robustness
from a2mim.errors import InputError

RATIOS = (0.0, 0.2, 0.6, 1.0)


def test_area_is_the_trapezoids_over_the_span():
    accuracy = np.array([[0.8, 0.6, 0.4, 0.0], [1.0, 1.0, 1.0, 1.0]])
    by_hand = 0.2 * (0.8 + 0.6) / 2 + 0.4 * (0.6 + 0.4) / 2 + 0.4 * (0.4 + 0.0) / 2
    assert robustness.area(accuracy, RATIOS).tolist() == pytest.approx([by_hand, 1.0])
    assert robustness.area(accuracy[1:, 1:], RATIOS[1:]).tolist() == pytest.approx([1.0])  # 0.2 to 1


def test_kept_is_relative_to_the_whole_image_and_interpolated():
    accuracy = np.array([0.8, 0.6, 0.4, 0.2])
    assert robustness.kept(accuracy, RATIOS, 0.6) == pytest.approx(0.5)
    assert robustness.kept(accuracy, RATIOS, 0.5) == pytest.approx((0.6 + 0.75 * (0.4 - 0.6)) / 0.8)
    assert robustness.kept(accuracy, RATIOS, 0.0) == 1
    assert np.isnan(robustness.kept(np.zeros(4), RATIOS, 0.5))


@pytest.mark.parametrize(
    ("accuracy", "value"),
    [
        ([1.0, 0.8, 0.4, 0.0], 0.0),  # the chord itself
        ([1.0, 1.0, 1.0, 0.0], (0.2 + 0.4 + 0.2 - 0.5) / 0.5),  # stays, then falls
        ([1.0, 0.0, 0.0, 0.0], (0.1 - 0.5) / 0.5),  # falls at once
    ],
)
def test_convexity_is_the_signed_area_over_the_chords(accuracy, value):
    assert robustness.convexity(np.array(accuracy), RATIOS) == pytest.approx(value)


def test_measures_that_the_ratios_do_not_reach_are_left_out():
    accuracy = np.array([0.8, 0.6, 0.5])
    assert list(robustness.measures(accuracy, (0.0, 0.2, 0.6))) == ["area", "kept at 50%", "convexity"]
    with pytest.raises(InputError, match="two ratios or more that rise"):
        robustness.measures(accuracy, (0.0, 0.6, 0.2))
    with pytest.raises(InputError, match="two ratios or more"):
        robustness.measures(accuracy[:1], (0.5,))


def test_intervals_cover_the_true_accuracy():
    truth, covered = np.array([0.9, 0.5]), []
    for trial in range(60):
        generator = np.random.default_rng(trial)
        difficulty = generator.random((80, 1, 1))  # one image is as hard in all runs
        correct = (difficulty < truth) | np.zeros((80, 3, 2), dtype=bool)
        low, high = robustness.curve_interval(correct, seed=trial)
        covered.append((low <= truth) & (truth <= high))
    assert np.mean(covered) > 0.88


def test_runs_are_drawn_too_where_their_masks_are_shared():
    generator = np.random.default_rng(0)
    of_run = generator.random((1, 4, 1)) < 0.5
    correct = np.broadcast_to(of_run, (50, 4, 1)).copy()  # all images right or wrong together
    assert np.ptp(robustness.curve_interval(correct, 0)) == pytest.approx(0, abs=1e-6)
    assert np.ptp(robustness.curve_interval(correct, 0, runs_too=True)) > 0.3


def test_differences_are_paired():
    generator = np.random.default_rng(0)
    hard = generator.random((200, 2, 3)) < np.array([0.9, 0.6, 0.3])
    better = hard | (generator.random(hard.shape) < 0.05)
    table = robustness.summary({"a": hard, "b": better}, (0.0, 0.5, 1.0), seed=0).set_index(["checkpoint", "measure"])
    assert table.loc["a"].difference.isna().all()
    row = table.loc["b", "area"]
    assert row.difference == pytest.approx(row.value - table.loc["a", "area"].value)
    assert row.difference_ci_low > 0  # told apart
    assert row.ci_low < table.loc["a", "area"].ci_high  # though the two intervals overlap
    twin = robustness.summary({"a": hard, "b": hard.copy()}, (0.0, 0.5, 1.0), seed=0).set_index("checkpoint").loc["b"]
    assert (twin[["difference", "difference_ci_low", "difference_ci_high"]].to_numpy() == 0).all()


def test_sentences_say_whether_models_differ():
    generator = np.random.default_rng(0)
    hard = generator.random((200, 2, 3)) < np.array([0.9, 0.6, 0.3])
    better = hard | (generator.random(hard.shape) < 0.2)
    lines = robustness.sentences(robustness.summary({"a": hard, "b": better, "c": hard}, (0.0, 0.5, 1.0), seed=0))
    assert [line.split(":")[0] for line in lines] == ["a", "b", "b against a", "c", "c against a"]
    assert lines[0].startswith("a: area 0.6")
    assert "convexity" in lines[0]
    assert lines[2].endswith("they differ")
    assert lines[4].endswith("no difference beyond chance")


def test_one_image_has_no_interval():
    table = robustness.summary({"a": np.ones((1, 2, 3), bool), "b": np.zeros((1, 2, 3), bool)}, (0.0, 0.5, 1.0), seed=0)
    ends = ["ci_low", "ci_high", "difference_ci_low", "difference_ci_high"]
    assert table[ends].isna().all(axis=None)
    assert table.set_index(["checkpoint", "measure"]).difference["b", "area"] == -1
    assert robustness.sentences(table)[0].startswith("a: area 1.000, kept at 50% 1.000")
    assert len(robustness.sentences(table)) == 2  # nothing is said of the difference
    assert np.isnan(robustness.curve_interval(np.ones((1, 2, 3), bool), 0)).all()


def test_few_runs_of_shared_masks_are_not_taken_for_many(monkeypatch):
    monkeypatch.setattr(statistics, "RESAMPLES", 200)
    covered = []
    for trial in range(200):
        generator = np.random.default_rng(trial)
        of_run, of_image = 0.3 * generator.standard_normal((1, 3, 1)), generator.standard_normal((100, 1, 1))
        low, high = robustness.curve_interval(of_run + of_image < 0, trial, runs_too=True)[:, 0]
        covered.append(low <= 0.5 <= high)
    assert np.mean(covered) > 0.92
