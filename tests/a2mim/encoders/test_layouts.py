"""Layouts read off shapes, and masks laid over them."""

import pytest
import torch

from a2mim.encoders.layouts import Layout
from a2mim.errors import InputError


@pytest.mark.parametrize(
    ("shape", "img_size", "expected"),
    [
        ((2, 24, 4, 8), (32, 64), Layout("NCHW", 24, (4, 8))),
        ((2, 4, 8, 24), (32, 64), Layout("NHWC", 24, (4, 8))),
        ((2, 33, 24), (32, 64), Layout("NLC", 24, (4, 8), prefix=1)),
        ((2, 32, 24), (32, 64), Layout("NLC", 24, (4, 8))),
        ((2, 24, 6, 6), (176, 176), Layout("NCHW", 24, (6, 6))),  # 176 / 32 rounded up
        ((2, 24, 35, 35), (299, 299), Layout("NCHW", 24, (35, 35))),  # without padding: less than 299 / 8
        ((2, 17, 24), (32, 32), Layout("NLC", 24, (4, 4), prefix=1)),
        ((2, 18, 24), (32, 32), Layout("NLC", 24, (4, 4), prefix=2)),  # more prefix tokens than the model declares
        ((2, 320, 16), (224, 224), Layout("NCL", 320, (4, 4))),
    ],
)
def test_layout_is_read_off_the_shape(shape, img_size, expected):
    assert Layout.of(torch.zeros(shape), img_size, prefix_tokens=1) == expected


def test_layout_of_a_cube_follows_the_models_declared_order():
    cube = torch.zeros(1, 8, 8, 8)
    assert Layout.of(cube, (64, 64), order="NHWC").order == "NHWC"
    assert Layout.of(cube, (64, 64)).order == "NCHW"


def test_features_that_are_no_map_are_refused():
    with pytest.raises(InputError, match="not a map"):
        Layout.of(torch.zeros(2, 7, 5, 3), (32, 32))
    with pytest.raises(InputError, match="not a map"):
        Layout.of(torch.zeros(2, 11), (32, 32))
    with pytest.raises(InputError, match="not a map"):  # a class token of 256 channels
        Layout.of(torch.zeros(2, 1, 256), (32, 32))


def test_to_map_and_mask_agree_in_every_order():
    h, w, C = 2, 3, 4
    plain = torch.arange(C * h * w, dtype=torch.float).view(1, C, h, w)
    mask = torch.zeros(1, h, w, dtype=torch.bool)
    mask[0, 1, 2] = True
    order = (3, 5, 0, 1, 4, 2)
    tokens = torch.cat([torch.full((1, 2, C), 99.0), plain.flatten(2).transpose(1, 2)], dim=1)
    for layout, features in [
        (Layout("NCHW", C, (h, w)), plain),
        (Layout("NHWC", C, (h, w)), plain.permute(0, 2, 3, 1)),
        (Layout("NLC", C, (h, w), prefix=2), tokens),
        (Layout("NCL", C, (h, w)), plain.flatten(2)),
        (Layout("NLC", C, (h, w), cells=order), plain.flatten(2).transpose(1, 2)[:, list(order)]),
    ]:
        assert torch.equal(layout.to_map(features), plain)
        marked = layout.to_map(torch.where(layout.mask(mask), -1.0, features))
        assert (marked[0, :, 1, 2] == -1).all()
        assert (marked == -1).sum() == C
