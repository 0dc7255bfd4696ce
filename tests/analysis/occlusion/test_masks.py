"""Which patches are hidden."""

import numpy as np
import pytest
import torch

from a2mim.analysis.occlusion import masks

GRID = (4, 4)


@pytest.mark.parametrize("ratio", [0, 0.1, 0.3, 0.5, 0.77, 1])
def test_masks_hide_exactly_the_rounded_share(ratio):
    mask = masks.occlusion_masks(range(20), (14, 14), ratio, run=0)
    assert (mask.sum((1, 2)) == round(ratio * 196)).all()
    assert mask.dtype == torch.bool


def test_halves_round_up():
    assert [masks.n_masked(ratio, 5) for ratio in (0.1, 0.3, 0.5)] == [1, 2, 3]


def test_masks_are_uniform_and_differ_by_image_run_ratio_and_seed():
    mask = masks.occlusion_masks(range(20000), GRID, 0.25, run=0)
    assert np.allclose(mask.float().mean(0), 0.25, atol=0.015)
    both = (mask[:, 0, 0] & mask[:, 0, 1]).float().mean()  # 4 of 16 without replacement
    assert both == pytest.approx(4 / 16 * 3 / 15, abs=0.006)
    first = masks.occlusion_masks(range(50), GRID, 0.5, run=0)
    for other in (dict(run=1), dict(run=0, seed=1)):
        assert not torch.equal(first, masks.occlusion_masks(range(50), GRID, 0.5, **other))
    assert len({tuple(row.flatten().tolist()) for row in first}) > 45


def test_masks_of_two_ratios_are_drawn_apart():
    few, many = (masks.occlusion_masks(range(20000), GRID, ratio, run=0) for ratio in (0.25, 0.5))
    assert (few & many).float().mean() == pytest.approx(0.25 * 0.5, abs=0.003)  # nested masks would share 0.25


def test_a_mask_belongs_to_its_image():
    together = masks.occlusion_masks([3, 7, 11], GRID, 0.5, run=2, seed=9)
    alone = masks.occlusion_masks([7], GRID, 0.5, run=2, seed=9)
    assert torch.equal(together[1], alone[0])
