"""A2MIM: masked image modelling for any timm architecture, and tools that show what an encoder has learned.

Names are imported when they are first used, so that ``import a2mim`` and every ``--help`` run without loading torch.

Paper: "Architecture-Agnostic Masked Image Modeling - From ViT back to CNN", arXiv:2205.13943.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2mim.api import finetune as finetune
    from a2mim.api import pretrain as pretrain
    from a2mim.checkpoint import LoadReport as LoadReport
    from a2mim.checkpoint import load_encoder as load_encoder
    from a2mim.checkpoint import load_masked_model as load_masked_model
    from a2mim.errors import InputError as InputError
    from a2mim.errors import RunError as RunError
    from a2mim.losses import MIMLoss as MIMLoss
    from a2mim.model import MaskedImageModel as MaskedImageModel
    from a2mim.model import create_model as create_model

    __version__: str

_HOME = {
    "create_model": "a2mim.model",
    "MaskedImageModel": "a2mim.model",
    "load_encoder": "a2mim.checkpoint",
    "load_masked_model": "a2mim.checkpoint",
    "LoadReport": "a2mim.checkpoint",
    "MIMLoss": "a2mim.losses",
    "pretrain": "a2mim.api",
    "finetune": "a2mim.api",
    "InputError": "a2mim.errors",
    "RunError": "a2mim.errors",
}
_MODULES = ("analysis", "experiments", "figures", "losses", "masking")
__all__ = sorted([*_HOME, "__version__"])


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("a2mim")
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"a2mim.{name}")
    raise AttributeError(f"module 'a2mim' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*__all__, *_MODULES])
