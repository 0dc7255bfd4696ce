import pytest
import torch

import a2mim
from a2mim.errors import InputError


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("base_model.model.blocks.0.attn.qkv.lora_A.default.weight", "LoRA adapters: merge them"),
        ("blocks.0.attn.qkv.SCB", "is quantised: give the checkpoint in floating point"),
        ("model.layers.0.self_attn.q_proj.qweight", "is quantised"),
        ("bert.embeddings.word_embeddings.weight", "a model of text"),
        ("text_model.embeddings.token_embedding.weight", "give the checkpoint of its image encoder alone"),
    ],
)
def test_checkpoints_of_other_things_are_told_what_they_are(tmp_path, name, reason):
    torch.save(
        {"model": {name: torch.zeros(2, 2), "patch_embed.proj.weight": torch.zeros(4, 3, 2, 2)}}, tmp_path / "x.pth"
    )
    with pytest.raises(InputError, match=reason) as caught:
        a2mim.load_encoder(tmp_path / "x.pth")
    assert f"('{name}')" in str(caught.value)


def test_a_quantised_tensor(tmp_path):
    tensor = torch.quantize_per_tensor(torch.randn(2, 2), 0.1, 0, torch.qint8)
    torch.save({"fc.weight": tensor}, tmp_path / "q.pth")
    with pytest.raises(InputError, match=r"is quantised.*'fc.weight' is torch.qint8"):
        a2mim.load_encoder(tmp_path / "q.pth")
