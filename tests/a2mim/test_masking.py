"""Masks, fills and D(M) against counting and slow loops."""

import math

import pytest
import torch

from a2mim.errors import InputError
from a2mim.masking import (
    auto_cell,
    fill_masked,
    mask_grid,
    misfit,
    paste,
    random_mask,
    replacement,
    resize_mask,
    square_mask,
    unusual,
)


@pytest.mark.parametrize("ratio", [0, 0.25, 0.5, 0.6, 0.61, 1])
def test_random_mask_hides_exactly_the_ceiling_in_every_image(ratio):
    mask = random_mask(16, (7, 7), ratio, torch.Generator().manual_seed(0))
    assert mask.dtype == torch.bool
    assert mask.shape == (16, 7, 7)
    assert (mask.sum((1, 2)) == math.ceil(ratio * 49)).all()


def test_random_mask_counts_with_decimal_ratios_as_written():
    # 0.6 * 5 is 3.0000000000000004 in binary; a naive ceil would hide 4 of 5
    assert random_mask(1, (1, 5), 0.6).sum() == 3


@pytest.mark.parametrize(
    ("rounding", "ratio", "hidden"),
    [("ceil", 0.6, 30), ("floor", 0.6, 29), ("nearest", 0.6, 29), ("nearest", 0.61, 30), ("nearest", 0.5, 25)],
)
def test_the_number_of_cells_is_rounded_as_told(rounding, ratio, hidden):
    mask = random_mask(3, (7, 7), ratio, torch.Generator().manual_seed(0), rounding=rounding)
    assert (mask.sum((1, 2)) == hidden).all()


def test_an_unknown_rounding_is_refused():
    with pytest.raises(InputError, match="unknown rounding 'up'; known: ceil, floor, nearest"):
        random_mask(1, (4, 4), 0.5, rounding="up")


def test_random_mask_is_uniform_over_cells_and_differs_between_images():
    mask = random_mask(20000, (3, 3), 1 / 3, torch.Generator().manual_seed(0))
    assert torch.allclose(mask.float().mean(0), torch.full((3, 3), 1 / 3), atol=0.02)
    assert len({tuple(row.flatten().tolist()) for row in mask[:50]}) > 20


def test_random_mask_depends_on_its_generator_alone():
    first, second = (random_mask(4, (4, 4), 0.5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.parametrize("ratio", [-0.1, 1.2])
def test_ratio_outside_0_to_1_is_refused(ratio):
    with pytest.raises(InputError, match="outside 0 to 1"):
        random_mask(1, (4, 4), ratio)


@pytest.mark.parametrize("size", [(32, 32), (20, 31)])
@pytest.mark.parametrize("ratio", [0, 0.1, 0.25, 0.6])
def test_square_mask_is_one_square_of_that_area_in_each_image(size, ratio):
    masks = square_mask(20, size, ratio, torch.Generator().manual_seed(0))
    assert masks.dtype == torch.bool
    assert masks.shape == (20, *size)
    side = round(math.sqrt(ratio * size[0] * size[1]))
    for mask in masks.tolist():
        rows = [y for y in range(size[0]) if any(mask[y])]
        cols = [x for x in range(size[1]) if any(row[x] for row in mask)]
        assert len(rows) == len(cols) == side
        assert rows == list(range(rows[0], rows[0] + side)) if side else not rows
        assert all(mask[y][x] for y in rows for x in cols)
        assert sum(map(sum, mask)) == side**2


def test_square_mask_lies_everywhere_with_the_same_probability():
    masks = square_mask(20000, (6, 7), 4 / 42, torch.Generator().manual_seed(0))  # 2x2 in 5x6 places
    corners = masks.flatten(1).float().argmax(1)
    counts = torch.bincount(corners, minlength=42).view(6, 7)
    assert not counts[5].any()
    assert not counts[:, 6].any()
    expected = 20000 / 30
    assert ((counts[:5, :6] - expected).abs() < 5 * math.sqrt(expected)).all()
    assert torch.equal(masks, square_mask(20000, (6, 7), 4 / 42, torch.Generator().manual_seed(0)))


def test_square_mask_can_hide_all_of_a_square_image_and_no_more():
    assert square_mask(2, (8, 8), 1.0).all()
    with pytest.raises(InputError, match="outside 0 to 1"):
        square_mask(1, (8, 8), 1.5)
    with pytest.raises(InputError, match="needs a square of 11x11 pixels, larger than the image"):
        square_mask(1, (8, 16), 1.0)


def test_mask_grid_names_the_cells_that_divide_the_image():
    assert mask_grid((224, 224), 32) == (7, 7)
    assert mask_grid((32, 64), 8) == (4, 8)
    with pytest.raises(InputError, match="5 pixels does not divide an image of 32x32; these do: 1, 2, 4, 8, 16, 32"):
        mask_grid((32, 32), 5)


def test_resize_mask_repeats_cells_on_a_finer_grid_and_samples_a_coarser_one():
    mask = torch.tensor([[[True, False], [False, True]]])
    fine = resize_mask(mask, (4, 6))
    expected = torch.tensor([[[mask[0, i // 2, j // 3] for j in range(6)] for i in range(4)]])
    assert torch.equal(fine, expected)
    assert torch.equal(resize_mask(fine, (2, 2)), mask)


def _images():
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) + 2


def test_image_mean_is_the_mean_of_the_whole_image_hidden_pixels_included():
    images, mask = _images(), random_mask(3, (4, 4), 0.5, torch.Generator().manual_seed(0))
    filled = fill_masked(images, mask)
    for b in range(3):
        for c in range(3):
            mean = sum(images[b, c].flatten().tolist()) / 64
            for y in range(8):
                for x in range(8):
                    expected = mean if mask[b, y // 2, x // 2] else images[b, c, y, x].item()
                    assert filled[b, c, y, x].item() == pytest.approx(expected, rel=1e-5)


def test_visible_mean_leaves_the_hidden_pixels_out():
    images = torch.ones(1, 3, 4, 4)
    images[:, :, :2] = 5
    mask = torch.tensor([[[True, True], [False, False]]])
    assert torch.equal(fill_masked(images, mask, "visible-mean"), torch.ones(1, 3, 4, 4))
    everything = torch.ones(1, 2, 2, dtype=torch.bool)
    assert torch.equal(fill_masked(images, everything, "visible-mean"), torch.zeros(1, 3, 4, 4))


def test_black_is_zero_before_normalisation():
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
    black = replacement(_images(), "black", mean=mean, std=std)
    pixels = black.flatten() * torch.tensor(std) + torch.tensor(mean)
    assert torch.allclose(pixels, torch.zeros(3), atol=1e-6)
    with pytest.raises(InputError, match="mean and std"):
        replacement(_images(), "black")


def test_dataset_mean_is_zero_and_blur_keeps_the_mean_and_loses_the_variance():
    images = _images()
    assert not replacement(images, "dataset-mean").any()
    blurred = replacement(images, "blur")
    assert blurred.var() < 0.3 * images.var()
    assert torch.allclose(blurred.mean(), images.mean(), rtol=0.05)


def test_noise_needs_only_its_generator():
    first, second = (replacement(_images(), "noise", generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert 0.7 < first.std() < 1.3


@pytest.mark.parametrize("fill", ["image-mean", "visible-mean", "dataset-mean", "blur", "noise"])
def test_visible_pixels_stay_bit_for_bit(fill):
    images, mask = _images(), random_mask(3, (2, 4), 0.5, torch.Generator().manual_seed(0))
    visible = ~resize_mask(mask, (8, 8))[:, None].expand_as(images)
    assert torch.equal(fill_masked(images, mask, fill)[visible], images[visible])


def test_bad_masks_and_fills_are_refused():
    with pytest.raises(InputError, match="unknown fill 'grey'"):
        fill_masked(_images(), random_mask(3, (2, 2), 0.5), "grey")
    with pytest.raises(InputError, match="must be bool"):
        fill_masked(_images(), torch.zeros(3, 2, 2))
    with pytest.raises(InputError, match="3x3 cells does not divide images of 8x8"):
        fill_masked(_images(), random_mask(3, (3, 3), 0.5))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(3, 3, 8, 12), (3, 3, 1, 1), (1, 1, 1, 1), (1, 3, 8, 12)])
def test_paste_is_a_choice_pixel_by_pixel_and_keeps_the_memory_format(memory_format, shape):
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(3, 3, 8, 12, generator=generator).contiguous(memory_format=memory_format)
    hidden = torch.randn(shape, generator=generator)
    mask = random_mask(3, (4, 3), 0.5, generator)
    found = paste(images, hidden, mask)
    assert found.is_contiguous(memory_format=memory_format)
    wide = hidden.expand_as(images)
    for b in range(3):
        for y in range(8):
            for x in range(12):
                source = wide if mask[b, y // 2, x // 4] else images
                assert torch.equal(found[b, :, y, x], source[b, :, y, x])
    assert torch.equal(paste(images[:1], hidden[:1], mask)[1], paste(images[:1], hidden[:1], mask[1:2])[0])


# --- the default cell ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "stride", "cell"),
    [
        *((224, 16, 32), (224, 1, 32), (96, 16, 16), (160, 16, 32), (192, 16, 32), (240, 16, 48), (224, 14, 28)),
        *((518, 14, 14), (32, 4, 4), (32, 8, 8), (64, 4, 8), (388, 4, 4), (7, 1, 1)),
    ],
)
def test_the_default_cell_is_the_multiple_of_the_stride_nearest_a_seventh(side, stride, cell):
    assert auto_cell(side, stride) == cell
    assert side % cell == 0
    assert cell % stride == 0


def test_the_default_cell_divides_both_sides():
    assert auto_cell((64, 96), 16) == 16
    assert auto_cell((96, 64), 16) == 16


@pytest.mark.parametrize(
    ("side", "stride", "near"), [(97, 16, "96 or 112"), (97, 1, "96 or 98"), (100, 16, "96 or 112"), (16, 16, "32")]
)
def test_sizes_without_a_fitting_cell_are_refused_with_their_neighbours(side, stride, near):
    with pytest.raises(InputError, match=f"use images of {near} pixels"):
        auto_cell(side, stride)


def test_cells_that_do_not_fit_and_defaults_far_from_the_papers_are_reported():
    assert misfit((224, 224), 32, 16) is None
    assert "mask cells of 12 pixels are not a multiple of the network's stride of 16" in misfit((96, 96), 12, 16)
    assert "use 16, 32, 48" in misfit((96, 96), 12, 16)
    assert unusual((224, 224), 32, 16) is None
    assert "mask cells have 14 pixels, not about 74" in unusual((518, 518), 14, 14)


@pytest.mark.parametrize(("side", "patch"), [(224, 16), (96, 16), (192, 16), (224, 14), (518, 14), (96, 8), (48, 16)])
def test_no_patch_is_half_hidden_under_the_default_cell(side, patch):
    mask = random_mask(64, mask_grid((side, side), auto_cell(side, patch)), 0.6, torch.Generator().manual_seed(0))
    pixels = resize_mask(mask, (side, side))
    tokens = resize_mask(mask, (side // patch,) * 2)
    assert torch.equal(tokens.repeat_interleave(patch, 1).repeat_interleave(patch, 2), pixels)
