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
    elsewhere = {  # two lines, or tested where they are used
        *("__init__", "errors", "shipped"),
        *("hugging_face", "writing_torchvision", "writing_transformers"),
    }
    modules = [
        file
        for folder in ("a2mim", "analysis", "experiments")
        for file in (ROOT / folder).rglob("*.py")
        if file.parent.name != "commands"
    ]
    tests = {file.stem.removeprefix("test_") for file in (ROOT / "tests").glob("test_*.py")}
    assert {file.stem for file in modules} - elsewhere <= tests
