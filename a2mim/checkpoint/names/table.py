"""All dialects, in the order in which they are tried; each family or library has its own file."""

from __future__ import annotations

from a2mim.checkpoint.names.convolutional import CONVNEXT, RESNET
from a2mim.checkpoint.names.dialects import Dialect
from a2mim.checkpoint.names.openmmlab import OPENMMLAB
from a2mim.checkpoint.names.swin import SWIN
from a2mim.checkpoint.names.torchvision import TORCHVISION
from a2mim.checkpoint.names.transformers import TRANSFORMERS
from a2mim.checkpoint.names.vit import BEIT, VIT

DIALECTS: tuple[Dialect, ...] = (*BEIT, *VIT, *SWIN, *CONVNEXT, *RESNET, *OPENMMLAB, *TORCHVISION, *TRANSFORMERS)

_NETWORKS = {
    "vit": "ViT",
    "beit": "ViT with BEiT's biases",
    "swin": "Swin",
    "swinv2": "Swin V2",
    "convnext": "ConvNeXt, ConvNeXt V2",
    "resnet": "ResNet, ResNeXt",
}


def rows() -> list[tuple[str, ...]]:
    """The dialects of each family in words: for docs/checkpoints.md and ``a2mim-checkpoint formats``."""
    found: list[tuple[str, ...]] = [("network", "its layers may be named as in")]
    for family, network in _NETWORKS.items():
        names = (dialect.name.removesuffix(", in memory") for dialect in DIALECTS if dialect.family == family)
        found.append((network, "; ".join(dict.fromkeys(names))))
    return found
