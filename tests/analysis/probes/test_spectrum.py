"""Spectra of maps whose spectrum is known, and the published numbers."""

import numpy as np
import pytest
import torch

from a2mim.analysis.probes import spectrum
from a2mim.errors import InputError


def literal_diagonal(features):
    """The published definition in float64: mean of logs, rolled, half of the diagonal, minus its first."""
    logs = np.log(np.abs(np.fft.fft2(features.double().numpy())) + 1e-6).mean(axis=(0, 1))
    size = logs.shape[0]
    rolled = np.roll(logs, (size // 2, size // 2), axis=(0, 1))
    half = np.diagonal(rolled)[size // 2 :]
    return half - half[0]


def literal_radial(features):
    """Values of the whole spectrum, one by one, in rings a frequency step wide."""
    logs = np.log(np.abs(np.fft.fft2(features.double().numpy())) + 1e-6).mean(axis=(0, 1))
    height, width = logs.shape
    side = min(height, width)
    rings = [[] for _ in range(side // 2 + 1)]
    for row, vertical in enumerate(np.fft.fftfreq(height)):
        for column, horizontal in enumerate(np.fft.fftfreq(width)):
            ring = int(np.hypot(vertical, horizontal) * side + 0.5)
            if ring < len(rings):
                rings[ring].append(logs[row, column])
    means = np.array([np.mean(ring) for ring in rings])
    return means - means[0]


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def layouts(features):
    """The same maps as networks leave them: contiguous, channels-last, and tokens (B, N, C)."""
    tokens = features.flatten(2).transpose(1, 2).contiguous()
    as_tokens = tokens.transpose(1, 2).unflatten(2, features.shape[2:])
    return features, features.contiguous(memory_format=torch.channels_last), as_tokens


@pytest.mark.parametrize("size", [2, 3, 7, 8, 14])
def test_the_diagonal_is_the_published_definition_in_every_memory_format(size):
    features = noise(3, 5, size, size)
    expected = literal_diagonal(features)
    for one in layouts(features):
        found = spectrum.relative_log_amplitude(one)
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert len(found) == len(spectrum.frequencies((size, size)))


@pytest.mark.parametrize("size", [(2, 2), (7, 7), (8, 8), (6, 9), (9, 6), (4, 10), (1, 6)])
def test_the_radial_mean_is_the_mean_over_rings_of_the_whole_spectrum(size):
    features = noise(3, 5, *size)
    expected = literal_radial(features)
    for one in layouts(features):
        found = spectrum.relative_log_amplitude(one, "radial")
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert len(found) == len(spectrum.frequencies(size, "radial"))


def test_the_published_numbers(published_maps):
    maps, numbers = published_maps
    for place, features in enumerate(maps.values()):
        found = spectrum.relative_log_amplitude(features) if features.shape[2] > 1 else np.zeros(1)
        np.testing.assert_allclose(found, numbers[f"log_amplitude_{place}"], atol=1e-4)


@pytest.mark.parametrize("reduction", sorted(spectrum.REDUCTIONS))
def test_white_noise_is_flat(reduction):
    found = spectrum.relative_log_amplitude(noise(64, 256, 16, 16), reduction)
    # the zero frequency is real and not complex: E log|N(0, 1)| lies below E log of a complex value of equal power
    step = (-np.euler_gamma / 2) - (-(np.euler_gamma + np.log(2)) / 2)
    inner = found[1:8]  # without the Nyquist frequency, where values are real again
    np.testing.assert_allclose(inner, step, atol=0.02)
    assert inner.max() - inner.min() < 0.02


@pytest.mark.parametrize("reduction", sorted(spectrum.REDUCTIONS))
def test_a_filter_shows_its_own_response(reduction):
    size, features = 16, noise(4, 8, 16, 16)
    response = torch.exp(-8 * (torch.fft.fftfreq(size)[:, None] ** 2 + torch.fft.fftfreq(size) ** 2))
    filtered = torch.fft.ifft2(torch.fft.fft2(features) * response).real
    change = spectrum.relative_log_amplitude(filtered, reduction) - spectrum.relative_log_amplitude(features, reduction)
    if reduction == "diagonal":
        expected = response.log().diagonal()[: size // 2].numpy()
    else:
        impulse = torch.fft.ifft2(response).real[None, None]  # its spectrum is the response itself
        expected = spectrum.relative_log_amplitude(impulse, reduction)
    np.testing.assert_allclose(change, expected, atol=1e-3)


def test_parseval_the_sums_along_antidiagonals_have_the_power_of_the_diagonal():
    size, features = 8, noise(1, 1, 8, 8)
    sums = np.zeros(size)
    for row in range(size):
        for column in range(size):
            sums[(row + column) % size] += float(features[0, 0, row, column])
    zero = np.log(abs(sums.sum()) + 1e-6)
    amplitude = np.exp(spectrum.relative_log_amplitude(features) + zero)  # |F(k, k)|, k = 0 ... 3
    nyquist = abs((sums * (-1.0) ** np.arange(size)).sum())
    power = amplitude[0] ** 2 + 2 * (amplitude[1:] ** 2).sum() + nyquist**2
    assert power == pytest.approx(size * (sums**2).sum(), rel=1e-4)


def test_frequencies_are_those_that_the_paper_plots():
    assert [round(spectrum.frequencies((side, side))[-1], 2) for side in (56, 28, 14, 7)] == [0.96, 0.93, 0.86, 0.86]
    assert spectrum.frequencies((8, 8), "radial")[-1] == 1
    assert spectrum.frequencies((1, 1)).tolist() == [0]


def test_interpolation_is_linear_and_never_beyond_the_last():
    found = spectrum.frequencies((8, 8))  # 0, 0.25, 0.5, 0.75
    values = np.array([0.0, -1.0, -3.0, -4.0])
    for frequency in (0, 0.1, 0.25, 0.4, 0.5, 0.749, 0.75):
        below, share = spectrum.interpolation(found, frequency)
        above = min(below + 1, 3)
        assert 0 <= share < 1
        assert values[below] * (1 - share) + values[above] * share == pytest.approx(np.interp(frequency, found, values))
    assert spectrum.interpolation(found, 0.76) is None
    assert spectrum.interpolation(spectrum.frequencies((7, 7)), spectrum.frequencies((14, 14))[-1]) == (3, 0.0)


def test_each_image_has_a_spectrum_of_its_own():
    features = noise(5, 3, 8, 8)
    together = spectrum.log_amplitude(features)
    alone = torch.cat([spectrum.log_amplitude(features[k : k + 1]) for k in range(5)])
    torch.testing.assert_close(together, alone)
    np.testing.assert_allclose(spectrum.relative_log_amplitude(features), together.double().mean(0).numpy())


def test_half_precision_is_transformed_in_single():
    features = noise(2, 3, 8, 8).half()
    torch.testing.assert_close(spectrum.log_amplitude(features), spectrum.log_amplitude(features.float()))


@pytest.mark.parametrize(
    ("shape", "reduction", "message"),
    [
        ((2, 3, 8), "diagonal", r"features must be \(B, C, H, W\), got \(2, 3, 8\)"),
        ((2, 3, 8, 6), "diagonal", "maps of 8x6 pixels have no diagonal; take the radial mean"),
        ((2, 3, 1, 1), "radial", "maps of one pixel have no spectrum"),
        ((2, 3, 8, 8), "rings", "unknown reduction 'rings'; known: diagonal, radial"),
    ],
)
def test_what_has_no_spectrum_is_refused(shape, reduction, message):
    with pytest.raises(InputError, match=message):
        spectrum.log_amplitude(torch.zeros(shape), reduction)
