"""Feature maps as the network really computes them: hooks on its own modules, nothing rebuilt."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from a2mim.encoders import sites, watching
from a2mim.encoders.layouts import Layout
from a2mim.errors import InputError

CONTAINERS = (nn.Sequential, nn.ModuleList)
ATTENTION = ":attn"  # the residual stream of a block after its attention; no module has it as its output


class Captured:
    """What ``capture`` gives: ``maps`` of the last forward pass, {layer: what is kept}, in the order of execution.

    ``left_out`` names the layers whose features are not a map over the image (pooled, transposed, without a grid).
    """

    def __init__(self) -> None:
        self.maps: dict[str, torch.Tensor] = {}
        self.left_out: list[str] = []


@contextmanager
def capture(
    model: nn.Module,
    layers: Sequence[str] | None = None,
    reduce: Callable[[torch.Tensor], torch.Tensor] = torch.clone,
) -> Iterator[Captured]:
    """Inside, every forward pass of ``model`` leaves its feature maps in ``.maps``; after, the model is as it was.

    A map is float (B, C, H, W), detached, on the model's device; tokens that stand for no place (class, distillation,
    register tokens) are left out. A second pass replaces the maps of the first. Of a layer that runs several times in a
    pass the first counts.

    Args:
        model: a timm model, or any module that takes images (B, 3, H, W); to be called itself, not by its methods.
        layers: names as in ``model.named_modules()``, whose outputs are taken; ``<block>:attn`` is the residual stream
            of a transformer's block after its attention, with LayerScale and all else that the block does. Default:
            ``default_layers``.
        reduce: what is kept of a map, at once, so that no two maps need be in memory. The map is the network's own, in
            its own memory format, and the network may overwrite it later: what is kept must not share its memory.
            Default: a copy.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        >>> with torch.inference_mode(), capture(model, ["0"]) as captured:
        ...     logits = model(torch.zeros(2, 3, 8, 8))
        >>> captured.maps["0"].shape
        torch.Size([2, 4, 6, 6])

    Raises:
        InputError: a layer that the model lacks (with those near it), or one whose output is not a map over the image.
            What ``reduce`` raises.
    """
    if hasattr(model, "reroll"):
        raise InputError(f"a {type(model).__name__} keeps its tokens in its own order, in which they are not a map")
    explicit = layers is not None
    wanted = list(layers) if layers is not None else default_layers(model)
    known = dict(model.named_modules())
    for layer in wanted:
        _check(layer, known)
    captured = Captured()
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    order = str(getattr(model, "output_fmt", "NCHW")).rpartition(".")[2]
    images: list[torch.Size] = []  # the shape of those that are passing

    def start(_: nn.Module, args: Any) -> None:
        images[:] = [args[0].shape]
        captured.maps, captured.left_out = {}, []

    def keep(layer: str, features: Any) -> None:
        if not images:
            raise InputError("to capture feature maps, call the model itself, not one of its methods")
        if layer in captured.maps or layer in captured.left_out:
            return  # a block's attention comes before its second norm
        try:
            map_ = _as_map(features, images[0], prefix, order)
        except InputError as error:
            if explicit:
                raise InputError(f"layer '{layer}' gives no map over the image: {error}") from error
            captured.left_out.append(layer)
        else:
            captured.maps[layer] = reduce(map_)

    with ExitStack() as hooks:
        handles = [model.register_forward_pre_hook(start)]
        handles += [handle for layer in wanted for handle in _watch(layer, known, keep)]
        for handle in handles:
            hooks.callback(handle.remove)
        yield captured


def _as_map(value: Any, images: torch.Size, prefix: int, order: str) -> torch.Tensor:
    """The first tensor in a module's output, as a map (B, C, H, W)."""
    features = next(iter(watching.tensors(value)), None)
    if features is None:
        raise InputError(f"it gives a {type(value).__name__}")
    if not features.ndim or len(features) != images[0]:
        raise InputError(f"features of shape {tuple(features.shape)} for {images[0]} images")
    size = (images[-2], images[-1])
    return Layout.of(features, size, prefix, order).to_map(features.detach())


def default_layers(model: nn.Module) -> list[str]:
    """The stem, every residual block, and for transformers the stream after each block's attention as well.

    These are the paper's points: 17 of a ResNet-50 (stem and 16 blocks), 25 of a ViT of 12 blocks. A model whose
    blocks timm does not list gives its ``feature_info`` layers.

    Raises:
        InputError: a model without ``feature_info``; name the layers.
    """
    info = [str(entry["module"]) for entry in getattr(model, "feature_info", None) or []]
    known = dict(model.named_modules())
    info = [name for name in info if name in known]
    if not info:
        raise InputError(f"timm does not list the layers of a {type(model).__name__}: name them, as in named_modules()")
    roots = {name.split(".")[0] for name in info}
    children = [name for name, _ in model.named_children()]
    stem, before = sites.names(model).get("stem", ("", True))
    place = children.index(stem.split(".")[0]) if stem else 0
    first = place if before else place + 1  # of the children that hold blocks
    found = children[first - 1 : first] if first else []  # a ResNet's max-pool, a ViT's patch embedding
    for name in children[first:]:
        if name in roots:
            found += list(_blocks(name, known[name]))
    return [
        part for layer in found for part in ([layer + ATTENTION] if _is_transformer(known[layer]) else []) + [layer]
    ]


def _blocks(name: str, module: nn.Module) -> Iterator[str]:
    """Blocks below a module: members of its lists, and of the ``blocks`` of a stage."""
    if isinstance(module, CONTAINERS) and len(module):
        for key, child in module.named_children():
            yield from _blocks(f"{name}.{key}", child)
    elif isinstance(getattr(module, "blocks", None), CONTAINERS):
        yield from _blocks(f"{name}.blocks", module.blocks)  # type: ignore[arg-type]
    elif not isinstance(module, nn.Identity):
        yield name


def _is_transformer(block: nn.Module) -> bool:
    """Whether a block adds attention first and an MLP second, so that there is a stream between the two."""
    return hasattr(block, "attn") and hasattr(block, "mlp") and hasattr(block, "norm2")


def _check(layer: str, known: dict[str, nn.Module]) -> None:
    name = layer.removesuffix(ATTENTION)
    if name not in known or not name:
        near = difflib.get_close_matches(layer, known, n=5, cutoff=0.5) or list(known)[1:6]
        raise InputError(f"the model has no layer '{layer}'; near it: {', '.join(near)}")
    if layer.endswith(ATTENTION) and not _is_transformer(known[name]):
        raise InputError(f"'{name}' is not a block of attention and MLP; '{layer}' does not exist")


def _watch(layer: str, known: dict[str, nn.Module], keep: Callable[[str, Any], None]) -> list[Any]:
    if not layer.endswith(ATTENTION):
        return [known[layer].register_forward_hook(lambda _, __, output: keep(layer, output))]
    # norm before (ViT, Swin): the second norm sees the stream; norm after (Swin V2): the MLP does, and runs first
    block = known[layer.removesuffix(ATTENTION)]
    look = lambda _, args: keep(layer, args[0])  # noqa: E731
    return [part.register_forward_pre_hook(look) for part in (block.norm2, block.mlp)]  # type: ignore[union-attr]
