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
