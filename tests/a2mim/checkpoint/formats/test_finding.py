"""Which encoder is taken from a file, and where all else goes; each format is tested with its dialect."""

from pathlib import Path

import pytest
import timm
import torch

from a2mim.checkpoint.files.contents import Contents
from a2mim.checkpoint.formats import finding
from a2mim.errors import InputError

VIT = timm.create_model(
    "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=1, num_classes=3
)
STATE = VIT.state_dict()


def contents(checkpoint):
    return Contents.of(checkpoint, Path("file.pth"))


def under(prefix, state=STATE):
    return {prefix + name: value for name, value in state.items()}


def test_a_plain_file_is_its_own_encoder():
    found = finding.find(contents(STATE))
    assert (found.format.name, found.which, found.choices) == ("plain weights", "model", ("model",))
    assert found.state.keys() == STATE.keys()
    assert found.dialect.name == "ViT"


def test_an_unknown_prefix_is_found_by_the_layers_and_what_lies_beside_is_reported():
    found = finding.find(contents({"state_dict": under("net.trunk.") | {"criterion.center": torch.zeros(1, 3)}}))
    assert found.which == "net.trunk"
    assert found.state.keys() == STATE.keys()
    assert found.origin["cls_token"] == "net.trunk.cls_token"
    assert found.dropped == {"beside the encoder": ("criterion.center",)}


def test_parts_that_every_codebase_has_are_dropped_by_name():
    extra = {
        "projector.0.weight": torch.zeros(2, 2),
        "queue": torch.zeros(2, 2),
        "prototypes.weight": torch.zeros(2, 2),
    }
    found = finding.find(contents({"state_dict": under("backbone.") | extra}))
    assert found.dropped == {
        "projection head": ("projector.0.weight",),
        "queue": ("queue",),
        "prototypes": ("prototypes.weight",),
    }


@pytest.mark.parametrize(
    "beside",
    ["head.weight", "criterion.weight", "loss_fn.pos_weight", "val_acc.tp", "projection_head_momentum.0.weight"],
)
def test_what_lies_beside_the_encoder_is_dropped_and_listed(beside):
    found = finding.find(contents({"state_dict": under("backbone.") | {beside: torch.zeros(2, 2)}}))
    assert found.state.keys() == STATE.keys()
    assert found.dropped == {"beside the encoder": (beside,)}


def test_the_network_that_byol_pytorch_keeps_once_more():
    online = under("online_encoder.net.") | {"online_predictor.net.0.weight": torch.zeros(2, 2)}
    found = finding.find(contents(under("net.") | online))
    assert (found.format.name, found.state.keys()) == ("BYOL", STATE.keys())
    assert found.dropped["beside the encoder"] == tuple(under("net."))


def test_a_classifier_on_layers_that_timm_lacks_is_dropped_with_them():
    head = {f"head.layers.{name}.weight": torch.zeros(2, 2) for name in ("pre_logits", "head")}
    found = finding.find(contents({"state_dict": under("backbone.") | head, "meta": {}}))
    assert found.format.name == "OpenMMLab"
    assert found.state.keys() == STATE.keys()
    assert sorted(found.dropped["beside the encoder"]) == sorted(head)


def test_names_of_a_known_network_are_not_taken_for_parts():
    state = STATE | {"neck.0.weight": torch.zeros(2, 2)}
    assert finding.find(contents(state)).dropped == {"neck": ("neck.0.weight",)}
    assert finding.find(contents(state), own=state.keys()).state.keys() == state.keys()


def test_a_named_network_that_is_not_there_shows_the_names_that_differ():
    with pytest.raises(InputError, match=r"does not hold the named network: it lacks stem.weight, and has conv$"):
        finding.find(contents({"conv": torch.zeros(2, 2)}), landmarks=("stem.weight",))


def test_two_unknown_networks_are_a_question_and_no_guess():
    both = contents({"state_dict": under("left.") | under("right.")})
    with pytest.raises(InputError, match="holds 2 networks; choose one with --which: left, right"):
        finding.find(both)
    found = finding.find(both, "right")
    assert found.which == "right"
    assert found.dropped == {"left encoder": tuple(under("left."))}


def test_an_unknown_pair_of_groups_is_a_question_too():
    with pytest.raises(InputError, match="choose one with --which: model, two"):
        finding.find(contents({"one": STATE, "two": STATE}))


def test_an_ema_copy_beside_plain_weights_is_on_offer():
    found = finding.find(contents({"model": STATE, "model_ema": STATE}))
    assert (found.which, found.choices) == ("model", ("model", "ema"))
    assert found.dropped["ema encoder"][0] == "model_ema:cls_token"


def test_an_encoder_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(InputError, match=r"has no encoder 'teacher' \(plain weights\); it has: model"):
        finding.find(contents(STATE), "teacher")


def test_a_file_without_a_network_says_what_it_holds():
    with pytest.raises(
        InputError, match=r"no network that is known here; .*--model.* top level: 1 tensors \(conv, ...\)"
    ):
        finding.find(contents({"conv": torch.zeros(2, 2)}))


def test_every_tensor_goes_to_one_place():
    checkpoint = {
        "state_dict": under("module.encoder_q.") | under("module.encoder_k.") | {"module.queue": torch.zeros(2, 2)},
        "epoch": 3,
    }
    found = finding.find(contents(checkpoint))
    everything = [*found.origin.values(), *(name for names in found.dropped.values() for name in names)]
    assert sorted(everything) == sorted(contents(checkpoint).groups["state_dict"])
