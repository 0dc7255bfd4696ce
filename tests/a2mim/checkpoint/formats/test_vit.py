"""What the rows for vision transformers assume where a file does not tell; their files are in test_names_vit."""

import pytest
import torch

import a2mim
from a2mim.errors import InputError
from tests.a2mim.checkpoint.names.test_vit import beit_finetuned, beit_pretraining, cae_pretraining, moco_v3_pretraining


def test_a_normalisation_that_the_file_does_not_tell_is_no_silent_guess(tmp_path):
    torch.save(beit_finetuned().checkpoint, tmp_path / "beit.pth")
    _, report = a2mim.load_encoder(tmp_path / "beit.pth")
    assert "the file does not say whether its run was given ImageNet's" in "\n".join(report.remarks())


@pytest.mark.parametrize("flag", [True, False])
def test_the_flag_in_the_file_decides_for_both_versions_of_beit(tmp_path, flag):
    saved = beit_pretraining(True).checkpoint
    saved["args"].imagenet_default_mean_and_std = flag
    torch.save(saved, tmp_path / "beit.pth")
    _, report = a2mim.load_encoder(tmp_path / "beit.pth")
    assert report.mean == ((0.485, 0.456, 0.406) if flag else (0.5, 0.5, 0.5))


@pytest.mark.parametrize("named", [True, False])
def test_the_heads_of_cae_are_guessed_only_where_the_file_names_it(tmp_path, named):
    saved = cae_pretraining().checkpoint
    if not named:
        del saved["args"]
    torch.save(saved, tmp_path / "cae.pth")
    if named:
        model, _ = a2mim.load_encoder(tmp_path / "cae.pth")
        assert model.blocks[0].attn.num_heads == 12
    else:
        with pytest.raises(InputError, match="the number of heads is not in the file"):
            a2mim.load_encoder(tmp_path / "cae.pth")


def test_the_heads_of_a_vit_that_moco_v3_has_not_are_not_taken_for_its(tmp_path):
    saved = moco_v3_pretraining().checkpoint
    torch.save(saved, tmp_path / "moco.pth")
    model, _ = a2mim.load_encoder(tmp_path / "moco.pth")
    assert model.blocks[0].attn.num_heads == 12
    torch.save(saved | {"arch": "vit_large"}, tmp_path / "moco.pth")
    model, _ = a2mim.load_encoder(tmp_path / "moco.pth", model_args={"num_heads": 3})
    assert model.blocks[0].attn.num_heads == 3
