"""Recipes are found, read, and every preset resolves."""

from importlib.resources import files
from pathlib import Path

import pytest

from a2mim import recipes
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings, PretrainSettings

FOLDER = Path(str(files("a2mim.experiments") / "recipes"))
PRESETS = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_every_preset_resolves_and_opens_with_its_source_and_command(path):
    kind = FinetuneSettings if "finetune" in path.stem else PretrainSettings
    kind.from_values(recipes.read(path))
    head = path.read_text().split("\n\n")[0]
    for word in ("# Source:", "# Command:"):
        assert word in head


def test_a_recipe_is_found_by_name_or_path(tmp_path):
    assert recipes.find("fashion-vit", [FOLDER]) == FOLDER / "fashion-vit.yaml"
    mine = tmp_path / "mine.yaml"
    mine.write_text("epochs: 3\n")
    assert recipes.read(recipes.find(str(mine), [FOLDER])) == {"epochs": 3}
    with pytest.raises(InputError, match=r"no recipe 'fashion-vitt'.*presets fashion-vit,"):
        recipes.find("fashion-vitt", [FOLDER])


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1, 2\n", "just text"])
def test_files_that_are_no_recipes(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    with pytest.raises(InputError, match=r"recipe .*r\.yaml"):
        recipes.read(tmp_path / "r.yaml")


def test_differences_name_both_values():
    assert recipes.differences({"epochs": 3, "seed": 0}, {"epochs": 5, "seed": 0}) == [
        "epochs: 3 in the recipe, 5 here"
    ]
