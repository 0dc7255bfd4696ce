"""What the masked methods share: masks of a global batch, learning rates of token and gamma, the summary."""

import pytest
import torch
from small_methods import batch_of, task_of


def group_of(task, parameter):
    return next(group for group in task.optimizer.param_groups if any(value is parameter for value in group["params"]))


@pytest.mark.parametrize("method", ["a2mim", "simmim", "inpainting"])
def test_two_processes_draw_the_masks_of_one_with_twice_the_batch(monkeypatch, method):
    task, batch = task_of(method), batch_of(method, images=4)
    seen = []
    task.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        task.loss(batch, torch.Generator().manual_seed(5))
    everywhere = task.masks(8, (32, 32), torch.Generator().manual_seed(5), **task.masks_by(task.settings))
    assert torch.equal(torch.cat(seen), everywhere)


def test_the_token_moves_at_a_tenth_in_cnns_and_as_told():
    scale = lambda task: group_of(task, task.model.mask_token)["lr_scale"]  # noqa: E731
    assert scale(task_of("a2mim", "vit")) == 1
    assert scale(task_of("a2mim", "vit", mask_layer="input")) == 1
    assert scale(task_of("a2mim", "resnet")) == 0.1
    assert scale(task_of("a2mim", "resnet", mask_token_lr_scale=0.5)) == 0.5


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (0.1, 0.0)),
        ({"gamma_lr_scale": 1.0, "gamma_weight_decay": True}, (1.0, 0.05)),  # official-resnet50
        ({"gamma_weight_decay": False}, (0.1, 0.0)),
    ],
)
def test_gamma_with_and_without_weight_decay(given, expected):
    task = task_of("a2mim", "resnet", token="replace", gamma=1e-6, **given)
    group = group_of(task, task.model.gamma)
    assert (group["lr_scale"], group["weight_decay"]) == expected
    assert group_of(task, task.model.mask_token)["weight_decay"] == 0


def test_the_summary_says_where_the_token_is_and_what_is_hidden():
    assert task_of("a2mim", "resnet", mask_patch_size=8).summary() == (
        "resnet14t, mask token at stage3 (96 channels, 4x4), 60% of 4x4 cells hidden"
    )
    assert "no mask token" in task_of("a2mim", token="none").summary()


def test_rounding_of_the_number_of_cells_reaches_the_masks():
    for rounding, hidden in (("ceil", 3), ("floor", 2), ("nearest", 2)):
        task = task_of("a2mim", mask_patch_size=16, mask_round=rounding)
        mask = task.masks(2, (32, 32), torch.Generator().manual_seed(0), **task.masks_by(task.settings))
        assert (mask.sum((1, 2)) == hidden).all()
