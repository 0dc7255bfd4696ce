"""The examples in docstrings of public names run as they are written."""

import doctest
import importlib

import pytest

PUBLIC = {
    "interactions.estimating": "estimate",
    "interactions.estimators": "pair_deltas",
    "interactions.games": "PatchGame",
    "occlusion.curves": "sweep",
    "probes.features": "capture",
    "probes.spectrum": "relative_log_amplitude",
    "probes.variance": "feature_variance",
    "reconstruction.pictures": "panels",
}


@pytest.mark.parametrize("name", PUBLIC)
def test_examples_give_what_they_show(name):
    module = importlib.import_module(f"a2mim.analysis.{name}")
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert PUBLIC[name] in {test.name.rpartition(".")[2] for test in tests}
    for test in tests:
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
        assert result.failed == 0, test.name
