import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from a2mim.analysis.core.choices import BASELINES
from a2mim.analysis.interactions.games import SCORES, PatchGame
from a2mim.errors import InputError, RunError
from a2mim.masking import replacement

CLASSES, MEAN, STD = 5, (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(32, CLASSES),
    ).eval()


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.randn(3, 12, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def coalitions() -> np.ndarray:
    return np.random.default_rng(2).random((11, 12)) < 0.5


def literal_image(image, coalition, grid, baseline):
    """The definition, pixel by pixel: a pixel shows the image if its cell's player is present."""
    shown = image.clone()
    for row in range(image.shape[1]):
        for col in range(image.shape[2]):
            cell_row, cell_col = row // (image.shape[1] // grid[0]), col // (image.shape[2] // grid[1])
            if not coalition[cell_row * grid[1] + cell_col]:
                shown[:, row, col] = baseline[:, row, col]
    return shown


def literal_score(logits, label, score):
    """The definitions over probabilities, in Python's floats."""
    weights = [math.exp(z) for z in logits]
    p = weights[label] / sum(weights)
    return {"log-odds": math.log(p / (1 - p)), "log-prob": math.log(p), "logit": logits[label]}[score]


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("baseline", BASELINES)
def test_values_are_the_scores_of_the_literally_masked_image(model, image, coalitions, score, baseline):
    game = PatchGame(model, image, 3, (6, 2), score=score, baseline=baseline, mean=MEAN, std=STD, id="x")
    absent = game.baseline if baseline == "noise" else replacement(image[None], baseline, mean=MEAN, std=STD)[0]
    absent = absent.broadcast_to(image.shape)
    values = game(coalitions)
    assert values.shape == (11,)
    assert values.dtype == np.float64
    for coalition, value in zip(coalitions, values, strict=True):
        with torch.no_grad():
            logits = model(literal_image(image, coalition, (6, 2), absent)[None])[0].double().tolist()
        assert value == pytest.approx(literal_score(logits, 3, score), abs=2e-6)


def test_all_present_is_the_image_and_none_the_baseline(model, image):
    given = torch.full((3, 1, 1), 7.0)
    game = PatchGame(model, image, 0, (3, 4), baseline=given)
    everyone, nobody = game.render(torch.tensor([[True] * 12, [False] * 12]))
    assert torch.equal(everyone, image)
    assert torch.equal(nobody, given.expand_as(image))


def test_noise_baseline_belongs_to_the_image(model, image):
    a, b, other = (PatchGame(model, image, 0, (3, 4), baseline="noise", id=id).baseline for id in ("a", "a", "b"))
    assert torch.equal(a, b)
    assert not torch.equal(a, other)
    assert 0.7 < a.std() < 1.3


def test_log_odds_stay_finite_for_a_model_that_is_sure():
    logits = torch.tensor([[900.0, 0.0, 1.0], [-900.0, 0.0, 0.0]], dtype=torch.float64)
    expected = [900 - math.log(1 + math.e), -900 - math.log(2)]
    np.testing.assert_allclose(SCORES["log-odds"](logits, 0), expected, rtol=1e-12)


@pytest.mark.parametrize("batch_size", [1, 3, 11, 64])
def test_batch_size_changes_nothing(model, image, coalitions, batch_size):
    seen = []
    hook = model.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    values = PatchGame(model, image, 1, (3, 4), batch_size=batch_size)(coalitions)
    hook.remove()
    np.testing.assert_allclose(values, PatchGame(model, image, 1, (3, 4))(coalitions), atol=1e-6)
    # a rest is filled up to a power of two
    assert seen == {1: [1] * 11, 3: [3, 3, 3, 2], 11: [11], 64: [16]}[batch_size]


def test_model_is_run_in_eval_mode_and_given_back_as_it_was(model, image, coalitions):
    expected = PatchGame(model, image, 1, (3, 4))(coalitions)
    model.train()
    model[1].eval()  # a frozen batch norm
    before = [module.training for module in model.modules()]
    statistics = model[1].running_mean.clone()
    np.testing.assert_array_equal(PatchGame(model, image, 1, (3, 4))(coalitions), expected)
    with pytest.raises(InputError, match="outside"):
        PatchGame(model, image, CLASSES, (3, 4))(coalitions)
    after = [module.training for module in model.modules()]
    model.eval()
    assert after == before
    assert torch.equal(model[1].running_mean, statistics)


def test_autocast_and_reduced_precision_are_switched_off_and_on_again(model, image, coalitions):
    expected = PatchGame(model, image, 1, (3, 4))(coalitions)
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    seen = []
    hook = model.register_forward_pre_hook(
        lambda *_: seen.append((torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32))
    )
    try:
        torch.set_float32_matmul_precision("medium")
        torch.backends.cudnn.allow_tf32 = True
        with torch.autocast("cpu", torch.bfloat16):
            values = PatchGame(model, image, 1, (3, 4))(coalitions)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32
    finally:
        hook.remove()
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
    assert set(seen) == {("highest", False)}
    np.testing.assert_array_equal(values, expected)


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="this torch has the older names alone")
def test_precision_set_through_the_newer_names_is_given_back(model, image, coalitions):
    # once these are used, torch refuses to read the older names
    cudnn: Any = torch.backends.cudnn
    operations = [torch.backends.cuda.matmul, cudnn.conv, cudnn.rnn]
    before = [operation.fp32_precision for operation in operations]
    seen = []
    hook = model.register_forward_pre_hook(lambda *_: seen.append([o.fp32_precision for o in operations]))
    try:
        for operation, precision in zip(operations, ("tf32", "tf32", "ieee"), strict=True):
            operation.fp32_precision = precision
        PatchGame(model, image, 1, (3, 4))(coalitions)
        assert [operation.fp32_precision for operation in operations] == ["tf32", "tf32", "ieee"]
    finally:
        hook.remove()
        for operation, precision in zip(operations, before, strict=True):
            operation.fp32_precision = precision
    assert seen == [["ieee", "ieee", "ieee"]]


def test_channels_last_weights_get_channels_last_images(image, coalitions):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)).eval()
    expected = PatchGame(net, image, 1, (3, 4))(coalitions)
    net.to(memory_format=torch.channels_last)
    game = PatchGame(net, image, 1, (3, 4))
    batch = game.render(torch.from_numpy(coalitions))
    assert batch.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(game(coalitions), expected, atol=1e-6)


def test_a_float64_model_is_run_in_float64(image, coalitions):
    linear = nn.Linear(image.numel(), 2).double()
    weight, bias = linear.weight[1].detach().numpy(), linear.bias[1].item()
    game = PatchGame(nn.Sequential(nn.Flatten(), linear), image, 1, (3, 4), score="logit")
    shown = game.render(torch.from_numpy(coalitions)).flatten(1).numpy()
    np.testing.assert_allclose(game(coalitions), shown @ weight + bias, rtol=1e-12)


def test_no_coalitions_and_read_only_coalitions(model, image, coalitions, recwarn):
    game = PatchGame(model, image, 1, (3, 4))
    assert game(np.zeros((0, 12), bool)).shape == (0,)
    frozen = coalitions.copy()
    frozen.setflags(write=False)
    game(frozen)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            dict(grid=(5, 4)),
            r"5x4 does not divide an image of 12x8 pixels; rows that do: 1, 2, 3, 4, 6, 12; columns: 1",
        ),
        (dict(grid=(0, 4)), "0x4"),
        (dict(image=torch.zeros(1, 3, 12, 8)), r"image must be \(3, H, W\), got \(1, 3, 12, 8\)"),
        (dict(image=torch.zeros(1, 12, 8)), r"got \(1, 12, 8\)"),
        (dict(label=-1), "label -1: the image has no class"),
        (dict(score="odds"), "unknown score 'odds'; known: log-odds, log-prob, logit"),
        (dict(baseline="grey"), "unknown baseline 'grey'; known: dataset-mean, .*, or a tensor"),
        (dict(baseline="visible-mean"), "unknown baseline 'visible-mean'"),
        (dict(baseline="black"), "needs the mean and std"),
        (dict(baseline=torch.zeros(3, 5, 5)), r"\(3, 5, 5\) does not broadcast to the image's \(3, 12, 8\)"),
        (dict(batch_size=0), "batch size 0"),
    ],
)
def test_wrong_settings_are_named(model, image, change, message):
    settings = dict(model=model, image=image, label=0, grid=(3, 4)) | change
    with pytest.raises(InputError, match=message):
        PatchGame(**settings)


def test_wrong_calls_are_named(model, image, coalitions):
    game = PatchGame(model, image, 0, (3, 4))
    for wrong in (coalitions[:, :-1], coalitions.astype(int), coalitions[0]):
        with pytest.raises(InputError, match=r"coalitions must be bool \(n, 12 players\)"):
            game(wrong)
    with pytest.raises(InputError, match=r"label 5 is outside the model's 5 classes \(0 to 4\)"):
        PatchGame(model, image, 5, (3, 4))(coalitions)
    with pytest.raises(InputError, match=r"gives \(11, 8, 12, 8\) for 11 images"):
        PatchGame(model[0], image, 0, (3, 4))(coalitions)
    single = nn.Sequential(nn.Flatten(), nn.Linear(288, 1))
    with pytest.raises(InputError, match="two classes"):
        PatchGame(single, image, 0, (3, 4))(coalitions)
    assert PatchGame(single, image, 0, (3, 4), score="logit")(coalitions).shape == (11,)


def test_scores_that_are_no_numbers_are_counted(model, image, coalitions):
    hole = image.clone()
    hole[:, 0, 0] = float("nan")
    broken = int(coalitions[:, 0].sum())
    with pytest.raises(RunError, match=f"{broken} of 11 scores are not finite"):
        PatchGame(model, hole, 0, (3, 4))(coalitions)
