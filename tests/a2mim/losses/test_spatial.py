"""The spatial loss, by numbers that can be checked by hand."""

import math

import pytest
import torch

from a2mim.losses import focal_l1, spatial_loss, squared


@pytest.mark.parametrize(("distance", "expected"), [("l1", 3.0), ("l2", 9.0), ("focal-l1", 3 * math.tanh(0.3))])
def test_the_mean_distance_over_hidden_pixels_alone(distance, expected):
    error = torch.tensor([[-3.0, 100.0], [3.0, 100.0]]).expand(2, 3, 2, 2)
    hidden = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).expand(2, 1, 2, 2)
    assert spatial_loss(error, hidden, distance).item() == pytest.approx(expected)


def test_nothing_hidden_gives_zero():
    assert spatial_loss(torch.ones(1, 3, 2, 2), torch.zeros(1, 1, 2, 2)) == 0


def test_distances_of_complex_numbers_are_those_of_their_magnitude():
    error = torch.tensor([3 + 4j])
    assert squared(error).item() == 25
    assert focal_l1(error).item() == pytest.approx(5 * math.tanh(0.5))
