"""timm's architectures whose tensors have the same names and shapes: what a file that names none may also be.

An anti-aliased ResNet has the tensors of a plain one, and a ViT with another activation those of a usual one. The table
``assets/lookalikes.json`` (made by ``python -m a2mim.experiments.lookalikes``) maps a fingerprint of names and shapes
to architectures, those that compute the same in one group. Architectures that another version of timm adds are built,
without memory, when they are first needed.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from a2mim.checkpoint.fitting import without_weights

TABLE = Path(__file__).parents[1] / "assets" / "lookalikes.json"
Groups = tuple[tuple[str, ...], ...]

# tensors whose shapes follow the size of the images: only their number of dimensions counts
_SIZED = re.compile(r"pos_embed|^blocks\..*(relative_position|rel_pos)|^rel_pos")
_COUNTER = "num_batches_tracked"
# attributes of modules that change nothing that is computed in eval mode, or follow the size of the images
_IDLE = re.compile(
    r"^_|^(training|name|output_fmt)$|drop|cfg|checkpointing|num_classes|inplace|fused|momentum|feature_info|init"
    r"|img_size|grid_size|feat_size|resolution|num_patches|seq_len|dynamic"
)


def fingerprint(shapes: Mapping[str, Iterable[int]]) -> str:
    """Twelve hexadecimal characters for the names and shapes of an encoder's tensors (without the classifier's)."""
    lines = []
    for name, shape in sorted((name, tuple(shape)) for name, shape in shapes.items()):
        if not name.endswith(_COUNTER):
            lines.append(f"{name}:{len(shape) if _SIZED.search(name) else shape}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def alike(shapes: Mapping[str, Iterable[int]]) -> Groups:
    """timm's architectures with these names and shapes, each group of those that compute the same.

    Args:
        shapes: names and shapes as they are in the file, with or without a classifier of any number of classes.
    """
    table, heads = _table()
    found: dict[tuple[str, ...], None] = {}
    for head in ((), *heads):
        if head and not any(name.startswith(head) for name in shapes):
            continue
        rest = {name: shape for name, shape in shapes.items() if not head or not name.startswith(head)}
        found |= dict.fromkeys(table.get(fingerprint(rest), ()))
    return tuple(found)


def fits(shapes: Mapping[str, tuple[int, ...]], network: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether a file has the shapes of a network, but for the size of the images.

    A position embedding of another size has the same channels and the same number of places beside a square grid.
    """
    return all(_regular(name, shapes.get(name, ())) == _regular(name, shape) for name, shape in network.items())


def _regular(name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without the part that follows the size of the images; () for a counter, which files may lack."""
    if name.endswith(_COUNTER):
        return ()
    if not _SIZED.search(name) or len(shape) not in (2, 3):
        return (len(shape),) if _SIZED.search(name) else shape
    return (shape[-2] - math.isqrt(shape[-2]) ** 2, shape[-1])


def without_memory(arch: str, **args: Any) -> Any:
    """A timm model whose tensors have names and shapes, but no values."""
    with torch.device("meta"), without_weights():
        return timm.create_model(arch, **args)


def encoder_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a timm model's tensors, without its classifier's."""
    heads = classifiers(model)
    return {
        name: tuple(value.shape)
        for name, value in model.state_dict().items()
        if not heads or not name.startswith(heads)
    }


def classifiers(model: Any) -> tuple[str, ...]:
    """What the names of the classifier's tensors begin with."""
    names = model.default_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ((names,) if isinstance(names, str) else names))


def signature(model: nn.Module) -> str:
    """What a model computes, as far as its modules say it: their kinds, and their settings without those of its size.

    Models of equal names, shapes and signatures compute the same; those of other signatures may do so as well.
    """
    heads = classifiers(model)
    lines = []
    for name, module in model.named_modules():
        if "drop" in name or (heads and f"{name}.".startswith(heads)):
            continue
        settings = {key: _words(value) for key, value in vars(module).items() if not _IDLE.search(key)}
        known = ", ".join(f"{key}={value}" for key, value in sorted(settings.items()) if value is not None)
        lines.append(f"{name} {type(module).__module__}.{type(module).__qualname__} {known}")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _words(value: Any) -> str | None:
    """A setting in words; None for what is not a setting."""
    if isinstance(value, tuple | list):
        words = [_words(item) for item in value]
        return None if None in words else str(words)
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return f"{value.__module__}.{value.__qualname__}"
    return repr(value) if isinstance(value, int | float | str | bool | None) and value is not None else None


@functools.lru_cache(maxsize=1)
def _table() -> tuple[Mapping[str, Groups], tuple[tuple[str, ...], ...]]:
    """Fingerprint -> groups of architectures of the installed timm, and the classifiers' prefixes that there are."""
    stored = json.loads(TABLE.read_text())
    available = set(timm.list_models())
    table: dict[str, Groups] = {}
    for mark, groups in stored["groups"].items():
        kept = (tuple(arch for arch in group if arch in available) for group in groups)
        table[mark] = tuple(group for group in kept if group)
    heads = {tuple(head) for head in stored["classifiers"]}
    known = {arch for groups in stored["groups"].values() for group in groups for arch in group}
    for arch in sorted(available - known - set(stored["unbuildable"])):  # of another version of timm
        try:
            model = without_memory(arch)
        except Exception:  # whatever hinders a network that nobody asked for
            continue
        mark = fingerprint(encoder_shapes(model))
        table[mark] = (*table.get(mark, ()), (arch,))
        heads.add(classifiers(model))
    return table, tuple(sorted(heads - {()}))
