"""Trials by seed: each a run, none twice, and a table with mean and deviation."""

import csv
import dataclasses
import math

import pytest

from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings
from a2mim.training.runs import Run
from a2mim.training.trials import begun_settings, describe, mean_and_deviation, parse_seeds, run_trials, trials_folder

TWO = FinetuneSettings(epochs=2)


def trainer(calls, *, interrupted_at=None):
    """Stands for a training: writes what a run of two epochs leaves behind; top-1 is 10 times the seed, plus epoch."""

    def train(settings, path, begun):
        seed = settings.seed
        calls.append((seed, begun))
        run = Run(path)
        run.write_settings(settings.as_values())
        for epoch in (1, 2):
            (path / "last.pth.tar").write_bytes(b"state")
            if seed == interrupted_at and epoch == 2:
                raise KeyboardInterrupt
            run.write_row({"epoch": epoch, "loss": 1.0, "top1": 10.0 * seed + 2 - epoch, "top5": 90.0})
        (path / "backbone.safetensors").write_bytes(b"weights")
        return run

    return train


def test_each_seed_is_a_run_and_the_table_has_mean_and_deviation(tmp_path):
    calls, said = [], []
    rows = run_trials(tmp_path, (0, 1, 4), TWO, trainer(calls), said.append)
    assert calls == [(0, None), (1, None), (4, None)]
    assert [(row["seed"], row["top1"], row["best_top1"]) for row in rows] == [(0, 0, 1), (1, 10, 11), (4, 40, 41)]
    with open(tmp_path / "seeds.csv", newline="") as handle:
        table = {row["seed"]: row for row in csv.DictReader(handle)}
    assert list(table) == ["0", "1", "4", "mean", "std"]
    deviation = math.sqrt(((0 - 50 / 3) ** 2 + (10 - 50 / 3) ** 2 + (40 - 50 / 3) ** 2) / 2)
    assert float(table["mean"]["top1"]) == pytest.approx(50 / 3)
    assert float(table["std"]["top1"]) == pytest.approx(deviation)
    assert said[-1].split()[:4] == ["mean", "16.67", "±", "21"]


def test_what_is_complete_is_not_run_again_and_what_was_begun_goes_on(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_trials(tmp_path, (0, 1, 2), TWO, trainer([], interrupted_at=1), lambda _: None)
    with open(tmp_path / "seeds.csv", newline="") as handle:
        assert [row["seed"] for row in csv.DictReader(handle)] == ["0", "mean"]
    calls = []
    rows = run_trials(tmp_path, (0, 1, 2), TWO, trainer(calls), lambda _: None)
    assert calls == [(1, tmp_path / "seed-1"), (2, None)]
    assert [row["seed"] for row in rows] == [0, 1, 2]
    calls.clear()
    more = dataclasses.replace(TWO, epochs=3)
    run_trials(tmp_path, (0, 1), more, trainer(calls), lambda _: None)
    assert calls == [(0, tmp_path / "seed-0"), (1, tmp_path / "seed-1")]
    other = dataclasses.replace(TWO, smoothing=0.3)
    with pytest.raises(InputError, match=r"started with smoothing=0.1 and cannot continue with smoothing=0.3"):
        run_trials(tmp_path, (2,), other, trainer(calls), lambda _: None)


def test_a_folder_of_trials_is_new_or_the_newest_that_has_any(tmp_path):
    assert trials_folder(tmp_path, "t") == trials_folder(tmp_path, "t", "auto") == tmp_path / "t"
    assert begun_settings(tmp_path / "t") is None
    run_trials(tmp_path / "t", (3,), TWO, trainer([]), lambda _: None)
    (tmp_path / "t-other").mkdir()
    assert trials_folder(tmp_path, "t") == tmp_path / "t-2"
    assert trials_folder(tmp_path, "t", "auto") == trials_folder(tmp_path, "x", str(tmp_path / "t")) == tmp_path / "t"
    assert begun_settings(tmp_path / "t") == tmp_path / "t" / "seed-3"
    with pytest.raises(InputError, match="no trials to resume"):
        trials_folder(tmp_path, "t", str(tmp_path / "t-other"))


def test_one_trial_has_no_deviation():
    mean, deviation = mean_and_deviation([3.0])
    assert (mean, math.isnan(deviation)) == (3, True)
    assert describe([{"seed": 7, "top1": 81.5}])[-1].split() == ["mean", "81.5"]


@pytest.mark.parametrize("text", ["0,1,2", "0 1 2", "0, 1,2"])
def test_seeds_are_divided_by_commas_or_spaces(text):
    assert parse_seeds(text) == (0, 1, 2)


@pytest.mark.parametrize(("text", "message"), [("", "whole numbers"), ("0,-1", "whole numbers"), ("1,1", "twice")])
def test_other_seeds_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        parse_seeds(text)
