"""Shared by all tests: one thread each (tests run side by side) and the numbers of the published implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the reference files; tests/reference/README.md says what they hold."""
    return Path(__file__).parent / "reference"


@pytest.fixture(scope="session")
def published_maps(reference: Path) -> tuple[dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Feature maps of ``small_cnn`` on the published images, as ``capture`` gives them, and the published numbers."""
    from a2mim.analysis.probes.features import capture
    from a2mim.checkpoint import load_encoder

    with np.load(reference / "official_features.npz") as arrays:
        numbers = dict(arrays)
    model, _ = load_encoder(reference / "small_cnn.safetensors")
    with torch.inference_mode(), capture(model) as captured:
        model(torch.from_numpy(numbers["images"]).float())
    assert len(captured.maps) == len(numbers["variance"])
    return captured.maps, numbers
