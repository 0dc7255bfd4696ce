"""Swin transformers as their own repository and SimMIM write them."""

from dataclasses import replace

import pytest
import torch
from codebases import IMAGENET, Saved, check, layer, surroundings, under
from plain_swin import Names, Swin, forward, make, windows_of

import a2mim

IMAGES = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(9))
NET, NAMES = Swin(), Names()
LAST = {"lost": "layers.1.blocks.1.norm2.weight", "arch": "swin"}


def buffers(build, images=32):
    """The tables and masks that Swin's own code keeps among its weights."""
    state = {}
    for stage, depth in enumerate(build.depths):
        side, window, _ = windows_of(replace(build, image=images), stage)
        for block in range(depth):
            at = NAMES.block.format(stage, block)
            state[f"{at}attn.relative_position_index"] = torch.zeros(window**2, window**2, dtype=torch.long)
            if block % 2 and side > window:
                state[f"{at}attn_mask"] = torch.zeros((side // window) ** 2, window**2, window**2)
    return state


def official(seed=0):
    build = replace(NET, classes=5)
    state, ema = make(build, NAMES), make(build, NAMES, seed=1)
    truth = {"model": forward(state, IMAGES, build, NAMES), "ema": forward(ema, IMAGES, build, NAMES)}
    saved = {"model": state | buffers(build), "model_ema": ema, "max_accuracy": 81.2, "lr_scheduler": {}}
    saved |= surroundings() | {"config": {"DATA": {"IMG_SIZE": 32}, "MODEL": {"TYPE": "swin"}}}
    table = "layers.0.blocks.0.attn.relative_position_index"
    return Saved(
        saved, IMAGES, truth, "Swin", "classifier", IMAGENET, 5, inside="model:", **LAST,
        dropped={"index tables and masks that timm computes": table},
    )  # fmt: skip


def simmim():
    state = make(NET, NAMES)
    decoder = layer("decoder.0", 192, 32, 1, 1, generator=torch.Generator().manual_seed(1))
    model = under("encoder.", state | buffers(NET) | {"mask_token": torch.ones(1, 1, 16)}) | decoder
    saved = {"model": model, "epoch": 99, "config": {"DATA": {"IMG_SIZE": 32}}}
    return Saved(
        saved, IMAGES, {"encoder": forward(state, IMAGES, NET, NAMES)}, "SimMIM", inside="model:encoder.", **LAST,
        dropped={"mask token": "encoder.mask_token", "decoder": "decoder.0.weight"},
    )  # fmt: skip


@pytest.mark.parametrize("case", [official, simmim])
def test_the_loaded_encoder_computes_what_the_original_computes(case, tmp_path):
    check(case(), tmp_path)


def test_the_mask_of_the_attention_tells_the_image_size(tmp_path):
    build = replace(NET, image=64)
    state = make(build, NAMES)
    images = torch.randn(1, 3, 64, 64)
    torch.save({"model": state | buffers(build, 64)}, tmp_path / "swin.pth")
    model, report = a2mim.load_encoder(tmp_path / "swin.pth")
    assert report.input_size == (3, 64, 64)
    torch.testing.assert_close(
        model.forward_features(images), forward(state, images, build, NAMES)[0], atol=1e-5, rtol=0
    )


def test_without_the_mask_the_image_size_is_an_assumption_that_is_told(tmp_path):
    torch.save(make(NET, NAMES), tmp_path / "swin.pth")
    _, report = a2mim.load_encoder(tmp_path / "swin.pth")
    assert "image size 32: one window of 4 in the last stage" in " ".join(report.notes)
