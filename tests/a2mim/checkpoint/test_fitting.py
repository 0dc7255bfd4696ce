"""Models without weights of their own; shapes, resampling, weights that are no numbers."""

from pathlib import Path

import pytest
import timm
import torch
from timm.layers import resample_abs_pos_embed
from torch import nn

import a2mim
from a2mim.checkpoint import fitting
from a2mim.errors import InputError

VIT = dict(img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=1)


def test_a_model_without_weights_keeps_its_shapes_and_its_buffers():
    with fitting.without_weights():
        model = timm.create_model("swin_tiny_patch4_window7_224", embed_dim=24, depths=(2, 2), num_heads=(1, 2))
    whole = timm.create_model("swin_tiny_patch4_window7_224", embed_dim=24, depths=(2, 2), num_heads=(1, 2))
    buffers = dict(whole.named_buffers())
    assert buffers
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    assert [value.shape for value in model.parameters()] == [value.shape for value in whole.parameters()]


def test_models_built_afterwards_have_weights_again():
    with pytest.raises(ZeroDivisionError), fitting.without_weights():
        raise ZeroDivisionError
    layer = nn.Linear(4, 4)
    assert layer.weight.std() > 0
    nn.init.zeros_(layer.weight)
    assert layer.weight.std() == 0


def test_a_model_without_weights_touches_no_memory():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    before = resident()
    with fitting.without_weights():
        model = nn.Sequential(*[nn.Linear(2048, 2048) for _ in range(8)])
    assert sum(value.nbytes for value in model.parameters()) > 128e6
    assert resident() - before < 16e6


def test_tensors_are_assigned_and_not_copied_but_for_their_type():
    with fitting.without_weights():
        model = nn.Linear(2, 2)
    weight, bias = torch.ones(2, 2), torch.ones(2, dtype=torch.float16)
    fitted, reshaped, missing = fitting.fit(model, {"weight": weight, "bias": bias, "other": weight})
    fitting.assign(model, fitted)
    assert model.weight.data_ptr() == weight.data_ptr()
    assert model.bias.dtype == torch.float32
    assert (reshaped, missing) == ((), ())
    assert all(isinstance(value, nn.Parameter) and value.requires_grad for value in model.parameters())


def test_a_position_embedding_of_another_grid_is_resampled_and_said_so(tmp_path):
    torch.manual_seed(0)
    small = timm.create_model("vit_tiny_patch16_224", num_classes=0, **VIT).eval()
    torch.save(small.state_dict(), tmp_path / "small.pth")
    model, report = a2mim.load_encoder(tmp_path / "small.pth", model_args={"img_size": 48})
    assert report.reshaped == ("pos_embed",)
    assert (report.input_size, report.model_args["img_size"]) == ((3, 48, 48), 48)
    expected = resample_abs_pos_embed(small.pos_embed.data, [6, 6], num_prefix_tokens=1)
    assert torch.allclose(model.pos_embed, expected)
    assert torch.equal(model.pos_embed[:, 0], small.pos_embed[:, 0])  # the class token's is left alone
    assert model(torch.randn(1, 3, 48, 48)).shape == (1, 64)
    assert "reshaped:            1 (pos_embed)" in str(report)


def interpolated(places, side):
    """The position embedding of other images as DINOv2 has it (interpolate_pos_encoding), written again."""
    channels, old = places.shape[-1], round(places.shape[1] ** 0.5)
    grid = places.reshape(1, old, old, channels).permute(0, 3, 1, 2)
    scale = (side + 0.1) / old
    grid = torch.nn.functional.interpolate(grid, scale_factor=(scale, scale), mode="bicubic", antialias=False)
    return grid.permute(0, 2, 3, 1).reshape(1, -1, channels)


def test_dinov2_is_resampled_as_its_own_code_does(tmp_path):
    """Released at 518 pixels, used at 224: with antialiasing its features would be off by 4 %."""
    torch.manual_seed(0)
    args = dict(embed_dim=64, depth=2, num_heads=1)
    released = timm.create_model("vit_small_patch14_dinov2", num_classes=0, **args).eval()
    nn.init.normal_(released.pos_embed)
    torch.save({**released.state_dict(), "mask_token": torch.zeros(1, 64)}, tmp_path / "dinov2.pth")
    model, report = a2mim.load_encoder(tmp_path / "dinov2.pth", model_args={"img_size": 224})
    places = released.pos_embed.data
    assert model.pos_embed.shape == (1, 257, 64)
    torch.testing.assert_close(model.pos_embed[:, 1:], interpolated(places[:, 1:], 16))
    assert torch.equal(model.pos_embed[:, 0], places[:, 0])
    assert any("resampled without antialiasing" in note for note in report.notes)
    twin = timm.create_model("vit_small_patch14_dinov2", num_classes=0, img_size=224, **args).eval()
    twin.load_state_dict(
        released.state_dict() | {"pos_embed": torch.cat([places[:, :1], interpolated(places[:, 1:], 16)], 1)}
    )
    images = torch.randn(2, 3, 224, 224)
    torch.testing.assert_close(model(images), twin(images), atol=1e-5, rtol=1e-5)
    torch.save(released.state_dict(), tmp_path / "timm.pth")  # timm's own file: as timm does it
    model, _ = a2mim.load_encoder(tmp_path / "timm.pth", model_args={"img_size": 224})
    torch.testing.assert_close(model.pos_embed, resample_abs_pos_embed(places, [16, 16], num_prefix_tokens=1))


def test_each_codebase_resamples_in_its_own_way():
    plain = fitting.Resampling(antialias=False)
    assert fitting.resampling("plain weights", "ViT", ["pos_embed"]) == fitting.TIMM
    assert fitting.resampling("MAE", "ViT", ["pos_embed"]) == plain
    assert fitting.resampling("transformers", "transformers DINOv2", ["pos_embed"]) == plain
    assert fitting.resampling("DINOv2", "ViT", ["pos_embed"]) == fitting.DINOV2
    assert fitting.resampling("DINOv2", "DINOv2 with registers", ["register_tokens"]) == fitting.TIMM
    assert fitting.resampling("plain weights", "torchvision ViT", ["pos_embed"]).align_corners


def test_batch_norms_that_never_saw_an_image_are_noted(tmp_path):
    model = timm.create_model("resnet18", num_classes=0)
    for seen in (False, True):
        if seen:
            model(torch.randn(2, 3, 32, 32))
        torch.save(model.state_dict(), tmp_path / "resnet.pth")
        _, report = a2mim.load_encoder(tmp_path / "resnet.pth")
        assert any("these weights look untrained" in note for note in report.notes) == (not seen)


def test_relative_position_biases_are_resampled_without_the_class_tokens(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=64, depth=1, num_heads=1, init_values=0.1)
    model = timm.create_model("beit_base_patch16_224", num_classes=0, **args)
    nn.init.normal_(model.blocks[0].attn.relative_position_bias_table)
    torch.save(model.state_dict(), tmp_path / "beit.pth")
    larger, report = a2mim.load_encoder(tmp_path / "beit.pth", model_args={"img_size": 48})
    assert report.reshaped == ("blocks.0.attn.relative_position_bias_table",)
    table, before = (
        larger.blocks[0].attn.relative_position_bias_table,
        model.blocks[0].attn.relative_position_bias_table,
    )
    assert table.shape == (11 * 11 + 3, 1)
    assert torch.equal(table[-3:], before[-3:])
    assert torch.allclose(table[60], before[24])  # distance zero is in the middle of both


def test_other_shapes_are_shown_both():
    with pytest.raises(InputError, match=r"'weight' has shape \(3, 3\) in the file and \(2, 2\) in the model"):
        fitting.fit(nn.Linear(2, 2), {"weight": torch.zeros(3, 3)})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(value):
    state = {"weight": torch.zeros(2, 2), "bias": torch.tensor([0.0, value])}
    with pytest.raises(InputError, match=r"1 tensors hold NaN or infinite weights: bias"):
        fitting.fit(nn.Linear(2, 2), state)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_floating_point_numbers_are_no_weights(dtype):
    state = {"weight": torch.zeros(2, 2, dtype=dtype), "bias": torch.zeros(2)}
    with pytest.raises(InputError, match=r"'weight' holds \w+, not weights in floating point; is the file quantised"):
        fitting.fit(nn.Linear(2, 2), state)


def test_large_but_finite_weights_pass():
    state = {"weight": torch.full((2, 2), 3e38), "bias": torch.zeros(2)}  # their sum is infinite
    fitted, *_ = fitting.fit(nn.Linear(2, 2), state)
    assert torch.equal(fitted["weight"], state["weight"])


def test_a_layer_that_blocks_share_and_a_weight_that_layers_share_stay_one():
    def network():
        layer = nn.Linear(2, 2)
        model = nn.ModuleDict({"one": nn.Sequential(layer), "other": nn.Sequential(layer), "tied": nn.Linear(2, 2)})
        model["tied"].weight = layer.weight
        return model

    written, read = network(), network()
    fitted, _, missing = fitting.fit(read, written.state_dict())
    fitting.assign(read, fitted)
    assert not missing
    assert torch.equal(read["one"][0].weight, written["one"][0].weight)
    assert read["one"][0].weight is read["other"][0].weight is read["tied"].weight
    assert len(list(read.parameters())) == len(list(written.parameters())) == 3


def test_our_own_file_is_read_by_timms_names_whatever_they_are_called(tmp_path):
    args = dict(img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=2)  # it has a neck
    model = a2mim.create_model("samvit_base_patch16_224", model_args=args, token="replace", gamma=0.1)
    about = {"kind": "pretrain", "arch": model.arch, "model_args": model.model_args, "mim_args": model.mim_args}
    a2mim.checkpoint.save_checkpoint(tmp_path / "last.pth.tar", {**about, "state_dict": model.state_dict()})
    encoder, report = a2mim.load_encoder(tmp_path)
    assert (report.coverage, report.names, report.unexpected) == (1, "timm", ())
    assert report.parts["mask token"] == ("mask_token", "gamma")
    assert all(torch.equal(value, model.encoder.state_dict()[name]) for name, value in encoder.state_dict().items())


def test_infinity_is_a_value_of_buffers_that_are_limits_and_of_nothing_else():
    class Clamped(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2))
            self.register_buffer("limit", torch.tensor(float("inf")))
            self.register_buffer("mean", torch.zeros(2))

    state = {"weight": torch.ones(2), "limit": torch.tensor(float("-inf")), "mean": torch.zeros(2)}
    assert fitting.fit(Clamped(), state)[0]["limit"] == float("-inf")
    for name in ("weight", "mean"):
        with pytest.raises(InputError, match=f"NaN or infinite weights: {name}"):
            fitting.fit(Clamped(), {**state, name: torch.tensor([1.0, float("inf")])})
    with pytest.raises(InputError, match="NaN or infinite weights: limit"):
        fitting.fit(Clamped(), {**state, "limit": torch.tensor(float("nan"))})
