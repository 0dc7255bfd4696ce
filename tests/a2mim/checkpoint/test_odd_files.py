"""Damaged and odd checkpoints, made from a fixed seed: each loads or is refused in one line, within 20 seconds."""

import pytest
from odd_files import survey


def test_a_hundred_odd_files(tmp_path):
    counts, wrong = survey(tmp_path, range(100))
    assert not wrong
    assert counts["refused"] > 50
    assert counts["loaded"] > 5


@pytest.mark.slow
def test_two_thousand_odd_files(tmp_path):
    counts, wrong = survey(tmp_path, range(2000))
    print(dict(counts))
    assert not wrong
    assert sum(counts.values()) == 2000
