"""What shapes tell, what they do not, and which shapes are no network of timm's."""

import pytest
import torch

from a2mim.errors import InputError
from tests.a2mim.checkpoint.test_architectures import inferred, shapes


def test_the_vit_s_of_openmixup_is_recognised_as_what_it_is():
    found = inferred(shapes("vit_base_patch16_224", depth=8, num_heads=8, mlp_ratio=3.0))
    assert found.model_args == {"depth": 8, "num_heads": 8, "mlp_ratio": 3.0}
    assert "48.8 million parameters" in found.notes[0]
    assert "not DeiT-S" in found.notes[0]


def test_heads_are_never_guessed_in_silence():
    state = shapes("vit_tiny_patch16_224", embed_dim=96, num_heads=3, depth=1)
    with pytest.raises(InputError, match=r"number of heads is not in the file.*give --model-args num_heads=N"):
        inferred(state)
    assert inferred(state, {"num_heads": 3}).model_args["num_heads"] == 3
    assert inferred(state, model_args={"num_heads": 6}).model_args["num_heads"] == 6
    assert "12 heads: not in the file" in inferred(shapes("vit_base_patch16_224")).notes[0]


def test_a_position_embedding_that_is_no_square_asks_for_the_image_size():
    state = shapes("vit_tiny_patch16_224", img_size=(32, 96), depth=1)
    with pytest.raises(InputError, match=r"12 places, not a square number; give the size with --model-args 'img_size"):
        inferred(state)
    found = inferred(state, model_args={"img_size": [32, 96]})
    assert shapes(found.arch, **found.model_args)["pos_embed"].shape == (1, 13, 192)


def test_a_resnet_that_timm_does_not_have_is_refused():
    state = {**shapes("resnet18"), "conv1.weight": torch.zeros(32, 3, 7, 7)}
    with pytest.raises(InputError, match="first convolution is 7x7 with 32 channels is not in timm"):
        inferred(state)
