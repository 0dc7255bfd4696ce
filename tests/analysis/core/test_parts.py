import numpy as np
import pytest

from a2mim.analysis.core.parts import SETTINGS, Parts, merge
from a2mim.errors import InputError


def test_a_part_comes_back_as_it_was(tmp_path):
    kept = Parts(tmp_path, {"seed": 0, "grid": (8, 8)})
    arrays = {"strength": np.array([[np.nan, 0.1 + 0.2]]), "pairs": np.arange(4)}
    kept.save("image-3", arrays)
    again = Parts(tmp_path, {"seed": 0, "grid": [8, 8]})
    found = again.load("image-3")
    assert again.names() == ["image-3"]
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert again.load("image-4") is None


def test_a_part_that_is_no_part_counts_as_none(tmp_path):
    kept = Parts(tmp_path, {})
    for content in (b"", b"PK\x03\x04", b"something else"):
        (tmp_path / "image-0.npz").write_bytes(content)
        assert kept.load("image-0") is None


def test_other_settings_are_refused_with_the_difference(tmp_path):
    Parts(tmp_path, {"seed": 0, "n_pairs": 200})
    with pytest.raises(InputError, match="parts of other settings: n_pairs is 200 there, 100 here"):
        Parts(tmp_path, {"seed": 0, "n_pairs": 100})
    with pytest.raises(InputError, match="amp is None there, True here"):
        Parts(tmp_path, {"seed": 0, "n_pairs": 200, "amp": True})


def test_parts_are_merged_and_those_of_other_settings_refused(tmp_path):
    for name, parts in (("a", (0, 1)), ("b", (1, 2))):
        kept = Parts(tmp_path / name, {"seed": 0})
        for part in parts:
            kept.save(f"image-{part}", {"x": np.full(2, part)})
    assert merge([tmp_path / "a", tmp_path / "b"], tmp_path / "c") == 3
    assert Parts(tmp_path / "c", {"seed": 0}).names() == ["image-0", "image-1", "image-2"]
    Parts(tmp_path / "d", {"seed": 1})
    with pytest.raises(InputError, match="seed is 0 there, 1 here"):
        merge([tmp_path / "d"], tmp_path / "c")
    (tmp_path / "e").mkdir()
    with pytest.raises(InputError, match="e holds no parts"):
        merge([tmp_path / "e"], tmp_path / "c")
    (tmp_path / "e" / SETTINGS).write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        merge([tmp_path / "e"], tmp_path / "f")
