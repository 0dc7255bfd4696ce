"""Inpainting: one square in each image, L2 on it, no token."""

import pytest
import torch
from small_methods import batch_of, task_of

from a2mim.errors import InputError


def test_a_square_of_the_area_at_a_place_of_its_own():
    task = task_of("inpainting")
    masks = task.masks(50, (32, 32), torch.Generator().manual_seed(0), **task.masks_by(task.settings))
    assert masks.shape == (50, 32, 32)
    assert (masks.sum((1, 2)) == 256).all()  # a quarter of 32x32
    assert (masks.any(1).sum(1) == 16).all()
    assert (masks.any(2).sum(1) == 16).all()
    assert len({tuple(mask.flatten().nonzero()[0].tolist()) for mask in masks}) > 30
    assert task.summary().endswith("no mask token, a square of 16x16 of 32x32 pixels hidden")


def test_the_loss_is_the_squared_error_of_the_square():
    task, batch = task_of("inpainting", "resnet", mask_ratio=0.1), batch_of("inpainting")
    task.model.eval()
    loss, values = task.loss(batch, torch.Generator().manual_seed(3))
    mask = task.masks(8, (32, 32), torch.Generator().manual_seed(3), ratio=0.1)
    error = (task.model(batch.images, mask) - batch.images).square()
    assert loss.item() == pytest.approx(error[mask[:, None].expand_as(error)].mean().item(), rel=1e-5)
    assert values["frequency"] == 0


def test_the_encoder_sees_the_mean_of_the_data_set_in_the_square_and_no_token():
    task, batch = task_of("inpainting"), batch_of("inpainting")
    mask = task.masks(8, (32, 32), torch.Generator().manual_seed(0), ratio=0.25)
    seen = []
    task.model.encoder.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task.model(batch.images, mask)
    assert torch.equal(seen[0], batch.images * ~mask[:, None])
    assert not task.model.mask_token.requires_grad


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match="needs a square of 43x43 pixels, larger than the image"):
        task_of("inpainting").masks(1, (32, 64), None, ratio=0.9)
