"""All dialects, in the order in which they are tried; each family or library has its own file."""

from __future__ import annotations

from a2mim.checkpoint.dialects import Dialect
from a2mim.checkpoint.names_convolutional import CONVNEXT, RESNET
from a2mim.checkpoint.names_openmmlab import OPENMMLAB
from a2mim.checkpoint.names_swin import SWIN
from a2mim.checkpoint.names_torchvision import TORCHVISION
from a2mim.checkpoint.names_transformers import TRANSFORMERS
from a2mim.checkpoint.names_vit import BEIT, VIT

DIALECTS: tuple[Dialect, ...] = (*BEIT, *VIT, *SWIN, *CONVNEXT, *RESNET, *OPENMMLAB, *TORCHVISION, *TRANSFORMERS)
