"""Seeds by name: fixed for ever, apart from one another, and without a trace in the global generators."""

import random

import numpy as np
import torch

from a2mim import seeds


def test_derive_is_a_fixed_function_of_its_parts():
    # a recorded value: results that people published depend on it
    assert seeds.derive(0, "mask", 17) == seeds.derive(0, "mask", 17) == 1695968155478418221
    assert seeds.derive(1, 2) != seeds.derive(12)
    assert len({seeds.derive(0, "mask", k) for k in range(1000)}) == 1000


def test_generators_follow_their_seed():
    draws = [torch.rand(3, generator=seeds.generator(0, "a")) for _ in range(2)]
    assert torch.equal(*draws)
    assert seeds.numpy_generator(0, "a").random() == seeds.numpy_generator(0, "a").random()


def _draw():
    return random.random(), np.random.rand(), torch.rand(1).item()  # noqa: NPY002


def test_isolated_fixes_the_global_generators_inside_and_gives_them_back():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    expected = _draw(), _draw()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    before = _draw()
    with seeds.isolated(5, "x"):
        inside = _draw()
    assert (before, _draw()) == expected
    with seeds.isolated(5, "x"):
        assert _draw() == inside
