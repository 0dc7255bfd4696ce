"""Errors of reconstructions against loops over pixels."""

import math

import numpy as np
import pytest
import torch

import a2mim
from a2mim.analysis.reconstruction import errors, pictures
from a2mim.masking import random_mask

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


@pytest.fixture
def model():
    torch.manual_seed(0)
    args = dict(channels=[8, 16, 24, 32], stem_width=4)
    return a2mim.create_model("resnet14t", model_args=args, img_size=32, mean=MEAN, std=STD)


def inputs():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(3, 3, 32, 32, generator=generator)
    images = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return pixels, images, random_mask(3, (4, 4), 0.5, generator)


def mask_of(mask):
    """A mask for the whole image of which the upper half is this one."""
    return torch.cat([mask, torch.zeros_like(mask)], dim=1)


def test_where_nothing_is_hidden_there_is_no_score(model):
    _, images, mask = inputs()
    shown = pictures.panels(model, images, torch.zeros_like(mask))
    assert torch.equal(shown.pasted, shown.original)
    assert errors.scores(shown, torch.zeros_like(mask))[["l1", "psnr"]].isna().all(axis=None)


def test_scores_are_over_hidden_pixels_alone(model):
    _, images, mask = inputs()
    shown = pictures.panels(model, images, mask)
    scores = errors.scores(shown, mask)
    assert list(scores.columns) == ["image", "l1", "psnr"]
    for b in range(3):
        misses = [
            (shown.prediction[b, c, y, x] - shown.original[b, c, y, x]).item()
            for c in range(3) for y in range(32) for x in range(32) if mask[b, y // 8, x // 8]
        ]  # fmt: skip
        assert scores.l1[b] == pytest.approx(sum(map(abs, misses)) / len(misses), rel=1e-5)
        mse = sum(error**2 for error in misses) / len(misses)
        assert scores.psnr[b] == pytest.approx(-10 * math.log10(mse), rel=1e-5)


def test_a_perfect_prediction_has_a_finite_psnr(model):
    _, images, mask = inputs()
    shown = pictures.panels(model, images, mask)
    perfect = shown._replace(prediction=shown.original, pasted=shown.original)
    scores = errors.scores(perfect, mask)
    assert scores.l1.tolist() == [0, 0, 0]
    assert scores.psnr.tolist() == pytest.approx([20 * math.log10(255) + 10 * math.log10(12)] * 3)


def test_energies_are_sums_over_rings_of_the_literal_transform(model):
    _, images, mask = inputs()
    mask = mask[:, :2]  # not square: 16 x 32 pixels
    shown = pictures.Panels(*(panel[:, :, :16] for panel in pictures.panels(model, images, mask_of(mask))))
    found = errors.band_energies(shown, mask, bands=4)
    edges = errors.band_edges(4)
    assert edges.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1, math.sqrt(2)])
    hidden = mask.repeat_interleave(8, 1).repeat_interleave(8, 2).numpy()
    for b in range(3):
        x, p = (panel[b].double().numpy() for panel in (shown.original, shown.prediction))
        colour = x.mean((1, 2), keepdims=True)
        for name, signal in {"error": p - x, "target": x - colour, "prediction": p - colour}.items():
            sums = np.zeros(5)
            for channel in signal * hidden[b]:
                for u in range(16):
                    for v in range(32):
                        wave = np.exp(-2j * np.pi * (u * np.arange(16)[:, None] / 16 + v * np.arange(32) / 32))
                        radius = 2 * math.hypot(min(u, 16 - u) / 16, min(v, 32 - v) / 32)
                        ring = next(k for k in range(5) if radius < edges[k + 1] + 1e-12 or k == 4)
                        ring += radius == pytest.approx(edges[ring + 1]) and ring < 4  # an edge is the upper band's
                        sums[ring] += abs((channel * wave).sum()) ** 2 / (16 * 32)
            wanted = sums / (3 * hidden[b].sum())
            np.testing.assert_allclose(getattr(found, name)[b], wanted, rtol=1e-4, atol=1e-9, err_msg=name)


def test_energies_add_up_to_the_square_error_and_to_the_detail(model):
    _, images, mask = inputs()
    shown = pictures.panels(model, images, mask)
    found = errors.band_energies(shown, mask)
    psnr = errors.scores(shown, mask).psnr  # Parseval
    assert -10 * np.log10(found.error.sum(axis=1)) == pytest.approx(psnr, rel=1e-6)
    flat = shown.original.mean((2, 3), keepdim=True).expand_as(shown.original)
    hidden = mask.repeat_interleave(8, 1).repeat_interleave(8, 2)[:, None]
    coloured = shown._replace(prediction=flat, pasted=torch.where(hidden, flat, shown.original))
    of_mean = errors.band_energies(coloured, mask)
    np.testing.assert_allclose(of_mean.error, of_mean.target, rtol=1e-5)  # the mean colour is an error of 1
    assert of_mean.prediction.max() < 1e-10


@pytest.mark.parametrize("size", [(9, 15), (12, 7), (8, 10), (1, 3)])
def test_energies_of_odd_sizes_add_up_too(size):
    generator = torch.Generator().manual_seed(0)
    original, prediction = torch.rand(2, 2, 3, *size, generator=generator)
    shown = pictures.Panels(original, original, prediction, prediction)
    found = errors.band_energies(shown, torch.ones(2, 1, 1, dtype=torch.bool))
    wanted = (prediction - original).double().square().mean((1, 2, 3)).tolist()
    assert found.error.sum(axis=1).tolist() == pytest.approx(wanted, rel=1e-5)


def test_a_wave_is_in_the_band_of_its_frequency():
    wave = torch.cos(torch.pi * 0.6875 * torch.arange(32.0)) / 4  # 11 periods
    original = (0.5 + wave.expand(1, 3, 32, 32)).contiguous()
    shown = pictures.Panels(*[original] * 2, *[torch.full_like(original, 0.5)] * 2)
    found = errors.band_energies(shown, torch.ones(1, 4, 4, dtype=torch.bool))
    energy = np.zeros(9)
    energy[5] = 1 / 32  # (1/4)² / 2, between 0.625 and 0.75
    np.testing.assert_allclose(found.error[0], energy, atol=1e-7)
    np.testing.assert_allclose(found.target[0], energy, atol=1e-7)


def test_ssim_is_that_of_its_authors_over_hidden_pixels(model):
    pytest.importorskip("skimage", reason="SSIM needs scikit-image: pip install 'a2mim[ssim]'")
    _, images, mask = inputs()
    shown = pictures.panels(model, images, mask)
    found = errors.ssim(shown, mask)
    along = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    window = np.outer(along, along) / along.sum() ** 2
    for b in range(3):
        values = []
        for channel in range(3):
            # beyond the border the picture is mirrored
            x, p = (
                np.pad(panel[b, channel].double().numpy(), 5, mode="symmetric")
                for panel in (shown.original, shown.pasted)
            )
            for row in range(32):
                for col in range(32):
                    if not mask[b, row // 8, col // 8]:
                        continue
                    a, c = (picture[row : row + 11, col : col + 11] for picture in (x, p))
                    mean_a, mean_c = (window * a).sum(), (window * c).sum()
                    var_a, var_c = (window * a * a).sum() - mean_a**2, (window * c * c).sum() - mean_c**2
                    cov = (window * a * c).sum() - mean_a * mean_c
                    values.append(
                        (2 * mean_a * mean_c + 0.01**2) * (2 * cov + 0.03**2)
                        / ((mean_a**2 + mean_c**2 + 0.01**2) * (var_a + var_c + 0.03**2))
                    )  # fmt: skip
        assert found[b] == pytest.approx(np.mean(values), rel=1e-6)
    perfect = shown._replace(pasted=shown.original)
    assert errors.ssim(perfect, mask) == pytest.approx([1, 1, 1])
    assert np.isnan(errors.ssim(shown, torch.zeros_like(mask))).all()


def test_why_there_is_no_ssim_is_said(monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    assert "a2mim[ssim]" in errors.no_ssim((32, 32))
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: name)
    assert errors.no_ssim((32, 32)) == ""
    assert "8x32 are smaller than its 11 pixels" in errors.no_ssim((8, 32))
