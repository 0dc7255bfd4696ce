"""Panels and scores against loops over pixels."""

import math

import pytest
import torch

import a2mim
from a2mim.analysis import reconstruction
from a2mim.errors import InputError
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


def test_panels_are_pixels_again(model):
    pixels, images, mask = inputs()
    shown = reconstruction.panels(model, images, mask)
    assert torch.allclose(shown.original, pixels, atol=1e-6)
    prediction = model.eval()(images, mask) * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    assert torch.allclose(shown.prediction, prediction.clamp(0, 1), atol=1e-6)
    for b in range(3):
        for row in range(4):
            for col in range(4):
                cell = (b, slice(None), slice(8 * row, 8 * row + 8), slice(8 * col, 8 * col + 8))
                hidden = bool(mask[b, row, col])
                assert torch.equal(shown.pasted[cell], (shown.prediction if hidden else shown.original)[cell])
                if hidden:
                    mean = pixels[b].mean((1, 2)).view(3, 1, 1).expand(3, 8, 8)
                    assert torch.allclose(shown.masked[cell], mean, atol=1e-5)
                else:
                    assert torch.equal(shown.masked[cell], shown.original[cell])


def test_panels_leave_the_models_mode(model):
    _, images, mask = inputs()
    assert model.train().training
    reconstruction.panels(model, images, mask)
    assert model.training
    model.encoder.eval()
    reconstruction.panels(model, images, mask)
    with pytest.raises(InputError):
        reconstruction.panels(model, images[..., :16], mask)
    assert model.head.training
    assert not any(module.training for module in model.encoder.modules())


def test_where_nothing_is_hidden_there_is_no_score(model):
    _, images, mask = inputs()
    shown = reconstruction.panels(model, images, torch.zeros_like(mask))
    assert torch.equal(shown.pasted, shown.original)
    assert reconstruction.scores(shown, torch.zeros_like(mask))[["l1", "psnr"]].isna().all(axis=None)


def test_scores_are_over_hidden_pixels_alone(model):
    _, images, mask = inputs()
    shown = reconstruction.panels(model, images, mask)
    scores = reconstruction.scores(shown, mask)
    assert list(scores.columns) == ["image", "l1", "psnr"]
    for b in range(3):
        errors = [
            (shown.prediction[b, c, y, x] - shown.original[b, c, y, x]).item()
            for c in range(3) for y in range(32) for x in range(32) if mask[b, y // 8, x // 8]
        ]  # fmt: skip
        assert scores.l1[b] == pytest.approx(sum(map(abs, errors)) / len(errors), rel=1e-5)
        mse = sum(error**2 for error in errors) / len(errors)
        assert scores.psnr[b] == pytest.approx(-10 * math.log10(mse), rel=1e-5)


def test_a_model_without_a_head_is_refused(model):
    _, images, mask = inputs()
    with pytest.raises(InputError, match="a ResNet has no reconstruction head"):
        reconstruction.panels(model.encoder, images, mask)
