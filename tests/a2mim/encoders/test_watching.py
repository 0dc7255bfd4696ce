"""Looking into a running encoder, on networks small enough to know what has to be seen."""

import pytest
import torch
from torch import nn

from a2mim.encoders import watching
from a2mim.encoders.layouts import Layout
from a2mim.errors import InputError


class Shuffled(nn.Module):
    """Patches of 8 pixels as tokens, in an order of its own, each a little mixed with the others."""

    def __init__(self, order, mixing=0.01):
        super().__init__()
        self.patches = nn.Conv2d(3, 6, kernel_size=8, stride=8)
        self.pair = nn.ModuleList([nn.Identity(), nn.Identity()])
        self.order, self.mixing = order, mixing

    def forward_features(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2)[:, self.order]
        return self.pair[1](self.pair[0](tokens + self.mixing * tokens.mean(1, keepdim=True)))


def test_tensors_are_counted_through_nested_lists_and_tuples_and_replaced_by_their_number():
    value = (torch.zeros(1), [torch.ones(1), (7, torch.full((1,), 2.0))], None)
    assert [float(tensor) for tensor in watching.tensors(value)] == [0, 1, 2]
    new = watching.replaced(value, lambda number, tensor: tensor + 10 if number == 2 else tensor)
    assert [float(tensor) for tensor in watching.tensors(new)] == [0, 1, 12]
    assert isinstance(new, tuple)
    assert isinstance(new[1], list)
    assert new[1][1][0] == 7
    assert new[2] is None


def test_a_forward_pass_leaves_the_mode_of_every_module_as_it_was():
    encoder = Shuffled(torch.arange(16)).train()
    encoder.patches.eval()  # frozen by its owner
    watching.forward(encoder, torch.zeros(1, 3, 32, 32))
    assert encoder.training
    assert not encoder.patches.training


def test_images_that_do_not_fit_are_one_clear_line_with_the_size_that_does():
    encoder = Shuffled(torch.arange(16))
    encoder.default_cfg = {"input_size": (3, 32, 32)}
    with pytest.raises(InputError, match=r"images of 16x16 pixels \(it is built for 32x32\): index 4 is out"):
        watching.forward(encoder, torch.zeros(1, 3, 16, 16))


@pytest.mark.parametrize("seed", range(5))
def test_the_cells_of_tokens_in_any_order_are_found(seed):
    order = torch.randperm(16, generator=torch.Generator().manual_seed(seed))
    encoder = Shuffled(order)
    layout = watching.in_order(Layout("NLC", 6, (4, 4)), (32, 32), encoder.forward_features, encoder)
    assert layout.cells == tuple(order.tolist())
    tokens = encoder.forward_features(torch.randn(2, 3, 32, 32))
    assert torch.equal(layout.to_map(tokens).flatten(2).transpose(1, 2)[:, order], tokens)


@pytest.mark.parametrize("mixing", [0.01, 1e6])
def test_tokens_row_by_row_and_tokens_that_follow_no_order_count_as_row_by_row(mixing):
    encoder = Shuffled(torch.arange(16), mixing)
    layout = Layout("NLC", 6, (4, 4))
    assert watching.in_order(layout, (32, 32), encoder.forward_features, encoder) == layout


def test_trace_names_the_modules_that_give_a_map_in_order():
    encoder = Shuffled(torch.arange(16))
    assert list(watching.trace(encoder, (32, 32))) == ["patches", "pair.0", "pair.1"]
    assert watching.trace(encoder, (32, 32))["pair.0"] == [Layout("NLC", 6, (4, 4))]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in encoder.modules())
