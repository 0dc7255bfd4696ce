"""Imports run one way only: the layers of the house, no circle, few arrows between the analyses' folders."""

import ast
import re

import pytest
from imports import ROOT, circles, imports, modules, package_of

TOP = ("a2mim.commands", "a2mim.analysis", "a2mim.figures", "a2mim.experiments")
BELOW = {  # folder -> what it may not import
    "a2mim": ("a2mim.analysis", "a2mim.figures", "a2mim.experiments", "a2mim.commands"),
    "a2mim.figures": ("a2mim.analysis", "a2mim.experiments", "a2mim.commands", "torch"),
    "a2mim.analysis": ("a2mim.experiments", "a2mim.commands"),
    "a2mim.experiments": (),
}
ANALYSES = ("interactions", "occlusion", "probes", "reconstruction")


def folder_of(name):
    return next((top for top in TOP if name == top or name.startswith(f"{top}.")), "a2mim")


@pytest.mark.parametrize("folder", BELOW)
def test_imports_run_one_way(folder):
    for name, found in imports().items():
        if folder_of(name) == folder and name != "a2mim":  # the package's own door is of the top layer
            above = [other for other in found if folder_of(other) in BELOW[folder]]
            assert not above, f"{name} imports {above}"


def test_figures_do_without_torch_and_without_the_rest_of_a2mim():
    for file in (ROOT / "figures").rglob("*.py"):
        text = file.read_text()
        assert not re.search(r"a2mim\.(?!figures)|import torch", text), file


def test_folders_are_not_imported_by_their_names_on_disk():
    for name, file in modules().items():
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            assert not {one.split(".")[0] for one in names} & {"analysis", "figures", "experiments"}, name


def test_there_is_no_circle():
    graph = {name: found for name, found in imports().items() if name != "a2mim" and folder_of(name) != TOP[0]}
    assert circles(graph) == []


def test_the_analyses_share_by_way_of_core_alone():
    arrows, statements = set(), 0
    for name, found in imports().items():
        here = _room(name)
        for other in found:
            there = _room(other)
            if here and there and here != there:
                arrows.add((here, there))
                statements += 1
    print(f"analysis: {len(arrows)} arrows between sub-packages, {statements} imports between modules of two")
    assert len(arrows) <= 25
    assert not [arrow for arrow in arrows if arrow[0] == "core"]
    assert not [arrow for arrow in arrows if arrow[0] in ANALYSES and arrow[1] in (*ANALYSES, "report")]


def _room(name):
    """The sub-package of analysis/ in which a module lies; none for the doors and the list on top of them."""
    package = package_of(name)
    return package.split(".")[2] if package.startswith("a2mim.analysis.") else ""


def test_every_module_has_its_test_file():
    elsewhere = {  # doors of two lines, tables, or tested where they are used
        *("__init__", "__main__", "errors", "shipped", "hugging_face", "torchvision", "transformers", "settings"),
        *("options", "choices", "arrays", "analysis"),
    }
    doors = {"analysis/games.py", "analysis/features.py", "analysis/spectrum.py", "analysis/variance.py"}
    doors |= {f"experiments/{name}.py" for name in ("embed_fashion", "families", "lookalikes", "shipped", "survey")}
    together = {  # modules whose tests share a file
        "a2mim/training/progress.py": "a2mim/training/test_engine.py",
        "a2mim/training/failures.py": "a2mim/training/test_endings.py",
        "a2mim/encoders/sources.py": "a2mim/training/test_finetuning.py",
        "a2mim/data/survey.py": "a2mim/data/test_folders.py",
        "a2mim/checkpoint/more_families.py": "a2mim/checkpoint/names/test_recent.py",
        "a2mim/checkpoint/formats/clip.py": "a2mim/checkpoint/names/test_recent.py",
    }
    recent = ("eva", "hiera", "efficientnet", "clip")
    together |= {f"a2mim/checkpoint/names/{name}.py": "a2mim/checkpoint/names/test_recent.py" for name in recent}
    missing = []
    for folder in ("a2mim", "analysis", "experiments"):
        for file in (ROOT / folder).rglob("*.py"):
            place = file.relative_to(ROOT)
            if file.stem in elsewhere or file.parent.name == "commands" or str(place) in doors:
                continue
            tested_in = together.get(str(place), place.parent / f"test_{file.name}")
            if not (ROOT / "tests" / tested_in).is_file():
                missing.append(str(place))
    assert not missing
