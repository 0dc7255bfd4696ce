"""Verdicts: the sign of an interval over seeds, and nothing more."""

import pandas as pd
import pytest

from a2mim.experiments.findings import ABSENT, OPEN, OPPOSED, SUPPORTED, judge, per_seed

TABLE = pd.DataFrame(
    {
        "seed": [0, 1, 2] * 3,
        "method": ["a2mim"] * 3 + ["simmim"] * 3 + ["mocov3"] * 3,
        "top1": [81.0, 86.0, 83.5, 80.0, 84.0, 82.0, 80.0, 88.0, 83.0],
    }
)


@pytest.mark.parametrize(
    ("better", "than", "expected", "verdict"),
    [
        ("a2mim", "simmim", 1, SUPPORTED),
        ("simmim", "a2mim", 1, OPPOSED),
        ("simmim", "a2mim", -1, SUPPORTED),
        ("a2mim", "simmim", -1, OPPOSED),
        ("a2mim", "mocov3", 1, OPEN),
    ],
)
def test_the_verdict_is_the_sign_of_the_whole_interval(better, than, expected, verdict):
    finding = judge("s", per_seed(TABLE, "top1"), better, than, measure="top-1", expected=expected)
    assert finding.verdict == verdict


def test_the_numbers_are_said():
    finding = judge("s", per_seed(TABLE, "top1"), "a2mim", "simmim", measure="top-1 (%)")
    assert finding.measured == "top-1 (%): a2mim 83.50, simmim 82.00; difference +1.50 (+0.26 to +2.74), 3 seeds"


def test_one_seed_decides_nothing():
    finding = judge("s", per_seed(TABLE[TABLE.seed == 0], "top1"), "a2mim", "simmim", measure="top-1")
    assert finding.verdict == OPEN
    assert "1 seed" in finding.measured


def test_a_method_that_was_not_run_is_named():
    finding = judge("s", per_seed(TABLE, "top1"), "a2mim", "dino", measure="top-1")
    assert (finding.measured, finding.verdict) == ("no runs of dino", ABSENT)


def test_only_seeds_that_both_have_are_compared():
    table = TABLE[~((TABLE.seed == 2) & (TABLE.method == "simmim"))]
    assert "2 seeds" in judge("s", per_seed(table, "top1"), "a2mim", "simmim", measure="top-1").measured
