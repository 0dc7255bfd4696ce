"""The methods of pre-training (``--method``): what a training step computes.

To add a method, write a ``Method`` in its own file, list it here, and add its settings to ``a2mim.method_settings``.
"""

from __future__ import annotations

from collections.abc import Mapping

from .a2mim import A2MIM
from .inpainting import Inpainting
from .masked import MaskedMethod
from .method import Method
from .mocov3 import MoCoV3
from .simmim import SimMIM

METHODS: Mapping[str, type[Method]] = {
    "a2mim": A2MIM,
    "simmim": SimMIM,
    "inpainting": Inpainting,
    "mocov3": MoCoV3,
}

__all__ = ["METHODS", "MaskedMethod", "Method", "masked_method"]


def masked_method(name: str) -> type[MaskedMethod] | None:
    """The method of that name if it hides pixels and reconstructs them, else None."""
    method = METHODS[name]
    return method if issubclass(method, MaskedMethod) else None
