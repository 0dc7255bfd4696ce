"""Every row of the table says what it is; the README has the table as it stands."""

import pytest

from a2mim.checkpoint import table


def test_the_table_has_a_row_for_every_format():
    rows = table.rows()
    assert len(rows) == len(table.FORMATS) + 1
    assert all(len(row) == len(rows[0]) for row in rows)
    moco = next(row for row in rows if row[0] == "MoCo v3")
    assert moco[3] == "base (momentum)"


@pytest.mark.parametrize("format", table.FORMATS, ids=lambda format: f"{format.name}, {format.kind}")
def test_formats_say_what_they_are(format):
    assert format.name
    assert format.kind
    assert format is table.FORMATS[-1] or format.has or format.meta  # the last one alone fits everything
    if format.normalisation:
        assert all(len(values) == 3 for values in format.normalisation)
