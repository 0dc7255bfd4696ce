"""The numbers of reconstructions on the page, compared with what the tables hold."""

import page_results
import pytest
from page_results import texts

from a2mim.analysis.reconstruction import numbers


def test_reconstructions_are_averaged_where_no_summary_is(tmp_path):
    found = numbers.reconstruct(page_results.tables(page_results.reconstruct(tmp_path)))
    assert [cell.value for cell in found.tables[0].rows[1][3:]] == pytest.approx([0.21, 19.0])
    assert texts(found.tables[1])[0] == ["net-a", "with", "0π to 0.5π", "0.50 (0.40 to 0.60)", "0.70 (0.60 to 0.80)"]
