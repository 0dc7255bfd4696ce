"""Swin transformers of both versions as their own repository and SimMIM write them."""

from dataclasses import replace

import pytest
import timm
import torch
from codebases import IMAGENET, Saved, check, layer, surroundings, under
from plain_swin import Names, Swin, distances, forward, make, windows_of

import a2mim
from a2mim.checkpoint.architectures import infer
from a2mim.checkpoint.fitting import without_weights
from a2mim.errors import InputError

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
LARGER = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(9))
NET, NAMES = Swin(), Names()
SECOND = Swin(second=True)
WIDE = Swin(depths=(2, 2, 2), heads=(1, 2, 4), window=6, image=48)  # 12, 6 and 3 wide maps: the last window is smaller
LAST = {"lost": "layers.1.blocks.1.norm2.weight", "arch": "swin"}
COMPUTED = "tables and masks that timm computes"


def buffers(build, prefix=""):
    """The tables and masks that Swin's own code keeps among its weights."""
    state = {}
    for stage, depth in enumerate(build.depths):
        side, window, shift = windows_of(build, stage)
        for block in range(depth):
            at = prefix + NAMES.block.format(stage, block)
            state[f"{at}attn.relative_position_index"] = torch.zeros(window**2, window**2, dtype=torch.long)
            if build.second:
                before = build.before[stage] if build.before else 0
                state[f"{at}attn.relative_coords_table"] = distances(window, before)
            if block % 2 and shift:
                state[f"{at}attn_mask"] = torch.zeros((side // window) ** 2, window**2, window**2)
    return state


def official(build=NET, images=IMAGES):
    build = replace(build, classes=5)
    state, ema = make(build, NAMES), make(build, NAMES, seed=1)
    truth = {"model": forward(state, images, build, NAMES), "ema": forward(ema, images, build, NAMES)}
    tables = buffers(build)
    saved = {"model": state | tables, "model_ema": ema | tables, "max_accuracy": 81.2, "lr_scheduler": {}}
    return Saved(
        saved | surroundings(), images, truth, "Swin", "classifier", IMAGENET, 5, inside="model:", **LAST,
        dropped={COMPUTED: "layers.0.blocks.0.attn.relative_position_index"},
    )  # fmt: skip


def simmim(build, images, names=NAMES):
    state = make(build, names)
    decoder = layer("decoder.0", 192, 32, 1, 1, generator=torch.Generator().manual_seed(1))
    model = under("encoder.", state | buffers(build) | {"mask_token": torch.ones(1, 1, 16)}) | decoder
    saved = {"model": model, "epoch": 99, "config": {"DATA": {"IMG_SIZE": build.image}, "MODEL": {"TYPE": "swin"}}}
    return Saved(
        saved, images, {"encoder": forward(state, images, build, names)}, "SimMIM", inside="model:encoder.", **LAST,
        dropped={"mask token": "encoder.mask_token", "decoder": "decoder.0.weight"},
    )  # fmt: skip


CASES = {
    "Swin": official,
    "Swin for larger images, which its masks show": lambda: official(replace(NET, image=64), LARGER),
    "Swin with a smaller window last": lambda: official(WIDE, torch.randn(1, 3, 48, 48)),
    "Swin V2": lambda: official(SECOND, IMAGES),
    "Swin V2 with larger windows than in pre-training": lambda: official(
        replace(SECOND, image=64, window=8, before=(4, 4)), LARGER
    ),
    "SimMIM, Swin": lambda: simmim(NET, IMAGES),
    "SimMIM, Swin V2": lambda: simmim(SECOND, IMAGES),
    "SimMIM, Swin V2 by its first names": lambda: simmim(SECOND, IMAGES, Names(positions="rpe_mlp")),
}


@pytest.mark.parametrize("case", CASES)
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(CASES[case](), tmp_path)


def test_a_smaller_window_shows_the_image_size_where_no_mask_is_kept(tmp_path):
    state, images = make(WIDE, NAMES), torch.randn(1, 3, 48, 48)
    torch.save({"model": state}, tmp_path / "swin.pth")
    model, report = a2mim.load_encoder(tmp_path / "swin.pth")
    assert report.input_size == (3, 48, 48)
    assert report.reshaped == ()
    assert not any("image size" in note for note in report.notes)
    expected, _ = forward(state, images, WIDE, NAMES)
    torch.testing.assert_close(model.forward_features(images), expected, atol=1e-5, rtol=1e-5)


def test_without_mask_and_smaller_window_the_image_size_is_an_assumption_that_is_told(tmp_path):
    torch.save(make(NET, NAMES), tmp_path / "swin.pth")
    _, report = a2mim.load_encoder(tmp_path / "swin.pth")
    assert "image size 32: one window of 4 in the last stage" in " ".join(report.notes)


def test_every_tensor_of_a_swin_matters(tmp_path):
    """The forward of these tests sees each of them, so that a lost one would be found."""
    for build in (NET, SECOND):
        state = make(build, NAMES)
        expected, _ = forward(state, IMAGES, build, NAMES)
        for name in state:
            changed = state | {name: state[name] + 0.1 * torch.randn_like(state[name])}
            difference = (forward(changed, IMAGES, build, NAMES)[0] - expected).abs().max()
            assert difference > 1e-3, name


@pytest.mark.parametrize("arch", ["swinv2_tiny_window8_256", "swinv2_base_window12_192", "swinv2_large_window12_192"])
def test_well_known_sizes_of_version_2_have_their_name(arch):
    with without_weights():
        model = timm.create_model(arch)
    windows = [stage.blocks[0].window_size[0] for stage in model.layers]
    found = infer("swinv2", model.state_dict(), {"windows": windows})
    size = int(arch[-3:])
    assert (found.arch, found.model_args) == (arch, {"img_size": size, "window_size": max(windows)})


def test_an_absolute_position_embedding_is_refused(tmp_path):
    state = make(NET, NAMES) | {"absolute_pos_embed": torch.ones(1, 64, 16)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    with pytest.raises(InputError, match="has no place for: absolute_pos_embed"):
        a2mim.load_encoder(tmp_path / "swin.pth")


def test_a_mask_of_images_that_are_no_square_asks_for_the_size(tmp_path):
    state = make(NET, NAMES) | {"layers.0.blocks.1.attn_mask": torch.zeros(2, 16, 16)}
    torch.save({"model": state}, tmp_path / "swin.pth")
    with pytest.raises(InputError, match=r"first map has 32 places, no square; give --model-args 'img_size=\[H, W\]'"):
        a2mim.load_encoder(tmp_path / "swin.pth")
