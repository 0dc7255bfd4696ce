"""SimMIM: patches replaced where there are patches, pixels filled where there are none, L1 on what was hidden."""

import pytest
import torch
from small_methods import batch_of, task_of

from a2mim.errors import InputError
from a2mim.masking import fill_masked, resize_mask


@pytest.mark.parametrize(
    ("net", "given", "expected"),
    [
        ("vit", {}, ("stem", "replace", "zero")),
        ("vit", {"mask_layer": "input"}, ("input", "replace", "zero")),
        ("vit", {"token": "none", "fill": "image-mean"}, ("stem", "none", "image-mean")),
        ("resnet", {}, ("input", "none", "zero")),
        ("resnet", {"fill": "image-mean"}, ("input", "none", "image-mean")),  # the paper's "modified" SimMIM
        ("resnet", {"mask_layer": "stem"}, ("stem", "replace", "zero")),
        ("resnet", {"token": "replace"}, ("input", "replace", "zero")),
    ],
)
def test_site_token_and_fill(net, given, expected):
    task = task_of("simmim", net, **given)
    model = task.model
    assert (model.site.name, model.token, model.fill) == expected
    assert (task.settings.mask_layer, task.settings.token, task.settings.fill) == expected
    assert model.mask_token.requires_grad == (expected[1] == "replace")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask_layer": "block1"}, "not at 'block1': mask_layer auto, input, stem; method a2mim with token replace"),
        ({"token": "add"}, "use method a2mim to add one"),
    ],
)
def test_what_is_not_simmim_is_refused_with_the_way_to_have_it(given, message):
    with pytest.raises(InputError, match=message):
        task_of("simmim", **given)


def test_tokens_stand_for_hidden_patches_after_the_embedding():
    task, batch = task_of("simmim", mask_patch_size=8), batch_of("simmim")
    model = task.model.eval()
    mask = task.masks(8, (32, 32), torch.Generator().manual_seed(0), ratio=0.6, cell=8)
    vit = model.encoder
    patches = vit.patch_embed(batch.images)  # of the whole image: what was hidden is replaced
    for image in range(8):
        for cell in range(16):
            if mask[image, cell // 4, cell % 4]:
                patches[image, cell] = model.mask_token
    tokens = torch.cat([vit.cls_token.expand(8, -1, -1), patches], dim=1) + vit.pos_embed
    expected = model.head(vit.norm(vit.blocks(tokens))[:, 1:].transpose(1, 2).unflatten(2, (4, 4)))
    assert torch.allclose(model(batch.images, mask), expected, atol=1e-5)


def test_a_token_at_the_input_is_a_colour():
    task, batch = task_of("simmim", mask_layer="input"), batch_of("simmim")
    mask = task.masks(8, (32, 32), torch.Generator().manual_seed(0), ratio=0.6)
    seen = []
    handle = task.model.encoder.register_forward_pre_hook(lambda *_: None)
    handle.remove()
    task.model.encoder.patch_embed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    task.model(batch.images, mask)
    colour = task.model.mask_token.view(1, 3, 1, 1).expand_as(batch.images)
    assert torch.allclose(seen[0], fill_masked(batch.images, mask, colour), atol=1e-6)


def test_the_loss_is_the_mean_error_of_hidden_pixels_and_nothing_else():
    task, batch = task_of("simmim", "resnet"), batch_of("simmim")
    task.model.eval()
    loss, values = task.loss(batch, torch.Generator().manual_seed(3))
    mask = task.masks(8, (32, 32), torch.Generator().manual_seed(3), **task.masks_by(task.settings))
    hidden = resize_mask(mask, (32, 32))[:, None].expand_as(batch.images)
    error = (task.model(batch.images, mask) - batch.images).abs()
    assert loss.item() == pytest.approx(error[hidden].mean().item(), rel=1e-5)
    assert values["frequency"] == 0


def test_the_token_starts_within_one_standard_deviation():
    assert task_of("simmim").model.mask_token.abs().max() <= 0.02
