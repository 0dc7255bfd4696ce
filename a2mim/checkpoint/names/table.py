"""All dialects, in the order in which they are tried; each family or library has its own file."""

from __future__ import annotations

from a2mim.checkpoint.names.clip import CLIP, HF_CLIP, HF_SIGLIP
from a2mim.checkpoint.names.convolutional import CONVNEXT, RESNET
from a2mim.checkpoint.names.dialects import Dialect
from a2mim.checkpoint.names.efficientnet import EFFICIENTNET
from a2mim.checkpoint.names.eva import DINOV3, EVA, hf_dinov3
from a2mim.checkpoint.names.hiera import HF_HIERA, HIERA
from a2mim.checkpoint.names.openmmlab import OPENMMLAB
from a2mim.checkpoint.names.swin import SWIN
from a2mim.checkpoint.names.torchvision import TORCHVISION
from a2mim.checkpoint.names.transformers import TRANSFORMERS
from a2mim.checkpoint.names.vit import BEIT, VIT

DIALECTS: tuple[Dialect, ...] = (
    *EVA,  # before BEiT and ViT, whose names they have too
    DINOV3,
    *HIERA,
    *BEIT,
    *VIT,
    *SWIN,
    *CONVNEXT,
    *RESNET,
    *EFFICIENTNET,
    *OPENMMLAB,
    *TORCHVISION,
    hf_dinov3("transformers DINOv3", "layer.{i}"),
    hf_dinov3("transformers DINOv3, in memory", "model.layer.{i}"),
    HF_HIERA,
    *TRANSFORMERS,
    CLIP,
    HF_CLIP,
    HF_SIGLIP,
)

_NETWORKS = {
    "vit": "ViT",
    "beit": "ViT with BEiT's biases",
    "swin": "Swin",
    "swinv2": "Swin V2",
    "convnext": "ConvNeXt, ConvNeXt V2",
    "resnet": "ResNet, ResNeXt",
    "eva": "EVA-02, DINOv3",
    "hiera": "Hiera",
    "efficientnet": "EfficientNet, EfficientNetV2, MobileNetV2",
}


def rows() -> list[tuple[str, ...]]:
    """The dialects of each family in words: for docs/checkpoints.md and ``a2mim-checkpoint formats``."""
    found: list[tuple[str, ...]] = [("network", "its layers may be named as in")]
    for family, network in _NETWORKS.items():
        names = (dialect.name.removesuffix(", in memory") for dialect in DIALECTS if dialect.family == family)
        found.append((network, "; ".join(dict.fromkeys(names))))
    return found
