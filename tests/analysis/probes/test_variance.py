"""Variances of maps, against numpy's and the published numbers."""

import numpy as np
import pytest
import torch

from a2mim.analysis.probes import variance
from a2mim.errors import InputError


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("kind", variance.KINDS)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_it_is_the_variance_over_pixels_averaged_over_channels(kind, ddof, memory_format):
    features = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0)).to(memory_format=memory_format)
    spread = {"variance": np.var, "std": np.std}[kind]
    expected = [
        np.mean([spread(channel.numpy().astype(np.float64), ddof=ddof) for channel in image]) for image in features
    ]
    np.testing.assert_allclose(variance.image_variance(features, kind, ddof), expected, rtol=1e-5)
    assert variance.feature_variance(features, kind, ddof) == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_published_numbers(published_maps):
    maps, numbers = published_maps
    for features, expected in zip(maps.values(), numbers["variance"], strict=True):
        if features.shape[2] > 1:
            assert variance.feature_variance(features) == pytest.approx(expected, abs=1e-4)
        else:
            assert np.isnan(expected)  # as published; here one pixel is refused


def test_it_is_exact_where_means_are_far_larger_than_the_spread():
    features = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert variance.feature_variance(features + 1000) == pytest.approx(variance.feature_variance(features), rel=1e-3)


def test_the_maps_stay_as_they_are():
    features = torch.ones(1, 1, 2, 2)
    assert variance.feature_variance(features) == 0
    assert (features == 1).all()


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2, 3, 8), {}, r"features must be \(B, C, H, W\), got \(2, 3, 8\)"),
        ((2, 3, 1, 1), {}, "maps of one pixel have no variance"),
        ((2, 3, 8, 8), {"kind": "range"}, "unknown kind 'range'; known: variance, std"),
        ((2, 3, 8, 8), {"ddof": 2}, "ddof 2 must be 0 or 1"),
    ],
)
def test_what_has_no_variance_is_refused(shape, options, message):
    with pytest.raises(InputError, match=message):
        variance.image_variance(torch.zeros(shape), **options)
