"""Networks are given back as they were found, and what is wrong with them is named."""

import pytest
import torch
from torch import nn

from a2mim.analysis.core.networks import check_logits, check_model, eval_mode, full_precision, memory_format
from a2mim.errors import InputError


def test_every_module_gets_its_mode_back_after_an_error_too():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)).train()
    model[1].eval()

    def look():
        assert not any(module.training for module in model.modules())
        raise KeyError

    with pytest.raises(KeyError), eval_mode(model):
        look()
    assert [module.training for module in model.modules()] == [True, True, False]


def test_images_lie_as_the_convolutions_do():
    model = nn.Conv2d(3, 4, 3)
    assert memory_format(model) == torch.contiguous_format
    assert memory_format(model.to(memory_format=torch.channels_last)) == torch.channels_last


def test_autocast_is_off_inside_and_on_again_after():
    a = torch.randn(4, 4)
    with torch.autocast("cpu", torch.bfloat16):
        with full_precision(torch.device("cpu")):
            assert (a @ a).dtype == torch.float32
        assert (a @ a).dtype == torch.bfloat16


def test_features_and_labels_that_do_not_fit_are_named():
    model = nn.Identity()
    model.num_classes = 0
    with pytest.raises(InputError, match="no classifier"):
        check_model(model)
    with pytest.raises(InputError, match=r"not logits \(B, classes\)"):
        check_logits(torch.zeros(2, 3, 4), (0, 1))
    with pytest.raises(InputError, match="labels 0 to 5 do not fit the model's 3 classes"):
        check_logits(torch.zeros(2, 3), (0, 5))
