"""The frequency loss: the half spectrum against the full transform."""

import pytest
import torch

from a2mim.losses import frequency_loss, mirror_counts


def full_transform(blended, target, s):
    """Eqs. 4 and 5 on the full spectra of both images, with autograd through all of it."""
    spectrum = torch.fft.fft2(blended, norm=s["norm"]) - torch.fft.fft2(target, norm=s["norm"])
    if s["ave_spectrum"]:
        spectrum = spectrum.mean(0, keepdim=True)
    omega = spectrum.detach().abs() ** s["alpha"]
    if s["maximum"] == "image":
        omega = omega / omega.amax((2, 3), keepdim=True)
    if s["maximum"] == "batch":
        omega = omega / omega.max()
    return (omega * spectrum.abs() ** {"l1": 1, "l2": 2}[s["distance"]]).mean()


@pytest.mark.parametrize("size", [(224, 224), (32, 32), (33, 47), (31, 8), (8, 31), (1, 1), (5, 2)])
@pytest.mark.parametrize("distance", ["l1", "l2"])
@pytest.mark.parametrize("maximum", ["image", "batch", "none"])
@pytest.mark.parametrize("ave_spectrum", [False, True])
@pytest.mark.parametrize("norm", ["ortho", "backward", "forward"])
def test_half_spectrum_equals_full_transform(size, distance, maximum, ave_spectrum, norm):
    chosen = {"distance": distance, "maximum": maximum, "ave_spectrum": ave_spectrum, "norm": norm, "alpha": 1.0}
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 2, 3, *size, generator=generator, dtype=torch.float64)
    prediction.requires_grad_()
    expected = full_transform(prediction, target, chosen)
    (slope,) = torch.autograd.grad(expected, prediction)
    single = prediction.detach().float().requires_grad_()
    got = frequency_loss(single - target.float(), **chosen)
    (got_slope,) = torch.autograd.grad(got, single)
    assert got.item() == pytest.approx(expected.item(), rel=1e-6)
    assert (got_slope - slope).norm() <= 1e-6 * slope.norm()


@pytest.mark.parametrize("width", range(1, 9))
def test_mirror_counts_every_column_once(width):
    assert mirror_counts(width, torch.zeros(1)).sum() == width
