"""Names and shapes tell the architecture: every size of every family comes back as itself."""

import pytest
import timm

from a2mim.checkpoint.architectures import infer
from a2mim.checkpoint.fitting import without_weights
from a2mim.checkpoint.names.dialects import recognise, to_timm
from a2mim.checkpoint.names.table import DIALECTS
from a2mim.errors import InputError

NAMED = (
    *("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "vit_base_patch32_224"),
    *("vit_large_patch16_224", "vit_huge_patch14_224", "vit_base_patch14_dinov2", "vit_base_patch14_reg4_dinov2"),
    *("deit_small_distilled_patch16_224", "beit_base_patch16_224", "beit_large_patch16_224"),
    *("convnext_tiny", "convnext_base", "convnextv2_nano", "convnextv2_base"),
    *("resnet18", "resnet34", "resnet26", "resnet50", "resnet101", "resnet152", "resnet50d", "resnext50_32x4d"),
    "wide_resnet50_2",
)
OTHERS = (
    ("vit_large_patch16_384", {"img_size": 384}),
    ("vit_small_patch8_224", {"img_size": 224}),
    ("deit3_base_patch16_224", {}),
    ("vit_base_patch16_clip_224", {}),
    ("beit_large_patch16_384", {"img_size": 384}),
    ("swin_tiny_patch4_window7_224", {"img_size": 224}),
    ("swin_base_patch4_window12_384", {"img_size": 384}),
    ("resnet14t", {"stem_type": "deep_tiered"}),
    ("resnet26t", {"avg_down": True}),
    ("vit_tiny_patch16_224", {"img_size": 32, "patch_size": 4, "embed_dim": 64, "depth": 3, "num_heads": 1}),
    ("resnet50", {"layers": [1, 2, 1, 1], "channels": [16, 24, 32, 48]}),
    ("convnext_tiny", {"depths": [1, 1, 2, 1], "dims": [8, 16, 24, 32], "patch_size": 2}),
)


def shapes(arch, **args):
    with without_weights():
        model = timm.create_model(arch, **args)
    return {name: value.to("meta") for name, value in model.state_dict().items()}


def inferred(state, hints=None, **options):
    dialect = recognise(state, DIALECTS)
    return infer(dialect.family, to_timm(dialect, state).state, hints or {}, **options)


@pytest.mark.parametrize("arch", NAMED)
def test_well_known_sizes_have_their_name_and_no_arguments(arch):
    found = inferred(shapes(arch))
    assert (found.arch, found.model_args) == (arch, {})


@pytest.mark.parametrize(("arch", "expected"), OTHERS, ids=lambda value: value if isinstance(value, str) else "")
def test_any_size_builds_the_same_tensors_again(arch, expected):
    built = arch in ("vit_tiny_patch16_224", "resnet50", "convnext_tiny")
    state = shapes(arch, **(expected if built else {}))
    found = inferred(state)
    again = shapes(found.arch, **found.model_args)
    assert {name: value.shape for name, value in again.items()} == {name: value.shape for name, value in state.items()}
    merged = {**expected, **found.model_args}
    assert {key: merged[key] for key in expected} == expected


def test_a_contradiction_shows_both():
    state = shapes("vit_base_patch16_224", depth=8, num_heads=8, mlp_ratio=3.0)
    with pytest.raises(InputError, match=r"embed_dim=768, depth=8.*, not embed_dim=384, depth=12.*nearest.*vit_base"):
        inferred(state, arch="vit_small_patch16_224")
    with pytest.raises(InputError, match=r"holds patch_size=16, not patch_size=8"):
        inferred(state, model_args={"patch_size": 8})
    with pytest.raises(InputError, match=r"vit_base_patch16_224-like network.*not the resnet50 asked for"):
        inferred(state, arch="resnet50")


def test_a_file_that_was_trained_with_arguments_of_its_own_keeps_them():
    state = shapes("vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=64, num_heads=1, depth=2)
    found = inferred(state, arch="vit_tiny_patch16_224", sizes="file")
    assert found.model_args == {"img_size": 32, "patch_size": 8, "embed_dim": 64, "num_heads": 1, "depth": 2}
