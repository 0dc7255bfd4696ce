"""Imports run one way only (design: a2mim knows none of the others, figures neither, analysis uses these two)."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "a2mim": ("analysis", "figures", "experiments"),
    "figures": ("analysis", "experiments"),
    "analysis": ("experiments",),
}


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_run_one_way(folder):
    for file in (ROOT / folder).rglob("*.py"):
        if file.parent.name == "commands":  # these sit on top of all
            continue
        text = file.read_text()
        for other in FORBIDDEN[folder]:
            assert not re.search(rf"from a2mim\.{other}|from a2mim import .*\b{other}\b|import a2mim\.{other}", text), (
                file
            )
            assert not re.search(rf"^(from|import) {other}\b", text, re.MULTILINE), file
        if folder == "figures":
            assert not re.search(r"a2mim\.(?!figures)|import torch", text), file


def test_every_module_has_its_test_file():
    elsewhere = {  # doors of two lines, tables, or tested where they are used
        *("__init__", "__main__", "errors", "shipped", "hugging_face", "torchvision", "transformers"),
    }
    doors = {"analysis/games.py", "analysis/features.py", "analysis/spectrum.py", "analysis/variance.py"}
    doors |= {f"experiments/{name}.py" for name in ("embed_fashion", "families", "shipped")}
    for folder in ("a2mim", "analysis", "experiments"):
        for file in (ROOT / folder).rglob("*.py"):
            place = file.relative_to(ROOT)
            if file.stem in elsewhere or file.parent.name == "commands" or str(place) in doors:
                continue
            assert (ROOT / "tests" / place.parent / f"test_{file.name}").is_file(), place
