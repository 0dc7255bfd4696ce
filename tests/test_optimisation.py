"""Who is decayed, at what rate each moves, and the course of the learning rate."""

import copy
import math

import pytest
import timm
import torch

import a2mim
from a2mim.errors import InputError
from a2mim.optimisation import create_optimizer, create_scheduler
from a2mim.settings import FinetuneSettings, PretrainSettings

VIT = dict(img_size=32, patch_size=8, embed_dim=24, depth=4, num_heads=2)


def groups_by_name(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {names[id(parameter)]: group for group in optimizer.param_groups for parameter in group["params"]}


def test_the_papers_exclusions_from_weight_decay():
    model = a2mim.create_model("vit_tiny_patch16_224", model_args=VIT, token="replace", gamma=1e-6)
    settings = PretrainSettings(weight_decay=0.05)
    optimizer = create_optimizer(model, settings, 1e-3, lr_scales={"mask_token": 1.0, "gamma": 0.1})
    groups = groups_by_name(model, optimizer)
    assert set(groups) == {name for name, _ in model.named_parameters()}
    for name, group in groups.items():
        spared = (
            name.endswith(("bias", "norm.weight", "norm1.weight", "norm2.weight"))
            or name in ("mask_token", "gamma", "encoder.pos_embed", "encoder.cls_token")
        )  # fmt: skip
        assert group["weight_decay"] == (0 if spared else 0.05), name
    assert groups["gamma"]["lr_scale"] == 0.1
    assert groups["mask_token"]["lr_scale"] == 1.0
    assert groups["mask_token"]["betas"] == (0.9, 0.999)


def test_a_frozen_parameter_is_not_given_to_the_optimiser():
    model = a2mim.create_model("vit_tiny_patch16_224", model_args=VIT, token="none")
    assert "mask_token" not in groups_by_name(model, create_optimizer(model, PretrainSettings(), 1e-3))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_fused_update_equals_the_plain_one(layout):
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3, channels=[8, 16, 24, 32], stem_width=4)
    model.to(memory_format=layout)
    twin = copy.deepcopy(model)
    fused, plain = (create_optimizer(subject, PretrainSettings(), 1e-2) for subject in (model, twin))
    assert all(group["fused"] for group in fused.param_groups)
    for group in plain.param_groups:
        group.update(fused=False, foreach=False)
    for _ in range(3):
        fused.zero_grad()
        model(torch.randn(8, 3, 32, 32)).square().mean().backward()
        for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
            its.grad = mine.grad.clone()  # Adam magnifies what rounding does to the smallest gradients
        fused.step()
        plain.step()
    for mine, its in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-6)


def test_layer_decay_slows_the_lower_layers():
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **VIT)
    optimizer = create_optimizer(model, FinetuneSettings(), 1e-3, layer_decay=0.5)
    groups = groups_by_name(model, optimizer)
    scales = [groups[f"blocks.{depth}.attn.qkv.weight"]["lr_scale"] for depth in range(4)]
    assert scales == pytest.approx([0.5**4, 0.5**3, 0.5**2, 0.5])


def test_warm_up_then_cosine_to_the_last_update():
    model = torch.nn.Linear(2, 2)
    settings = PretrainSettings(epochs=10, warmup_epochs=2, warmup_lr=0.0, min_lr=1e-5)
    optimizer = create_optimizer(model, settings, 1e-3)
    scheduler = create_scheduler(optimizer, settings, updates_per_epoch=5)
    seen = []
    for update in range(50):
        scheduler.step_update(update)
        seen.append(optimizer.param_groups[0]["lr"])
    expected = [1e-3 * update / 10 for update in range(10)]
    expected += [1e-5 + (1e-3 - 1e-5) * (1 + math.cos(math.pi * update / 40)) / 2 for update in range(40)]
    assert seen == pytest.approx(expected)


def test_mistakes():
    model = torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="optimiser 'adamx'"):
        create_optimizer(model, PretrainSettings(opt="adamx"), 1e-3)
    optimizer = create_optimizer(model, PretrainSettings(), 1e-3)
    with pytest.raises(InputError, match="10 epochs of warm-up leave nothing of a run of 3"):
        create_scheduler(optimizer, PretrainSettings(epochs=3), 5)
    with pytest.raises(InputError, match="schedule 'triangle'"):
        create_scheduler(optimizer, PretrainSettings(sched="triangle", epochs=30), 5)
