"""Panels and scores against loops over pixels."""

import pytest
import torch

import a2mim
from a2mim.analysis.reconstruction import pictures
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
    shown = pictures.panels(model, images, mask)
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
    pictures.panels(model, images, mask)
    assert model.training
    model.encoder.eval()
    pictures.panels(model, images, mask)
    with pytest.raises(InputError):
        pictures.panels(model, images[..., :16], mask)
    assert model.head.training
    assert not any(module.training for module in model.encoder.modules())


def test_a_model_without_a_head_is_refused(model):
    _, images, mask = inputs()
    with pytest.raises(InputError, match="a ResNet has no reconstruction head"):
        pictures.panels(model.encoder, images, mask)


def test_an_images_mask_depends_on_the_seed_and_its_number_alone():
    together = pictures.masks([3, 7, 8], (32, 32), (4, 4), 0.5, seed=1)
    assert together.sum((1, 2)).tolist() == [8, 8, 8]
    assert torch.equal(pictures.masks([7], (32, 32), (4, 4), 0.5, seed=1)[0], together[1])
    assert not torch.equal(pictures.masks([7], (32, 32), (4, 4), 0.5, seed=2)[0], together[1])
    assert not torch.equal(together[0], together[1])


@pytest.mark.parametrize("token", ["add", "replace", "none"])
def test_without_token_the_features_at_the_site_stay(token):
    torch.manual_seed(0)
    args = dict(channels=[8, 16, 24, 32], stem_width=4)
    model = a2mim.create_model("resnet14t", model_args=args, img_size=32, token=token, mean=MEAN, std=STD).eval()
    with torch.no_grad():
        model.mask_token.normal_()
    _, images, mask = inputs()
    before = model(images, mask)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with pictures.without_token(model):
        without = model(images, mask)
    with pytest.raises(RuntimeError, match="inside"), pictures.without_token(model):
        raise RuntimeError("inside")
    filled = a2mim.masking.fill_masked(images, mask, model.fill, mean=MEAN, std=STD)
    assert torch.equal(without, model.head(model.encoder.forward_features(filled)))
    assert torch.equal(without, before) == (token == "none")
    assert model.token == token
    assert torch.equal(model(images, mask), before)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_a_drawn_fill_is_the_same_in_the_picture_as_in_the_input():
    class Echo(a2mim.MaskedImageModel):
        def forward(self, images, mask):
            return a2mim.masking.fill_masked(images, mask, self.fill, mean=self.mean, std=self.std)

    encoder = a2mim.create_model("resnet14t", model_args=dict(channels=[8, 16, 24, 32], stem_width=4), img_size=32)
    model = Echo(encoder.encoder, (32, 32), fill="noise", mean=MEAN, std=STD)
    _, images, mask = inputs()
    state = torch.random.get_rng_state()
    shown = pictures.panels(model, images, mask)
    assert torch.equal(shown.masked, shown.prediction)
    assert torch.equal(state, torch.random.get_rng_state())
