"""Images whose cells are shuffled."""

import numpy as np
import pytest
import torch
from patch_readers import CountsPatches, ReadsOnePatch

from a2mim.analysis.occlusion import shuffling
from a2mim.errors import InputError


def test_a_shuffle_moves_whole_cells_and_loses_none():
    images = torch.arange(2 * 3 * 8 * 8).float().view(2, 3, 8, 8)
    moved = shuffling.shuffle(images, [5, 9], 4, run=0)

    def cells(image):
        return {tuple(cell.flatten().tolist()) for row in image.split(2, 1) for cell in row.split(2, 2)}

    for before, after in zip(images, moved, strict=True):
        assert cells(before) == cells(after)
        assert not torch.equal(before, after)
    assert torch.equal(shuffling.shuffle(images, [5, 9], 1, run=0), images)
    assert torch.equal(shuffling.shuffle(images[1:], [9], 4, run=0)[0], moved[1])  # its order is the image's own
    assert not torch.equal(shuffling.shuffle(images, [5, 9], 4, run=1), moved)
    with pytest.raises(InputError, match="3x3 cells does not divide"):
        shuffling.shuffle(images, [5, 9], 3, run=0)


def test_every_place_is_equally_likely_in_a_shuffle():
    images = torch.arange(4.0).view(1, 1, 2, 2).expand(4000, 1, 2, 2)
    moved = shuffling.shuffle(images, range(4000), 2, run=0).flatten(1)
    for place in range(4):
        assert np.allclose(np.bincount(moved[:, place].long()) / 4000, 0.25, atol=0.03)


def test_a_classifier_that_counts_patches_does_not_mind_a_shuffle():
    images, labels = torch.ones(6, 3, 8, 8), torch.ones(6, dtype=torch.int64)
    images[:, :, :2, :2] = 0
    ask = lambda model: shuffling.shuffled_correct(model, images, labels, range(6), (1, 2, 4), runs=3)  # noqa: E731
    assert ask(CountsPatches(15)).all()
    one_patch = ask(ReadsOnePatch(0, 0))
    assert not one_patch[:, :, 0].any()
    assert one_patch[:, :, 2].mean() > 0.7  # 15 of 16 patches would do
