"""What the page is made of: tables that are cut, times in words."""

from a2mim.analysis.core import numbers
from a2mim.analysis.report import model


def test_tables_are_cut_and_say_so():
    rows = [[numbers.text(number)] for number in range(model.ROWS + 5)]
    found = model.table("t", ["n"], rows, "t.csv", "All of them.")
    assert len(found.rows) == model.ROWS
    assert found.note == "All of them. The first 200 of 205 rows; all are in t.csv."
