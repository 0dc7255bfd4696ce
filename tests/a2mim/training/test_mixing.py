"""Mixup and CutMix as timm draws them, from the step's generator; the losses against their formulas."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from a2mim import seeds
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings
from a2mim.training.mixing import create_criterion, create_mixing


def mixed(number=0, images=8, **changes):
    settings = FinetuneSettings(**{"batch_size": 8, "mixup": 0.8, "cutmix": 1.0, "smoothing": 0.1, **changes})
    pictures = torch.arange(float(images)).view(-1, 1, 1, 1).expand(-1, 3, 16, 16).clone()
    return create_mixing(settings, 10)(pictures, torch.arange(images), seeds.generator("step", number))


def test_a_step_draws_the_same_mixing_again_and_leaves_the_global_generators_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = mixed(1), mixed(1), mixed(2)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002


def test_targets_say_what_share_of_which_image_is_in_the_picture():
    for number in range(8):
        pictures, targets = mixed(number, smoothing=0.0, mixup_mode="elem")
        for k in range(8):
            share = targets[k, k].item()  # image k is k everywhere, its partner 7 - k
            assert targets[k].sum().item() == pytest.approx(1)
            assert pictures[k].mean().item() == pytest.approx(share * k + (1 - share) * (7 - k), abs=1e-4)


def test_both_kinds_come_where_both_are_asked_for():
    # CutMix leaves whole pixels of either image, Mixup between them
    whole = [bool((mixed(number)[0] % 1 == 0).all()) for number in range(40)]
    assert 8 < sum(whole) < 32
    assert all(bool((mixed(number, mixup=0.0)[0] % 1 == 0).all()) for number in range(8))


def test_smoothing_is_in_the_targets():
    _, targets = mixed(mixup_prob=0.0)
    assert targets[3].tolist() == pytest.approx([0.91 if k == 3 else 0.01 for k in range(10)])


def test_of_an_odd_number_of_images_one_is_left_out_and_an_odd_batch_is_refused():
    pictures, targets = mixed(images=7)
    assert (len(pictures), len(targets)) == (6, 6)
    with pytest.raises(InputError, match="batch_size 7 must be even"):
        create_mixing(FinetuneSettings(batch_size=7, cutmix=1.0), 10)
    assert create_mixing(FinetuneSettings(batch_size=7), 10) is None


def test_the_losses_are_what_their_formulas_say():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    hot = F.one_hot(labels, 4).float()
    soft = 0.7 * hot + 0.3 * hot.flip(0)
    smooth = 0.9 * hot + 0.1 / 4
    log_p = logits.log_softmax(1)
    expected = -(smooth * log_p).sum(1).mean()
    assert create_criterion(FinetuneSettings(smoothing=0.1))(logits, labels) == pytest.approx(expected.item())
    expected = -(soft * log_p).sum(1).mean()
    assert create_criterion(FinetuneSettings(mixup=0.1))(logits, soft) == pytest.approx(expected.item())

    def bce(targets):
        return -(targets * F.logsigmoid(logits) + (1 - targets) * F.logsigmoid(-logits)).mean().item()

    settings = FinetuneSettings(bce_loss=True, mixup=0.1, smoothing=0.0)
    assert create_criterion(settings)(logits, soft) == pytest.approx(bce(soft))
    settings = FinetuneSettings(bce_loss=True, bce_target_thresh=0.2, mixup=0.1, smoothing=0.0)
    assert create_criterion(settings)(logits, soft) == pytest.approx(bce((soft > 0.2).float()))
    assert create_criterion(FinetuneSettings(bce_loss=True, smoothing=0.1))(logits, labels) == pytest.approx(
        bce(smooth)
    )
    with pytest.raises(InputError, match=r"bce_target_thresh 0.2 needs bce_loss, which is off"):
        create_criterion(FinetuneSettings(bce_target_thresh=0.2))
