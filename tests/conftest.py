"""Shared by all tests: one thread each (tests run side by side) and the numbers of the published implementations."""

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference files; tests/reference/README.md says what they hold."""
    return Path(__file__).parent / "reference"
