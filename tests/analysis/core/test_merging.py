"""Parts of several folders joined; what each analysis makes of them is in the tests of its pipeline."""

import json

import numpy as np
import pytest

from a2mim.analysis.core import merging
from a2mim.analysis.core.parts import Parts
from a2mim.errors import InputError


@pytest.fixture
def sums(monkeypatch):
    """An analysis that sums what two parts hold."""

    def missing(folder):
        return [number for number in range(2) if not (folder / f"{number}.npz").exists()]

    def write(output, folders, about):
        total = sum(np.load(path)["x"].sum() for folder in folders for path in folder.glob("*.npz"))
        (output / "sums.json").write_text(json.dumps(float(total)))
        return {"json": output / "sums.json"}

    monkeypatch.setattr(merging, "KINDS", {"sums": merging.Kind(missing, write)})


def part(folder, number, value, name="a", **settings):
    Parts(folder / "sums.parts" / name, {"name": name, **settings}).save(str(number), {"x": np.array([value])})


def test_parts_of_two_folders_become_one_result(sums, tmp_path):
    part(tmp_path / "one", 0, 1.5)
    part(tmp_path / "two", 1, 2.0)
    for folder in ("one", "two"):
        part(tmp_path / folder, 0, 10.0, "b")
        part(tmp_path / folder, 1, 20.0, "b")
    written = merging.merge([tmp_path / "one", tmp_path / "two"], tmp_path / "all")
    assert written == {"sums json": tmp_path / "all" / "sums.json"}
    assert json.loads((tmp_path / "all" / "sums.json").read_text()) == 1.5 + 2.0 + 10.0 + 20.0  # nothing twice
    assert merging.merge([tmp_path / "all"], tmp_path / "all")  # into the folder itself


def test_what_cannot_be_joined_is_refused(sums, tmp_path):
    part(tmp_path / "one", 0, 1.0, seed=0)
    part(tmp_path / "other", 1, 1.0, seed=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"sums of a: 1 of its parts are in none of the folders \(1\)"):
        merging.merge([tmp_path / "one"], tmp_path / "out")
    with pytest.raises(InputError, match="parts of other settings: seed is 0 there, 1 here"):
        merging.merge([tmp_path / "one", tmp_path / "other"], tmp_path / "mixed")
    with pytest.raises(InputError, match=r"no parts in .*empty \(sums.parts\)"):
        merging.merge([tmp_path / "one", tmp_path / "empty"], tmp_path / "none")


def test_networks_that_were_asked_for_different_things_are_not_compared(sums, tmp_path):
    for number in range(2):
        part(tmp_path / "one", number, 1.0, "a", seed=0, network="0f")
        part(tmp_path / "other", number, 1.0, "b", seed=1, network="1e")
        part(tmp_path / "alike", number, 1.0, "c", seed=0, network="2d")
    with pytest.raises(InputError, match=r"sums: networks .* the same settings: seed is 0 for a, 1 for b"):
        merging.merge([tmp_path / "one", tmp_path / "other"], tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()
    assert merging.merge([tmp_path / "one", tmp_path / "alike"], tmp_path / "both")
