"""timm's architectures with the same names and shapes."""

import json

import pytest
import timm
import torch

from a2mim.checkpoint import lookalikes
from a2mim.checkpoint.lookalikes import alike, encoder_shapes, fingerprint, signature, without_memory


def groups_of(arch, **args):
    return alike({name: value.shape for name, value in without_memory(arch, **args).state_dict().items()})


def test_anti_aliased_resnets_have_the_tensors_of_a_plain_one():
    found = groups_of("resnet50", num_classes=7)
    own = next(group for group in found if "resnet50" in group)
    others = {arch for group in found for arch in group} - set(own)
    assert {"resnetblur50", "resnetaa50"} <= others


def test_a_network_like_no_other_stands_alone():
    assert groups_of("test_resnet", num_classes=0) == (("test_resnet",),)
    assert groups_of("resnet18", channels=[8, 16, 24, 32]) == ()


def test_images_of_another_size_change_nothing():
    assert groups_of("vit_small_patch16_224", img_size=64) == groups_of("vit_small_patch16_224")
    assert any("vit_small_patch16_384" in group for group in groups_of("vit_small_patch16_224"))


def test_a_fingerprint_is_of_names_and_shapes():
    shapes = {"a.weight": (2, 3), "pos_embed": (1, 5, 8)}
    assert fingerprint(shapes) == fingerprint({"pos_embed": torch.Size((1, 9, 8)), "a.weight": torch.Size((2, 3))})
    assert fingerprint(shapes | {"bn.num_batches_tracked": ()}) == fingerprint(shapes)
    for other in ({"a.weight": (3, 2)}, {"b.weight": (1,)}):
        assert fingerprint(shapes | other) != fingerprint(shapes)


def test_shapes_fit_but_for_the_size_of_the_images():
    network = encoder_shapes(without_memory("vit_tiny_patch16_224", depth=1))
    assert lookalikes.fits(network, network)
    assert lookalikes.fits(network | {"pos_embed": (1, 26, 192)}, network)
    assert not lookalikes.fits(network | {"pos_embed": (1, 196, 192)}, network)  # without a place for the class token
    assert not lookalikes.fits(network | {"norm.weight": (193,)}, network)


def test_a_signature_is_of_what_is_computed():
    plain = without_memory("vit_tiny_patch16_224", depth=1)
    same = without_memory("vit_tiny_patch16_224", depth=1, img_size=96, drop_rate=0.1)
    assert signature(plain) == signature(same)
    for other in (dict(act_layer="quick_gelu"), dict(num_heads=6), dict(norm_layer=torch.nn.LayerNorm)):
        assert signature(without_memory("vit_tiny_patch16_224", depth=1, **other)) != signature(plain), other


def test_architectures_of_another_timm_are_built_and_added(monkeypatch, tmp_path):
    table = json.loads(lookalikes.TABLE.read_text())
    groups = {
        mark: [[arch for arch in group if arch not in ("resnetaa50", "test_resnet")] for group in groups]
        for mark, groups in table["groups"].items()
    }
    (tmp_path / "table.json").write_text(json.dumps(table | {"groups": groups}))
    monkeypatch.setattr(lookalikes, "TABLE", tmp_path / "table.json")
    lookalikes._table.cache_clear()
    try:
        assert ("resnetaa50",) in groups_of("resnet50")
        assert groups_of("test_resnet") == (("test_resnet",),)
        monkeypatch.setattr(timm, "list_models", lambda: ["resnet50"])
        lookalikes._table.cache_clear()
        assert groups_of("resnet50") == (("resnet50",),)
    finally:
        lookalikes._table.cache_clear()


def test_the_table_is_of_all_architectures_and_small():
    table = json.loads(lookalikes.TABLE.read_text())
    known = {arch for groups in table["groups"].values() for group in groups for arch in group}
    assert lookalikes.TABLE.stat().st_size < 200_000
    if table["timm"] == timm.__version__:
        assert known | set(table["unbuildable"]) == set(timm.list_models())


@pytest.mark.parametrize("arch", ["resnet18", "deit_tiny_distilled_patch16_224", "convnext_atto", "test_efficientnet"])
def test_the_classifier_does_not_belong_to_the_encoder(arch):
    without = timm.create_model(arch, num_classes=0)
    assert encoder_shapes(without_memory(arch)).keys() == without.state_dict().keys()
