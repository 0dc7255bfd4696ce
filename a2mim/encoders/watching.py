"""Watch an encoder as it runs: what its modules compute for a few images of noise, and in which order.

Nothing about a network is guessed from its name: every module's output is measured in a forward pass, in eval mode and
without gradients, which does not change the encoder.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from a2mim import seeds
from a2mim.encoders.layouts import Layout
from a2mim.errors import InputError

IMAGE = ""  # the "module" of the site `input`
CONTRAST = 0.05  # the half of the tokens that changes by a tenth more is the half whose pixels were changed


@contextmanager
def watch(encoder: nn.Module, module: str, before: bool, change: Callable[[Any], Any]) -> Iterator[None]:
    """Within the context, the output of ``module`` (with ``before``, its tuple of inputs) passes through ``change``."""
    target = encoder.get_submodule(module)
    if before:
        handle = target.register_forward_pre_hook(lambda _, args: change(args))
    else:
        handle = target.register_forward_hook(lambda _, __, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def tensors(value: Any) -> list[torch.Tensor]:
    """The tensors in nested lists and tuples, in order."""
    if isinstance(value, (list, tuple)):
        return [tensor for member in value for tensor in tensors(member)]
    return [value] if isinstance(value, torch.Tensor) else []


def replaced(value: Any, changes: Callable[[int, torch.Tensor], torch.Tensor], start: int = 0) -> Any:
    """``value`` with tensor number i (as ``tensors`` counts) replaced by ``changes(i, tensor)``."""
    if isinstance(value, torch.Tensor):
        return changes(start, value)
    if not isinstance(value, (list, tuple)):
        return value
    members = []
    for member in value:
        members.append(replaced(member, changes, start))
        start += len(tensors(member))
    return type(value)(*members) if hasattr(value, "_fields") else type(value)(members)


def forward(encoder: nn.Module, images: torch.Tensor) -> Any:
    """``forward_features`` of images; running statistics and mode do not change.

    Raises:
        InputError: an encoder that does not run on images of this size; the message has the size it is built for.
    """
    modes = [(module, module.training) for module in encoder.modules()]
    try:
        with torch.no_grad():
            return encoder.eval().forward_features(images)  # type: ignore[operator]
    except (AssertionError, RuntimeError, ValueError, IndexError, ZeroDivisionError) as error:
        size, cfg = tuple(images.shape[-2:]), getattr(encoder, "default_cfg", None) or {}
        built = cfg.get("input_size", (3, *size))[1:]
        hint = "" if tuple(built) == size else f" (it is built for {built[0]}x{built[1]})"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{type(encoder).__name__} does not run on images of {size[0]}x{size[1]} pixels{hint}: {reason}"
        ) from error
    finally:
        for module, training in modes:
            module.training = training


def noise(encoder: nn.Module, img_size: tuple[int, int], seed: int = 0) -> torch.Tensor:
    """One image (1, 3, H, W) of white noise, on the device and of the type of the encoder."""
    parameter = next(encoder.parameters())
    image = torch.randn(1, 3, *img_size, generator=seeds.generator("probe", seed))
    return image.to(parameter.device, parameter.dtype)


def layout_of(encoder: nn.Module, features: torch.Tensor, img_size: tuple[int, int], batch: int) -> Layout | None:
    """The layout of features of ``batch`` images; None if they are not a map, or not one per image."""
    if features.dim() < 3 or features.shape[0] != batch:
        return None
    order = str(getattr(encoder, "output_fmt", "NCHW")).rpartition(".")[2]
    try:
        return Layout.of(features, img_size, int(getattr(encoder, "num_prefix_tokens", 0) or 0), order)
    except InputError:
        return None


def trace(encoder: nn.Module, img_size: tuple[int, int]) -> dict[str, list[Layout]]:
    """The modules that run, in the order in which they end, and the maps over the image that each gives.

    A module that runs several times counts as giving none. Modules inside others are omitted: of a network with stages,
    the stages are listed. ``nn.Sequential`` counts as its members.
    """
    image = noise(encoder, img_size)
    found: dict[str, list[list[Layout]]] = {}
    open_modules: list[str] = []

    def start(name: str) -> None:
        open_modules.append(name)

    def end(name: str, output: Any) -> None:
        open_modules.pop()
        if not open_modules:
            layouts = [layout_of(encoder, tensor, img_size, len(image)) for tensor in tensors(output)]
            maps = [layout for layout in layouts if layout is not None and layout.grid != (1, 1)]
            found.setdefault(name, []).append(maps)

    with ExitStack() as hooks:
        for name, module in encoder.named_modules():
            if not name or isinstance(module, nn.Sequential):
                continue
            for handle in (
                module.register_forward_pre_hook(lambda *_, name=name: start(name)),
                module.register_forward_hook(lambda *args, name=name: end(name, args[-1])),
            ):
                hooks.callback(handle.remove)
        forward(encoder, image)
    return {name: runs[0] if len(runs) == 1 else [] for name, runs in found.items()}


def in_order(
    layout: Layout, img_size: tuple[int, int], look: Callable[[torch.Tensor], torch.Tensor], encoder: nn.Module
) -> Layout:
    """The layout with the cells of its tokens, if the network does not keep them in row order.

    The image is changed in one half, then in another: the tokens that change most must be those of that half. If they
    are not, each bit of every token's row and column is found in the same way. Tokens without any order, as after much
    mixing, count as in row order.

    Args:
        layout: of tokens.
        look: images -> the features that ``layout`` describes.
    """
    rows, cols = layout.grid
    if next(encoder.parameters()).is_meta or min(rows, cols) < 2:
        return layout
    row, col = (place.flatten() for place in torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij"))
    changes = _changes(noise(encoder, img_size), layout, look)
    upper, left = changes(row < rows // 2), changes(col < cols // 2)
    halves = ((upper, row < rows // 2, row >= -(-rows // 2)), (left, col < cols // 2, col >= -(-cols // 2)))
    if all(_contrast(change[inside].mean(), change[outside].mean()) > CONTRAST for change, inside, outside in halves):
        return layout
    for count in (4, 16):
        base = torch.cat([noise(encoder, img_size, seed) for seed in range(count)])
        changes = _changes(base, layout, look)
        cells = torch.zeros(rows * cols, dtype=torch.long)
        for place, weight, side in ((row, cols, rows), (col, 1, cols)):
            for bit in range((side - 1).bit_length()):
                inside = (place >> bit & 1).bool()
                cells += (changes(inside) > changes(~inside)).long() * weight * 2**bit
        if sorted(cells.tolist()) == list(range(rows * cols)):
            return dataclasses.replace(layout, cells=tuple(cells.tolist()))
    return layout


def _changes(
    base: torch.Tensor, layout: Layout, look: Callable[[torch.Tensor], torch.Tensor]
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A function: how much each token (in row order) changes, over the images, with the pixels in given cells."""
    before = layout.to_map(look(base))

    def changes(inside: torch.Tensor) -> torch.Tensor:
        after = layout.to_map(look(_changed(base, inside, layout.grid)))
        return (after - before).detach().float().square().sum(1).sqrt().mean(0).flatten().cpu()

    return changes


def _changed(image: torch.Tensor, inside: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """The image with its sign flipped in the cells ``inside`` (cells,) of the grid."""
    rows, cols = (torch.arange(size) * side // size for size, side in zip(image.shape[-2:], grid, strict=True))
    return torch.where(inside.view(grid)[rows][:, cols].to(image.device), -image, image)


def _contrast(inside: torch.Tensor, outside: torch.Tensor) -> float:
    return float((inside - outside) / (inside + outside).clamp(min=torch.finfo(inside.dtype).tiny))
