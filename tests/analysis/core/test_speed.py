import json

import pytest
import torch
from torch import nn

from a2mim.analysis.core import speed


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    monkeypatch.setattr(speed, "BATCHES", (2, 4))


def test_a_batch_size_a_format_and_a_rate_are_found(quick):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()).train()
    found = speed.tune(model, (3, 8, 8), torch.device("cpu"))
    assert found.batch_size in (2, 4)
    assert found.images_per_second > 0
    assert model[0].weight.is_contiguous(memory_format=found.memory_format)
    assert model.training


def test_a_given_batch_size_is_kept(quick):
    assert speed.tune(nn.Flatten(), (3, 4, 4), torch.device("cpu"), batch_size=7).batch_size == 7


def test_sizes_that_do_not_fit_into_memory_are_passed_over(quick):
    class Small(nn.Module):
        def forward(self, images):
            if len(images) > 2:
                raise torch.OutOfMemoryError("out of memory")
            return images

    assert speed.tune(Small(), (3, 4, 4), torch.device("cpu")).batch_size == 2
    assert speed.tune(Small(), (3, 4, 4), torch.device("cpu"), batch_size=16).batch_size == 2


def test_what_a_network_cannot_do_is_raised(quick):
    with pytest.raises(RuntimeError, match="shape"):
        speed.tune(nn.Linear(5, 5), (3, 4, 4), torch.device("cpu"))


def test_what_was_found_can_be_written_and_read(quick):
    found = speed.Speed(64, torch.channels_last, 12.5)
    assert speed.Speed.from_json(json.loads(json.dumps(found.to_json()))) == found
