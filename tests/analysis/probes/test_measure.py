"""What is asked of maps, and its sums over images."""

import numpy as np
import pytest
import torch

from a2mim.analysis.core.subjects import Subject
from a2mim.analysis.probes import measure
from a2mim.analysis.probes.features import capture
from a2mim.analysis.probes.spectrum import log_amplitude
from a2mim.checkpoint import load_encoder
from a2mim.data import Batch
from a2mim.errors import InputError


@pytest.fixture(scope="module")
def subject():
    return Subject("vit", *load_encoder("fashion-vit-scratch"))


def batch(n):
    images = torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return Batch(images, torch.zeros(n, dtype=torch.int64), torch.arange(n))


def test_layers_have_depths_sizes_and_notes(subject):
    found = measure.layers_of(subject, ["blocks.0", "blocks.2:attn", "blocks.5"], measure.spectrum_probe())
    assert found.depths == {"blocks.0": 0, "blocks.2:attn": 0.5, "blocks.5": 1}
    assert set(found.sizes.values()) == {(8, 8)}
    assert found.left_out == []
    with pytest.raises(InputError, match=r"vit: the model has no layer 'blocks\.9'"):
        measure.layers_of(subject, ["blocks.9"], measure.spectrum_probe())


def test_a_probe_tells_how_many_values_maps_of_a_size_have():
    diagonal, radial, variance = measure.spectrum_probe(), measure.spectrum_probe("radial"), measure.variance_probe()
    assert [diagonal.steps((side, side)) for side in (1, 2, 3, 8)] == [0, 0, 2, 4]
    assert [radial.steps((4, side)) for side in (1, 2, 8)] == [0, 2, 3]
    assert [variance.steps(size) for size in ((1, 1), (1, 2))] == [0, 1]
    with pytest.raises(InputError, match="maps of 4x8 pixels have no diagonal"):
        diagonal.steps((4, 8))


@pytest.mark.parametrize("batch_size", [2, 5])
def test_sums_are_those_of_every_image(subject, batch_size):
    probe, names, images = measure.spectrum_probe(), ["blocks.0", "blocks.5"], batch(5)
    found = measure.sums(subject, images, measure.layers_of(subject, names, probe), probe, batch_size)
    with torch.inference_mode(), capture(subject.model, names) as captured:
        subject.model(images.images)
    values = torch.cat([log_amplitude(captured.maps[name]) for name in names], dim=1).double().numpy()
    assert found["steps"].tolist() == [4, 4]
    np.testing.assert_allclose(found["sum"], values.sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["squares"], (values**2).sum(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["products"][:-1], (values[:, :-1] * values[:, 1:]).sum(0), rtol=1e-4, atol=1e-5)
