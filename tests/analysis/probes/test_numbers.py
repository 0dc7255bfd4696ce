"""The numbers of spectra and variances on the page, compared with what the tables hold."""

import page_results
from page_results import texts

from a2mim.analysis.probes import numbers


def test_layers_first_last_largest_smallest(tmp_path):
    variance = numbers.variance(page_results.tables(page_results.layers(tmp_path, "variance"))).tables[0]
    assert texts(variance)[0] == [
        *("net-a", "3", "50", "0.100 (0.050 to 0.150), stem", "2.100 (2.050 to 2.150), stage2"),
        *("2.100 (2.050 to 2.150), stage2", "0.100 (0.050 to 0.150), stem"),
    ]
    highest, at = numbers.spectrum(page_results.tables(page_results.layers(tmp_path, "spectrum"))).tables
    assert [cell.value for cell in highest.rows[0][3:5]] == [-1.0, -3.0]
    assert [cell.value for cell in at.rows[0][3:5]] == [-0.5, -1.5]
    assert at.caption == "Δ log amplitude at 0.5π, which all layers have"
