"""Templates read both ways; joins; what is ignored; what is refused."""

import pytest
import torch

from a2mim.checkpoint.names.dialects import Dialect, Ignore, Join, Rename, from_timm, recognise, to_timm
from a2mim.errors import InputError

DIALECT = Dialect(
    "test",
    "vit",
    has=("stem.weight", "layers.*.ln1.weight"),
    lacks=("foreign.*",),
    rules=(
        Ignore(("*.index",), "a table"),
        Rename("layers.{i}.down", "layers.{i+1}.down"),
        Rename("layers.{i}.{j}.ln1", "blocks.{i}.{j}.norm1"),
        Rename("scale", "gamma", change=lambda t: t.flatten(), back=lambda t: t[:, None]),
        Join(("att.{i}.q", "att.{i}.k", "att.{i}.v"), "att.{i}.qkv"),
    ),
)


def state(**tensors):
    return {name.replace("__", "."): value for name, value in tensors.items()}


def test_names_change_by_whole_components_with_their_numbers():
    theirs = {"layers.3.down.weight": 1, "layers.12.7.ln1.bias": 2, "layers.12.7.ln10.bias": 3, "stem.weight": 4}
    timm = to_timm(DIALECT, {name: torch.tensor([value]) for name, value in theirs.items()})
    assert {name: int(value) for name, value in timm.state.items()} == {
        "layers.4.down.weight": 1,
        "blocks.12.7.norm1.bias": 2,
        "layers.12.7.ln10.bias": 3,  # no rule: timm's name already
        "stem.weight": 4,
    }
    assert timm.origin["layers.4.down.weight"] == ("layers.3.down.weight",)
    assert {name: int(value) for name, value in from_timm(DIALECT, timm.state).items()} == theirs


def test_a_shifted_number_below_zero_is_no_match():
    assert list(from_timm(DIALECT, {"layers.0.down.weight": torch.zeros(1)})) == ["layers.0.down.weight"]


def test_joined_layers_are_one_below_the_other_in_the_order_of_the_rule_and_come_apart_again():
    q, k, v = torch.ones(2, 4), torch.ones(2, 4) * 2, torch.ones(2, 4) * 3
    theirs = {"att.0.v.weight": v, "att.0.q.weight": q, "att.0.k.weight": k}
    timm = to_timm(DIALECT, theirs)
    assert torch.equal(timm.state["att.0.qkv.weight"], torch.cat([q, k, v]))
    assert timm.origin["att.0.qkv.weight"] == ("att.0.q.weight", "att.0.k.weight", "att.0.v.weight")
    back = from_timm(DIALECT, timm.state)
    assert all(torch.equal(back[name], value) for name, value in theirs.items())


def test_the_weight_of_a_join_does_not_need_a_bias_but_all_its_parts():
    with pytest.raises(InputError, match=r"att\.0\.qkv\.bias is made of 3 tensors, of which att\.\{i\}\.k is not"):
        to_timm(DIALECT, {"att.0.q.bias": torch.zeros(2), "att.0.v.bias": torch.zeros(2)})


def test_tensors_change_on_the_way_and_back():
    theirs = {"scale": torch.arange(3.0)[:, None]}
    timm = to_timm(DIALECT, theirs)
    assert timm.state["gamma"].shape == (3,)
    assert torch.equal(from_timm(DIALECT, timm.state)["scale"], theirs["scale"])


def test_what_is_ignored_is_told_with_its_reason():
    result = to_timm(DIALECT, {"att.0.index": torch.zeros(1)})
    assert (result.state, result.ignored) == ({}, {"att.0.index": "a table"})


def test_two_tensors_for_one_place_are_refused_by_name():
    with pytest.raises(InputError, match=r"gamma and scale are both 'gamma'"):
        to_timm(DIALECT, {"gamma": torch.zeros(1), "scale": torch.zeros(1)})


def test_a_dialect_is_known_by_what_must_and_must_not_be_there():
    names = {"stem.weight", "layers.0.ln1.weight"}
    assert recognise(names, [DIALECT]) is DIALECT
    assert recognise(names - {"stem.weight"}, [DIALECT]) is None
    assert recognise(names | {"foreign.x"}, [DIALECT]) is None
