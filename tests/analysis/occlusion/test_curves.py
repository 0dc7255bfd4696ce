"""The occlusion sweep on classifiers whose answer under occlusion is known by construction."""

import numpy as np
import pytest
import torch
from patch_readers import CountsPatches, ReadsOnePatch
from torch import nn

from a2mim.analysis.occlusion import curves
from a2mim.errors import InputError, RunError

GRID = (4, 4)


def batches(n=14, size=7, indices=True):
    for start in range(0, n, size):
        count = min(size, n - start)
        labels = torch.ones(count, dtype=torch.int64)
        images = torch.ones(count, 3, 8, 8)
        yield (images, labels, torch.arange(start, start + count)) if indices else (images, labels)


def test_a_classifier_that_reads_one_patch_gives_exactly_the_expected_curve():
    ratios = (0, 0.25, 0.5, 0.75, 1)
    result = curves.sweep(ReadsOnePatch(1, 2), batches(), grid=GRID, ratios=ratios, runs=3, seed=5)
    for run in range(3):
        for column, ratio in enumerate(ratios):
            masks = curves.occlusion_masks(range(14), GRID, ratio, run=run, seed=5)
            assert result.accuracy[run, column] == (~masks[:, 1, 2]).double().mean().item()
    assert (result.accuracy[:, 0] == 1).all()
    assert (result.accuracy[:, -1] == 0).all()


def test_a_classifier_that_counts_patches_falls_at_its_threshold():
    result = curves.sweep(CountsPatches(8), batches(), grid=GRID, ratios=(0, 0.25, 0.5, 0.5625, 0.75, 1), runs=2)
    assert result.accuracy.tolist() == [[1, 1, 1, 0, 0, 0]] * 2


def test_a_mask_does_not_depend_on_the_other_ratios():
    alone = curves.sweep(ReadsOnePatch(1, 2), batches(), grid=GRID, ratios=(0.5,), runs=2)
    among = curves.sweep(ReadsOnePatch(1, 2), batches(), grid=GRID, ratios=(0.9, 0.5, 0.2), runs=3)
    assert alone.accuracy[:, 0].tolist() == among.accuracy[:2, 1].tolist()


def test_nested_masks_keep_what_smaller_ratios_hide():
    draw = lambda ratio: curves.occlusion_masks(range(30), GRID, ratio, run=1, nested=True)  # noqa: E731
    few, some, many = draw(0.25), draw(0.5), draw(0.875)
    assert [mask.sum((1, 2)).unique().tolist() for mask in (few, some, many)] == [[4], [8], [14]]
    assert not (few & ~some).any()
    assert not (some & ~many).any()
    curve = curves.sweep(ReadsOnePatch(1, 2), batches(), grid=GRID, nested=True, runs=3).accuracy
    assert (np.diff(curve, axis=1) <= 0).all()  # a patch once hidden never comes back


def test_a_mask_shared_by_the_batch_hides_the_same_everywhere():
    result = curves.sweep(ReadsOnePatch(1, 2), batches(), grid=GRID, ratios=(0.5,), runs=6, batch_shared_mask=True)
    assert set(result.accuracy.flatten().tolist()) == {0.0, 1.0}  # all images together, in both batches


@pytest.mark.parametrize("patches", ["salient", "non-salient"])
def test_salient_patches_are_hidden_in_their_order(patches):
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    saliency = lambda images: order.float().view(1, 4, 4).expand(len(images), -1, -1)  # noqa: E731
    place = (15 - order if patches == "salient" else order).view(4, 4)[1, 2].item()  # of the patch that is read
    result = curves.sweep(
        ReadsOnePatch(1, 2),
        batches(),
        grid=GRID,
        patches=patches,
        saliency=saliency,
        ratios=[k / 16 for k in range(17)],
    )
    wanted = [float(hidden <= place) for hidden in range(17)]
    assert result.accuracy.tolist() == [wanted] * 5


def test_a_saliency_is_needed_and_has_the_grid_of_the_occlusion():
    with pytest.raises(InputError, match="give a saliency"):
        curves.sweep(ReadsOnePatch(0, 0), batches(), grid=GRID, patches="salient")
    with pytest.raises(InputError, match="a grid of 2x2, the occlusion one of 4x4"):
        curves.sweep(
            ReadsOnePatch(0, 0), batches(), grid=GRID, patches="salient", saliency=lambda x: torch.rand(len(x), 2, 2)
        )


def test_equal_runs_are_only_those_that_draw_nothing():
    same = lambda **changes: [curves.Occlusion(GRID, **changes).same(ratio) for ratio in (0, 0.5, 1)]  # noqa: E731
    assert same() == [True, False, True]
    assert same(fill="noise") == [True, False, False]
    assert same(patches="salient") == [True, True, True]
    assert same(patches="salient", fill="noise") == [True, False, False]


@pytest.mark.parametrize("fill", ["dataset-mean", "noise", "blur"])
def test_batches_of_1_7_and_all_give_equal_results(fill):
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3))
    images = torch.randn(14, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(3, (14,), generator=torch.Generator().manual_seed(1))
    results = []
    for size in (1, 7, 14):
        loader = [(images[k : k + size], labels[k : k + size]) for k in range(0, 14, size)]
        results.append(curves.sweep(model, loader, grid=GRID, runs=2, fill=fill).accuracy)
    assert np.array_equal(results[0], results[1])
    assert np.array_equal(results[0], results[2])


def test_all_models_see_the_same_masks_in_any_order():
    class Keeps(CountsPatches):
        def forward(self, images):
            seen.append(images.clone())
            return super().forward(images)

    shown = []
    for least in (3, 9, 3):
        seen = []
        curves.sweep(Keeps(least), batches(), grid=GRID, ratios=(0.3, 0.6), runs=2, seed=4)
        shown.append(torch.stack(seen))
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(shown[0], shown[2])


@pytest.mark.parametrize(("fill", "passes"), [("dataset-mean", 1 + 3 + 1), ("noise", 1 + 3 + 3)])
def test_images_are_read_once_and_equal_runs_computed_once(fill, passes):
    class Counts(ReadsOnePatch):
        images = 0

        def forward(self, images):
            Counts.images += len(images)
            return super().forward(images)

    read = []

    def loader():
        for batch in batches():
            read.append(len(batch[0]))
            yield batch

    result = curves.sweep(Counts(0, 0), loader(), grid=GRID, ratios=(0, 0.5, 1), runs=3, fill=fill)
    assert read == [7, 7]
    assert Counts.images == 14 * passes
    assert (result.accuracy[:, 0] == 1).all()


def test_indices_of_the_loader_name_the_masks():
    def loader(order):
        for index in order:
            yield torch.ones(1, 3, 8, 8), torch.ones(1, dtype=torch.int64), torch.tensor([index])

    forth = curves.sweep(ReadsOnePatch(0, 0), loader(range(9)), grid=GRID, ratios=(0.5,), runs=2)
    back = curves.sweep(ReadsOnePatch(0, 0), loader(reversed(range(9))), grid=GRID, ratios=(0.5,), runs=2)
    assert np.array_equal(forth.accuracy, back.accuracy)


def test_the_frame_is_tidy():
    frame = curves.sweep(CountsPatches(8), batches(), grid=GRID, ratios=(0, 0.5), runs=2).to_frame()
    assert list(frame.columns) == ["run", "ratio", "accuracy", "n_images"]
    assert frame[["run", "ratio"]].values.tolist() == [[0, 0], [0, 0.5], [1, 0], [1, 0.5]]
    assert (frame.n_images == 14).all()


def test_the_models_mode_is_given_back():
    model = nn.Sequential(nn.Dropout(0.9), ReadsOnePatch(0, 0)).train()
    result = curves.sweep(model, batches(), grid=GRID, ratios=(0,), runs=1)
    assert model.training
    assert result.accuracy[0, 0] == 1  # without dropout


def test_parts_that_were_frozen_stay_so_even_after_an_error():
    model = nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.9), ReadsOnePatch(0, 0)).train()
    model[0].eval()
    curves.sweep(model, batches(), grid=GRID, ratios=(0,), runs=1)
    with pytest.raises(InputError):
        curves.sweep(model, batches(), grid=(3, 3))
    assert [module.training for module in model] == [False, True, True]


def test_features_of_a_model_without_a_classifier_are_no_logits():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 64))
    model.num_classes = 0  # as timm says it
    with pytest.raises(InputError, match="no classifier"):
        curves.sweep(model, batches(), grid=GRID)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(ratios=(0.5, 1.2)), InputError, "must be one or more numbers from 0 to 1"),
        (dict(ratios=()), InputError, "must be one or more numbers"),
        (dict(runs=0), InputError, "at least one is needed"),
        (dict(patches="all"), InputError, "unknown choice of patches 'all'; known: random, salient, non-salient"),
        (dict(fill="grey"), InputError, "unknown fill 'grey'"),
        (dict(fill="black"), InputError, "needs the mean and std"),
        (dict(grid=(3, 3)), InputError, "3x3 cells does not divide images of 8x8"),
        (dict(grid=(0, 4)), InputError, "0x4 has no cells"),
        (dict(loader=[]), InputError, "no images"),
        (dict(loader=[(torch.ones(2, 3, 8, 8),)]), InputError, "images alone"),
        (dict(loader=[(torch.ones(2, 3, 8, 8), torch.ones(2, 1).long())]), InputError, r"one number .* got \(2, 1\)"),
        (dict(loader=[(torch.ones(2, 3, 8, 8), torch.tensor([0, 2]))]), InputError, "labels 0 to 2 do not fit"),
        (dict(loader=[(torch.ones(1, 3, 8, 8), torch.tensor([-1]))]), InputError, "do not fit the model's 2 classes"),
        (dict(model=nn.Identity()), InputError, "has it a classifier"),
        (dict(model=nn.Sequential(nn.Flatten(), nn.Linear(192, 2))), RunError, "not finite"),
    ],
)
def test_mistakes_get_one_clear_error(options, error, message):
    options = {"model": CountsPatches(8), "loader": list(batches()), "grid": GRID, **options}
    if error is RunError:
        options["model"][1].weight.data.fill_(float("nan"))
    with pytest.raises(error, match=message):
        curves.sweep(options.pop("model"), options.pop("loader"), **options)
