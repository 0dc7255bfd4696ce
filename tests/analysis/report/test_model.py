"""What the page is made of: tables that are cut, times in words."""

import pytest

from a2mim.analysis.core import numbers
from a2mim.analysis.report import model


def test_tables_are_cut_and_say_so():
    rows = [[numbers.text(number)] for number in range(model.ROWS + 5)]
    found = model.table("t", ["n"], rows, "t.csv", "All of them.")
    assert len(found.rows) == model.ROWS
    assert found.note == "All of them. The first 200 of 205 rows; all are in t.csv."


@pytest.mark.parametrize(("seconds", "said"), [(1.25, "1.2 s"), (42, "42 s"), (90, "1 min 30 s"), (7260, "2 h 1 min")])
def test_durations(seconds, said):
    assert model.duration(seconds) == said
