"""Saliency against attention written out, and gradients taken one image at a time."""

import pytest
import timm
import torch

from a2mim.analysis.occlusion.saliency import attention_mass, gradient_magnitude, saliency_of
from a2mim.errors import InputError

TINY = dict(img_size=32, patch_size=8, embed_dim=12, depth=2, num_heads=3, num_classes=5)


def vit(name="vit_tiny_patch16_224", **changes):
    torch.manual_seed(0)
    return timm.create_model(name, **TINY | changes).eval()


def images(n=2):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def weights_by_hand(model, x):
    """softmax(q·kᵀ/√d) of the last block, head by head, from the block's own layers: (B, heads, tokens, tokens)."""
    seen = []
    hook = model.blocks[-1].norm1.register_forward_hook(lambda *args: seen.append(args[2]))
    with torch.no_grad():
        model.forward_features(x)
        hook.remove()
        qkv = model.blocks[-1].attn.qkv(seen[0])  # (B, tokens, 3 * 12)
    q, k, _ = qkv.split(12, dim=-1)
    heads = []
    for head in range(3):
        mine = slice(4 * head, 4 * head + 4)
        heads.append((q[..., mine] @ k[..., mine].transpose(1, 2) / 4**0.5).softmax(-1))
    return torch.stack(heads, 1)


@pytest.mark.parametrize("head", [None, 0, 2])
def test_attention_is_that_of_the_class_token(head):
    model = vit()
    by_hand = weights_by_hand(model, images())[:, :, 0, 1:]
    wanted = by_hand.mean(1) if head is None else by_hand[:, head]
    found = attention_mass(model, images(), head)
    assert torch.allclose(found, wanted.view(2, 4, 4), atol=1e-6)
    assert found.sum((1, 2)).max() < 1


def test_without_a_class_token_all_patches_look():
    model = vit(class_token=False, global_pool="avg")
    wanted = weights_by_hand(model, images()).mean(1).mean(1)
    assert torch.allclose(attention_mass(model, images()), wanted.view(2, 4, 4), atol=1e-6)


def test_register_tokens_are_no_patches():
    model = vit(reg_tokens=2)
    wanted = weights_by_hand(model, images())[:, :, 0, 3:].mean(1)
    assert torch.allclose(attention_mass(model, images()), wanted.view(2, 4, 4), atol=1e-6)


def test_the_model_is_as_it_was_after():
    model = vit().train()
    attention = model.blocks[-1].attn
    fused, hooks = attention.fused_attn, len(attention.attn_drop._forward_hooks)
    attention_mass(model, images())
    assert (attention.fused_attn, len(attention.attn_drop._forward_hooks), model.training) == (fused, hooks, True)


def test_gradients_are_summed_over_cells_and_belong_to_each_image():
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", channels=[4, 4, 8, 8], stem_width=4, num_classes=5).eval()
    found = gradient_magnitude(model, images(), (4, 2))
    assert found.shape == (2, 4, 2)
    assert all(parameter.grad is None for parameter in model.parameters())
    for number, image in enumerate(images()):
        pixels = image[None].clone().requires_grad_()
        model(pixels)[0].max().backward()
        for row in range(4):
            for col in range(2):
                cell = pixels.grad[0, :, 8 * row : 8 * row + 8, 16 * col : 16 * col + 16]
                assert found[number, row, col].item() == pytest.approx(cell.abs().sum().item(), rel=1e-4)


def test_a_vit_is_asked_for_attention_and_others_for_gradients():
    assert saliency_of(vit(), (2, 2))(images()).shape == (2, 4, 4)  # the grid of its patches
    assert saliency_of(vit(), (2, 2), "gradient")(images()).shape == (2, 2, 2)
    torch.manual_seed(0)
    cnn = timm.create_model("resnet10t", channels=[4, 4, 8, 8], stem_width=4, num_classes=5)
    assert saliency_of(cnn, (2, 2))(images()).shape == (2, 2, 2)
    with pytest.raises(InputError, match="a ResNet has no attention over patches"):
        saliency_of(cnn, (2, 2), "attention")
    with pytest.raises(InputError, match="unknown saliency 'lime'; known: attention, gradient"):
        saliency_of(cnn, (2, 2), "lime")
    with pytest.raises(InputError, match="head 3 is outside the model's 3"):
        attention_mass(vit(), images(), head=3)
    with pytest.raises(InputError, match="5x5 does not divide"):
        gradient_magnitude(cnn, images(), (5, 5))
