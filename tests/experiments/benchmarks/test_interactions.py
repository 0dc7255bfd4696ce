"""The arithmetic of the interactions benchmark; its figures are for people."""

import numpy as np
import pytest
from click.testing import CliRunner

from a2mim.analysis.interactions.estimators import every_context
from a2mim.experiments.benchmarks import interactions as interaction_benchmark
from a2mim.experiments.benchmarks import suite
from a2mim.experiments.benchmarks.interactions import Trials, Unanimity
from tests.analysis.interactions.test_estimating import literal_delta


def test_a_gain_is_error_times_evaluations():
    paper = Trials(np.full((3, 2, 1), 0.2), np.array([10_000.0]))
    efficient = Trials(np.full((3, 2, 1), -0.1), np.array([4000.0]))
    assert paper.cost / efficient.cost == pytest.approx([10.0])
    assert efficient.rmse == pytest.approx([0.1])
    assert efficient.bias == pytest.approx([-0.1])


def test_the_games_know_their_answer():
    game, n = Unanimity((3, 3), 20, seed=1), 9
    pairs = np.array([(0, 1), (4, 8), (2, 6)])
    for order in (0, 3, 7):
        for (i, j), known in zip(pairs.tolist(), game.interaction(pairs, order), strict=True):
            deltas = [literal_delta(game, i, j, context, n) for context in every_context((i, j), order, n)]
            assert np.mean(deltas) == pytest.approx(known, abs=1e-6)


def test_the_bias_at_the_default_setting_is_small_and_intervals_cover():
    bias, cover = interaction_benchmark.known_games(repetitions=20, n_images=15)
    assert np.abs(bias).max() < 0.04
    assert cover.mean() > 0.85


def test_the_command_prints_a_table(monkeypatch):
    monkeypatch.setattr(interaction_benchmark, "REFERENCE", 2)
    monkeypatch.setattr(interaction_benchmark, "PAPER_RATIOS", (0.0, 0.5))
    result = CliRunner().invoke(
        suite.main,
        ["interactions", *["--images", "1", "--repetitions", "1", "--games", "2", "--pairs", "1"]],
    )
    assert result.exit_code == 0, result.output
    assert "geometric mean" in result.output
    assert "throughput" in result.output
