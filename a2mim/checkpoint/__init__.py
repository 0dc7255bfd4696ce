"""Checkpoints: what a run writes, and the one loader through which every analysis reads a network.

Names are imported when first used, so that ``references`` answers without loading torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from a2mim.checkpoint.files.reading import read_checkpoint as read_checkpoint
    from a2mim.checkpoint.files.storage import BACKBONE as BACKBONE
    from a2mim.checkpoint.files.storage import BEST as BEST
    from a2mim.checkpoint.files.storage import LAST as LAST
    from a2mim.checkpoint.files.storage import SHIPPED as SHIPPED
    from a2mim.checkpoint.files.storage import export_safetensors as export_safetensors
    from a2mim.checkpoint.files.storage import resolve as resolve
    from a2mim.checkpoint.files.storage import save_checkpoint as save_checkpoint
    from a2mim.checkpoint.files.storage import shipped as shipped
    from a2mim.checkpoint.loader import load_encoder as load_encoder
    from a2mim.checkpoint.loader import load_masked_model as load_masked_model
    from a2mim.checkpoint.loader import refusal as refusal
    from a2mim.checkpoint.report import LoadReport as LoadReport

_HOME = {
    **dict.fromkeys(("BACKBONE", "BEST", "LAST", "SHIPPED"), "files.storage"),
    **dict.fromkeys(("export_safetensors", "resolve", "save_checkpoint", "shipped"), "files.storage"),
    **dict.fromkeys(("load_encoder", "load_masked_model", "refusal"), "loader"),
    "LoadReport": "report",
    "read_checkpoint": "files.reading",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
