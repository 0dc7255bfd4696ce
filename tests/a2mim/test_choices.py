"""Names that settings and code share: each of them does something."""

import pytest
import torch

from a2mim.choices import FILLS, ROUNDINGS, TOKENS
from a2mim.masking import random_mask, replacement
from a2mim.model import create_model


@pytest.mark.parametrize("fill", FILLS)
def test_every_fill_is_known_to_masking(fill):
    images, mask = torch.randn(2, 3, 8, 8), random_mask(2, (4, 4), 0.5)
    given = replacement(images, fill, mask=mask, mean=(0.5,) * 3, std=(0.2,) * 3)
    assert given.expand(images.shape).isfinite().all()


@pytest.mark.parametrize(("name", "hidden"), [("ceil", 3), ("floor", 2), ("nearest", 3)])
def test_every_rounding_is_known_to_masking(name, hidden):
    assert random_mask(1, (1, 5), 0.5, rounding=name).sum() == hidden
    assert set(ROUNDINGS) == {"ceil", "floor", "nearest"}


@pytest.mark.parametrize("token", TOKENS)
def test_every_token_is_known_to_the_model(token):
    args = dict(channels=[8, 16, 24, 32], stem_width=4)
    assert create_model("resnet14t", model_args=args, img_size=32, token=token).token == token
