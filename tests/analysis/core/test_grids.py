"""Grids of cells over an image."""

import pytest

from a2mim.analysis.core.grids import auto_grid, check_grid
from a2mim.errors import InputError


def test_the_grid_is_the_papers_where_it_fits():
    assert auto_grid((224, 224)) == (14, 14)
    assert auto_grid((32, 64)) == (8, 8)
    assert auto_grid((96, 192)) == (12, 12)


def test_a_grid_that_does_not_divide_the_image_names_those_that_do():
    check_grid((2, 8), 32, 64)
    with pytest.raises(InputError, match=r"a grid of 5x8 does not divide .* 32x64 pixels; rows that do: 1, 2, 4"):
        check_grid((5, 8), 32, 64)
