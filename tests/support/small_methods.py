"""Small networks for tests of the pre-training methods, and a method made ready for one batch without an engine."""

import torch

from a2mim import seeds
from a2mim.data import Batch
from a2mim.methods import METHODS
from a2mim.settings import PretrainSettings

VIT = dict(
    model="vit_tiny_patch16_224",
    model_args=dict(patch_size=8, embed_dim=24, depth=2, num_heads=2),
    img_size=32,
)
RESNET = dict(model="resnet14t", model_args=dict(channels=[8, 16, 24, 32], stem_width=4, output_stride=8), img_size=32)
NETS = {"vit": VIT, "resnet": RESNET}
SMALL_MOCO = dict(moco_dim=16, moco_mlp_dim=32)


def settings_of(method, net="vit", **changes):
    small = SMALL_MOCO if method == "mocov3" else {}
    return PretrainSettings.from_values({"method": method, **NETS[net], **small, **changes})


def task_of(method, net="vit", *, lr=2e-3, updates=20, **changes):
    """The task of a method, as ``pretrain`` makes it."""
    settings = settings_of(method, net, **changes)
    with seeds.isolated(0, "weights"):
        model = METHODS[method].create_model(settings, None)
    return METHODS[method](model, METHODS[method].resolved(settings, model), lr, updates)


def batch_of(method, images=8, seed=0):
    """Noise with a colour of its own for each image; for mocov3 two views, the second a little brighter."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(images, 3, 1, 1, generator=generator) + 0.3 * torch.randn(
        images, 3, 32, 32, generator=generator
    )
    pixels = torch.stack([pixels, pixels + 0.1], dim=1) if method == "mocov3" else pixels
    return Batch(pixels, torch.zeros(images, dtype=torch.int64), torch.arange(images))
