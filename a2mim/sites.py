"""Sites: the named places inside an encoder where the mask token may act, and how features lie there.

A site is "the output of" a place: ``input`` (the image itself), ``stem``, ``stage1..4`` of a network in stages or
``block1..N`` of one in blocks, or any module by its dotted name. Stages and blocks are those that timm's
``feature_info`` names; what a feature map looks like there is read off one forward pass, never guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from a2mim.errors import InputError
from a2mim.masking import resize_mask

IMAGE = ""  # the "module" of the site `input`


@dataclass(frozen=True)
class Layout:
    """How features lie in memory: ``order`` NCHW, NHWC or NLC, ``grid`` (h, w), ``prefix`` tokens in front."""

    order: str
    channels: int
    grid: tuple[int, int]
    prefix: int = 0

    @classmethod
    def of(cls, features: torch.Tensor, img_size: tuple[int, int], prefix_tokens: int = 0, order: str | None = None):
        """Recognise the layout of ``features`` (B, ...) that a network made of images of ``img_size`` (H, W).

        A dimension pair is spatial when its shape is that of the image; where both readings fit, ``order`` decides.

        Raises:
            InputError: features that are no map over the image.
        """
        shape = tuple(features.shape[1:])
        readings = []
        if len(shape) == 3:
            readings += [cls("NCHW", shape[0], shape[1:])] if _like_image(shape[1:], img_size) else []
            readings += [cls("NHWC", shape[2], shape[:2])] if _like_image(shape[:2], img_size) else []
        elif len(shape) == 2:
            for prefix in dict.fromkeys((prefix_tokens, 0)):
                grid = grid_of(shape[0] - prefix, img_size)
                readings += [cls("NLC", shape[1], grid, prefix)] if grid else []
        if not readings:
            raise InputError(f"features of shape {tuple(features.shape)} are no map over an image of {img_size}")
        return next((reading for reading in readings if reading.order == order), readings[0])

    def mask(self, mask: torch.Tensor) -> torch.Tensor:
        """D(M): the mask (B, h, w) on this grid, shaped to broadcast over the features; prefix tokens stay."""
        mask = resize_mask(mask, self.grid)
        if self.order == "NLC":
            return F.pad(mask.flatten(1), (self.prefix, 0))[..., None]
        return mask[:, None] if self.order == "NCHW" else mask[..., None]

    def vector(self, vector: torch.Tensor) -> torch.Tensor:
        """A vector (C,) shaped to broadcast over the features."""
        return vector.view(1, -1, 1, 1) if self.order == "NCHW" else vector

    def to_map(self, features: torch.Tensor) -> torch.Tensor:
        """The features as a map (B, C, h, w), without prefix tokens."""
        if self.order == "NCHW":
            return features
        if self.order == "NHWC":
            return features.permute(0, 3, 1, 2)
        return features[:, self.prefix :].transpose(1, 2).unflatten(2, self.grid)


@dataclass(frozen=True)
class Site:
    """A place where the mask token acts: ``module``'s output, or its first input where ``before`` is set."""

    name: str
    module: str
    before: bool
    layout: Layout

    @property
    def channels(self) -> int:
        return self.layout.channels

    @property
    def grid(self) -> tuple[int, int]:
        return self.layout.grid

    @contextmanager
    def apply(self, encoder: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> Iterator[None]:
        """Inside, the features at this site pass through ``change``; after, the encoder is as it was."""
        with _watch(encoder, self.module, self.before, change):
            yield


def names(encoder: nn.Module) -> dict[str, tuple[str, bool]]:
    """The named sites of a timm model, in order: name -> (module, whether the site is that module's input)."""
    info = [dict(entry) for entry in getattr(encoder, "feature_info", None) or []]
    children = dict(encoder.named_modules())
    info = [entry for entry in info if entry.get("module") in children]
    if len({entry["reduction"] for entry in info}) == 1:
        kind = "block"
    else:
        kind, info = "stage", info[-4:]  # where timm lists five, the first is the stem
    found = {"input": (IMAGE, False)}
    stem = next((name for name in ("patch_embed", "stem") if name in children), None)
    if stem:
        found["stem"] = (stem, False)
    elif info:
        found["stem"] = (info[0]["module"], True)
    for number, entry in enumerate(info, 1):
        found[f"{kind}{number}"] = (entry["module"], False)
    return found


def default(encoder: nn.Module) -> str:
    """The paper's site (section 5.1) where it names one, and the same relative depth elsewhere.

    Stage 3 of ResNet-50: three quarters of the stages. Block 5 of the 12 of ViT-S; block 8 of the 12 of ViT-B, which
    stands for every encoder in blocks at least as wide as ViT-B (768).
    """
    deep = [name for name in names(encoder) if name.startswith(("stage", "block"))]
    if not deep:
        return "input"
    share = 3 / 4
    if deep[0].startswith("block"):
        share = 8 / 12 if getattr(encoder, "num_features", 0) >= 768 else 5 / 12
    return deep[max(1, round(share * len(deep))) - 1]


def find(encoder: nn.Module, name: str, img_size: tuple[int, int]) -> Site:
    """The site ``name`` of an encoder for images (H, W); ``auto`` is the paper's choice.

    Raises:
        InputError: a site that this encoder lacks; the message lists those it has.
    """
    known = names(encoder)
    if name == "auto":
        name = default(encoder)
    if name in known:
        module, before = known[name]
    elif name in dict(encoder.named_modules()) and name:
        module, before = name, False
    else:
        raise InputError(
            f"{type(encoder).__name__} has no site '{name}'; its sites: {', '.join(known)}, "
            "or any module by its dotted name"
        )
    seen: list[torch.Tensor] = []

    def look(features: torch.Tensor) -> torch.Tensor:
        seen.append(features.detach())
        return features

    with _watch(encoder, module, before, look):
        _forward(encoder, img_size)
    if module == IMAGE:
        return Site(name, module, before, Layout("NCHW", 3, img_size))
    if len(seen) != 1:
        raise InputError(f"module '{name}' runs {len(seen)} times in a forward pass; a site has to run once")
    return Site(name, module, before, _layout(encoder, seen[0], img_size))


def output_layout(encoder: nn.Module, img_size: tuple[int, int]) -> Layout:
    """The layout of ``encoder.forward_features`` for images (H, W)."""
    return _layout(encoder, _forward(encoder, img_size), img_size)


def _layout(encoder: nn.Module, features: torch.Tensor, img_size: tuple[int, int]) -> Layout:
    order = str(getattr(encoder, "output_fmt", "NCHW")).rpartition(".")[2]
    return Layout.of(features, img_size, int(getattr(encoder, "num_prefix_tokens", 0)), order)


def _forward(encoder: nn.Module, img_size: tuple[int, int]) -> torch.Tensor:
    """One forward pass of a black image, with running statistics and mode left as they are."""
    training = encoder.training
    parameter = next(encoder.parameters())
    try:
        with torch.no_grad():
            image = torch.zeros(1, 3, *img_size, device=parameter.device, dtype=parameter.dtype)
            return first_tensor(encoder.eval().forward_features(image))  # type: ignore[operator]
    except (AssertionError, RuntimeError, ValueError) as error:
        raise InputError(f"{type(encoder).__name__} does not run on images of {img_size} pixels: {error}") from error
    finally:
        encoder.train(training)


@contextmanager
def _watch(
    encoder: nn.Module, module: str, before: bool, change: Callable[[torch.Tensor], torch.Tensor]
) -> Iterator[None]:
    if module == IMAGE:  # whoever owns the image changes it
        yield
        return
    target = encoder.get_submodule(module)
    if before:
        handle = target.register_forward_pre_hook(lambda _, args: (change(args[0]), *args[1:]))
    else:
        handle = target.register_forward_hook(lambda _, __, output: _replace_first(output, change))
    try:
        yield
    finally:
        handle.remove()


def first_tensor(output: Any) -> torch.Tensor:
    """The features in a module's output: the output itself, or the first member of a tuple."""
    return output[0] if isinstance(output, (tuple, list)) else output


def _replace_first(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(output, (tuple, list)):
        return type(output)([change(output[0]), *output[1:]])
    return change(output)


def _like_image(shape: tuple[int, ...], img_size: Sequence[int]) -> bool:
    """Whether (h, w) could be the image (H, W) divided by one stride, up to the padding of the last row and column."""
    strides = [size / max(1, side) for size, side in zip(img_size, shape, strict=True)]
    stride = max(1, round(max(strides)))
    return all(side in (size // stride, math.ceil(size / stride)) for size, side in zip(img_size, shape, strict=True))


def grid_of(tokens: int, img_size: Sequence[int]) -> tuple[int, int] | None:
    """The grid (h, w) of ``tokens`` patches with the shape of the image, or None."""
    if tokens < 1:
        return None
    rows = round(math.sqrt(tokens * img_size[0] / img_size[1]))
    if rows < 1 or tokens % rows or not _like_image((rows, tokens // rows), img_size):
        return None
    return rows, tokens // rows
