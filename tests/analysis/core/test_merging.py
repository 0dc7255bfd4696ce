"""Parts of several folders joined; what each analysis makes of them is in the tests of its record."""

import numpy as np
import pandas as pd
import pytest
from toy import record

from a2mim.analysis.core import merging
from a2mim.analysis.core.parts import Parts
from a2mim.errors import InputError

TOYS = [record()]


def part(folder, number, value, name="a", **settings):
    about = {"name": name, "images": {}, "network": name, "portions": 2, "times": 1.0, **settings}
    arrays = {"mean": np.array([value]), "image": np.array([number])}
    Parts(folder / "toy.parts" / name, about).save(f"portion-{number:05d}", arrays)


def test_parts_of_two_folders_become_one_result(tmp_path):
    part(tmp_path / "one", 0, 1.5)
    part(tmp_path / "two", 1, 2.0)
    for folder in ("one", "two"):
        part(tmp_path / folder, 0, 10.0, "b")
        part(tmp_path / folder, 1, 20.0, "b")
    said = []
    written = merging.merge(
        [tmp_path / "one", tmp_path / "two"], tmp_path / "all", TOYS, command="merge", echo=said.append
    )
    assert written["toy csv"] == tmp_path / "all" / "toy.csv"
    assert pd.read_csv(written["toy csv"]).brightness.tolist() == [1.5, 2.0, 10.0, 20.0]  # nothing twice
    assert said == ["mean brightness 1.750"]
    assert '"command": "merge"' in written["toy json"].read_text()
    assert merging.merge([tmp_path / "all"], tmp_path / "all", TOYS)  # into the folder itself


def test_what_cannot_be_joined_is_refused(tmp_path):
    part(tmp_path / "one", 0, 1.0, seed=0)
    part(tmp_path / "other", 1, 1.0, seed=1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"toy of a: 1 of its parts are in none of the folders \(1\)"):
        merging.merge([tmp_path / "one"], tmp_path / "out", TOYS)
    with pytest.raises(InputError, match="parts of other settings: seed is 0 there, 1 here"):
        merging.merge([tmp_path / "one", tmp_path / "other"], tmp_path / "mixed", TOYS)
    with pytest.raises(InputError, match=r"no parts in .*empty \(toy.parts\)"):
        merging.merge([tmp_path / "one", tmp_path / "empty"], tmp_path / "none", TOYS)


def test_networks_that_were_measured_differently_are_not_compared(tmp_path):
    for number in range(2):
        part(tmp_path / "one", number, 1.0, "a", seed=0, network="0f")
        part(tmp_path / "other", number, 1.0, "b", seed=1, network="1e")
        part(tmp_path / "alike", number, 1.0, "c", seed=0, network="2d")
    with pytest.raises(InputError, match=r"toy: networks .* the same settings: seed is 0 for a, 1 for b"):
        merging.merge([tmp_path / "one", tmp_path / "other"], tmp_path / "mixed", TOYS)
    assert not (tmp_path / "mixed").exists()
    assert merging.merge([tmp_path / "one", tmp_path / "alike"], tmp_path / "both", TOYS)
