"""MoCo v3 against its formulas written out slowly, in float64."""

import math

import pytest
import torch
import torch.multiprocessing
from small_methods import batch_of, task_of
from torch import nn

from a2mim.errors import InputError
from a2mim.methods.mocov3 import info_nce, momentum_at, perceptron, pooled


def slow_contrast(queries, keys, temperature):
    """−2τ · mean over i of log(exp(q_i·k_i/τ) / Σ_j exp(q_i·k_j/τ)), number by number."""
    unit = lambda rows: [[v / math.sqrt(sum(w * w for w in row)) for v in row] for row in rows.tolist()]  # noqa: E731
    queries, keys = unit(queries), unit(keys)
    total = 0.0
    for i, query in enumerate(queries):
        alike = [math.exp(sum(a * b for a, b in zip(query, key, strict=True)) / temperature) for key in keys]
        total -= math.log(alike[i] / sum(alike))
    return 2 * temperature * total / len(queries)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("images", [1, 2, 7])
def test_the_loss_is_its_formula(images, temperature):
    generator = torch.Generator().manual_seed(images)
    queries, keys = (torch.randn(images, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    loss, _ = info_nce(queries, keys, temperature)
    assert loss.item() == pytest.approx(slow_contrast(queries, keys, temperature), rel=1e-12, abs=1e-12)


def test_queries_at_their_keys_and_far_from_others_lose_nearly_nothing():
    loss, hits = info_nce(torch.eye(6) * 3, torch.eye(6), 0.01)
    assert loss < 1e-6
    assert hits == 1
    assert info_nce(torch.eye(6), torch.eye(6).roll(1, 0), 0.2)[1] == 0


def test_a_symmetric_step_is_both_views_against_the_keys_of_the_other():
    task, batch = task_of("mocov3"), batch_of("mocov3")
    task.model.double().train()
    first, second = batch.images.double().unbind(1)
    q1, q2, k1, k2 = task.model(first, second)
    expected = slow_contrast(q1, k2, 0.2) + slow_contrast(q2, k1, 0.2)
    loss, values = task.loss(batch._replace(images=batch.images.double()), None)
    assert loss.item() == pytest.approx(expected, rel=1e-9)
    assert set(values) == {"matched", "spread"}


def test_gradient_reaches_the_queries_alone_and_no_gradient_the_keys():
    task, batch = task_of("mocov3", "resnet"), batch_of("mocov3")
    task.loss(batch, None)[0].backward()
    with_gradient = {name.split(".")[0] for name, value in task.model.named_parameters() if value.grad is not None}
    assert with_gradient == {"encoder", "projector", "predictor"}
    moved = {id(value) for group in task.optimizer.param_groups for value in group["params"]}
    assert not moved & {id(value) for value in task.model.momentum_encoder.parameters()}


def test_momentum_rises_from_its_start_to_1_as_a_cosine():
    steps = [momentum_at(0.99, t / 10) for t in range(11)]
    assert steps[0] == pytest.approx(0.99)
    assert steps[5] == pytest.approx(0.995)
    assert steps[10] == 1
    assert steps == sorted(steps)
    assert momentum_at(0.9, 0.25) == pytest.approx(1 - 0.1 * (1 + math.cos(math.pi / 4)) / 2)
    assert momentum_at(0.9, 1.5) == 1  # a run with more epochs than it began with may count further


def test_keys_follow_the_queries_after_every_update():
    task = task_of("mocov3", "resnet", updates=4)
    pairs = {
        name: (value.clone(), dict(task.model.encoder.named_parameters())[name])
        for name, value in task.model.momentum_encoder.named_parameters()
    }
    with torch.no_grad():
        for value in (*task.model.encoder.parameters(), *task.model.projector.parameters()):
            value.add_(1)
    for update in (1, 2):
        task.after_update()
        momentum = 1 - 0.01 * (1 + math.cos(math.pi * update / 4)) / 2
        pairs = {name: (momentum * slow + (1 - momentum) * fast, fast) for name, (slow, fast) in pairs.items()}
    for name, value in task.model.momentum_encoder.named_parameters():
        assert torch.allclose(value, pairs[name][0], atol=1e-6), name
    assert not torch.equal(task.model.momentum_projector[0].weight, task.model.projector[0].weight)


def test_the_count_of_updates_is_kept_for_a_resume():
    task = task_of("mocov3")
    task.after_update()
    again = task_of("mocov3")
    again.load_extra_state(task.extra_state())
    assert again.updated == 1


def kinds(module):
    return [type(layer).__name__ for layer in module]


def test_projector_and_predictor_are_those_of_the_published_code():
    block = ["Linear", "BatchNorm1d", "ReLU"]
    vit, resnet = task_of("mocov3", "vit").model, task_of("mocov3", "resnet").model
    assert kinds(vit.projector) == [*block, *block, "Linear", "BatchNorm1d"]
    assert kinds(vit.predictor) == [*block, "Linear", "BatchNorm1d"]
    assert kinds(resnet.projector) == [*block, "Linear", "BatchNorm1d"]
    assert kinds(resnet.predictor) == [*block, "Linear"]
    assert not vit.projector[-1].affine
    assert all(layer.bias is None for layer in perceptron(3, 5, 7, 2, last_norm=False) if isinstance(layer, nn.Linear))
    assert (vit.width, resnet.width) == (24, 128)


def test_temperature_and_frozen_patches_follow_from_the_encoder_unless_given():
    vit, resnet = task_of("mocov3", "vit"), task_of("mocov3", "resnet")
    assert (vit.settings.moco_temperature, resnet.settings.moco_temperature) == (0.2, 1.0)
    assert (vit.settings.freeze_patch_embed, resnet.settings.freeze_patch_embed) == (True, False)
    assert not any(value.requires_grad for value in vit.model.encoder.patch_embed.parameters())
    assert "patch embedding frozen" in vit.summary()
    free = task_of("mocov3", "vit", freeze_patch_embed=False, moco_temperature=0.1)
    assert all(value.requires_grad for value in free.model.encoder.patch_embed.parameters())
    assert free.settings.moco_temperature == 0.1
    with pytest.raises(InputError, match="resnet14t has no patch embedding to freeze"):
        task_of("mocov3", "resnet", freeze_patch_embed=True)


def test_pooled_features_are_what_timm_gives_its_classifier():
    task, batch = task_of("mocov3", "resnet"), batch_of("mocov3")
    encoder = task.model.encoder.eval()
    maps = encoder.forward_features(batch.images[:, 0])
    assert torch.allclose(pooled(encoder, batch.images[:, 0]), maps.mean((2, 3)), atol=1e-6)


def test_channels_last_changes_the_memory_and_not_the_result():
    plain, nhwc = task_of("mocov3", "resnet"), task_of("mocov3", "resnet", channels_last=True)
    nhwc.model.to(memory_format=torch.channels_last)
    batch = batch_of("mocov3")
    assert plain.loss(batch, None)[0].item() == pytest.approx(nhwc.loss(batch, None)[0].item(), rel=1e-4)


def _one_of_two(rank, folder, queries, keys, results):
    import os

    os.environ.update(RANK=str(rank), WORLD_SIZE="2", LOCAL_RANK=str(rank))
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    mine = slice(0, 3) if rank == 0 else slice(3, 8)  # as when an image of the first could not be read
    loss, hits = info_nce(queries[mine], keys[mine], 0.2)
    results[rank] = torch.stack([loss, hits]) * len(queries[mine])
    torch.distributed.destroy_process_group()


def test_two_processes_compare_with_the_keys_of_both(tmp_path):
    generator = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(8, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    results = torch.zeros(2, 2, dtype=torch.float64).share_memory_()
    torch.multiprocessing.spawn(_one_of_two, (str(tmp_path), queries, keys, results), nprocs=2)
    loss, hits = info_nce(queries, keys, 0.2)
    assert torch.allclose(results.sum(0) / 8, torch.stack([loss, hits]), rtol=1e-12)


def test_the_patch_embedding_is_frozen_at_xaviers_start():
    model = task_of("mocov3").model
    projection = model.encoder.patch_embed.proj
    bound = math.sqrt(6 / (3 * 8**2 + 24))
    assert 0.95 * bound < projection.weight.abs().max() <= bound
    assert projection.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert not projection.bias.any()
    assert not projection.weight.requires_grad
    assert torch.equal(projection.weight, model.momentum_encoder.patch_embed.proj.weight)
    trained = task_of("mocov3", freeze_patch_embed=False).model.encoder.patch_embed.proj
    assert trained.weight.requires_grad
