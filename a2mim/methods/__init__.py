"""The methods of pre-training (``--method``): what a step computes, and the settings that make up each.

To add a method, write a ``Method`` in a file of its own and list it here and in ``a2mim.settings.METHODS``.
"""

from __future__ import annotations

from collections.abc import Mapping

from a2mim.methods.a2mim import A2MIM
from a2mim.methods.inpainting import Inpainting
from a2mim.methods.masked import MaskedMethod
from a2mim.methods.method import Method
from a2mim.methods.mocov3 import MoCoV3
from a2mim.methods.simmim import SimMIM

METHODS: Mapping[str, type[Method]] = {
    "a2mim": A2MIM,
    "simmim": SimMIM,
    "inpainting": Inpainting,
    "mocov3": MoCoV3,
}

__all__ = ["METHODS", "MaskedMethod", "Method", "masked_method", "unused", "users"]


def unused(name: str) -> frozenset[str]:
    """Settings that other methods use and this one does not."""
    return frozenset().union(*(method.uses for method in METHODS.values())) - METHODS[name].uses


def users(setting: str) -> str:
    """Names of the methods that use a setting, for messages."""
    return ", ".join(name for name, method in METHODS.items() if setting in method.uses)


def masked_method(name: str) -> type[MaskedMethod] | None:
    """The method of that name if it hides pixels and reconstructs them, else None."""
    method = METHODS[name]
    return method if issubclass(method, MaskedMethod) else None
