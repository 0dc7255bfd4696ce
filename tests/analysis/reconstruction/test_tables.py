"""Tables of reconstructions from parts, against averages by hand."""

import numpy as np
import pytest

from a2mim.analysis.core.analysis import Gathered
from a2mim.analysis.reconstruction import tables


def gathered(name, l1, token="with"):
    """Parts of three images in two portions, as ``measure`` gives them."""
    variants = 2 if token == "both" else 1
    l1 = np.array(l1, dtype=float).reshape(3, variants)
    arrays = {"image": np.array([4, 7, 9]), "l1": l1, "psnr": 10 - l1}
    arrays |= {f"energy {key}": np.full((3, variants, 9), value) for key, value in ENERGIES.items()}
    portions = [{key: value[part] for key, value in arrays.items()} for part in (slice(0, 2), slice(2, 3))]
    return Gathered(name, {"token": token, "seed": 0}, portions)


ENERGIES = {"error": 0.5, "target": 2.0, "prediction": 1.0}


def test_errors_averages_and_paired_differences():
    found = tables.tables([gathered("a", [1, 2, 3]), gathered("b", [2, 4, 6])])
    assert found[""].l1.tolist() == [1, 2, 3, 2, 4, 6]
    assert found[""].image.tolist() == [4, 7, 9] * 2
    means = found["summary"][found["summary"].measure == "l1"].set_index("checkpoint")
    assert means.value.tolist() == [2, 4]
    assert means.difference["b"] == pytest.approx(2)
    assert means.against["b"] == "a"
    assert found["bands"].error.tolist() == pytest.approx([0.25] * 18)
    assert found["bands"].energy.tolist() == pytest.approx([0.5] * 18)


def test_without_its_token_a_network_is_compared_with_itself():
    found = tables.tables([gathered("a", [1, 5, 2, 6, 3, 7], "both")])
    means = found["summary"][found["summary"].measure == "l1"].set_index("token")
    assert means.value.tolist() == [2, 6]
    assert means.difference["without"] == pytest.approx(4)
    assert tables.title("a", "without") == "a, without token"
