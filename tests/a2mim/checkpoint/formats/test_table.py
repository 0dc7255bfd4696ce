"""Every row of the table says what it is; docs/checkpoints.md has the table as it stands."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from a2mim.checkpoint.formats import table
from a2mim.commands.checkpoint import main


def test_the_table_has_a_row_for_every_name():
    rows = table.rows()
    assert [row[0] for row in rows[1:]] == list(dict.fromkeys(format.name for format in table.FORMATS))
    assert all(len(row) == len(rows[0]) for row in rows)
    assert all(row[1] and row[2] and row[3] for row in rows)
    moco = next(row for row in rows if row[0] == "MoCo v3")
    assert moco[2:5] == ("pre-training, classifier", "base (momentum, encoder)", "projection head")


def test_the_document_has_the_table_as_the_command_prints_it():
    document = (Path(__file__).parents[4] / "docs" / "checkpoints.md").read_text()
    printed = CliRunner().invoke(main, ["formats"]).output
    assert printed.strip() in document, "put the output of `a2mim-checkpoint formats` into docs/checkpoints.md"


@pytest.mark.parametrize("format", table.FORMATS, ids=lambda format: f"{format.name}, {format.kind}")
def test_formats_say_what_they_are(format):
    assert format.name
    assert format.kind
    assert format is table.FORMATS[-1] or format.has or format.meta  # the last one alone fits everything
    if format.normalisation:
        assert all(len(values) == 3 for values in format.normalisation)
