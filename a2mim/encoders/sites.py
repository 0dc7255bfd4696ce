"""Sites: the named places inside an encoder where the mask token may act, and the place where its output is read.

A site is "the output of" a place: ``input`` (the image itself), ``stem``, ``stage1..4`` of a network with stages,
``block1..N`` of a network with blocks, or any module by its dotted name. ``stage3.out`` is the same as ``stage3``.
``stage4.in`` is the input of the first block of stage 4: if the stage starts with a downsampling (ConvNeXt, Swin), the
features after it, else those of the stage before. ``block5.in`` is the input of block 5.

Stages and blocks are those in timm's ``feature_info``; if it names none that run, they are found by the shapes of a
forward pass. The layout of features is also measured in a forward pass (see ``watching``).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from a2mim.encoders import watching
from a2mim.encoders.layouts import Layout
from a2mim.encoders.watching import IMAGE
from a2mim.errors import InputError
from a2mim.masking import CELLS

__all__ = ["IMAGE", "Layout", "Output", "Site", "default", "find", "names", "output", "output_layout"]


@dataclass(frozen=True)
class Site:
    """A place where the mask token acts: the output of ``module``, or its input if ``before`` is set.

    Parallel branches (HRNet, CrossViT) give several maps at once; the token acts on each. ``members`` are their numbers
    among the tensors at the place, ``layouts`` their layouts.
    """

    name: str
    module: str
    before: bool
    layouts: tuple[Layout, ...]
    members: tuple[int, ...] = (0,)
    _kept: ExitStack = field(default_factory=ExitStack, init=False, repr=False, compare=False)

    @property
    def layout(self) -> Layout:
        """The layout of the first map."""
        return self.layouts[0]

    @property
    def channels(self) -> int:
        """Channels of all maps together: the length of the token."""
        return sum(layout.channels for layout in self.layouts)

    @property
    def grid(self) -> tuple[int, int]:
        return self.layout.grid

    def encode(
        self,
        encoder: nn.Module,
        images: torch.Tensor,
        change: Callable[[int, torch.Tensor], torch.Tensor],
        output: Output,
        *,
        recomputed: bool = False,
    ) -> torch.Tensor:
        """The last map (B, C, h, w) of images (B, 3, H, W), with the features at this site changed on the way.

        Args:
            encoder: timm model; it runs as it is.
            images: what the encoder sees.
            change: (i, features) -> features, for map number i of ``layouts``.
            output: where the last map is.
            recomputed: the backward pass recomputes activations and so needs the change again: the hook then stays
                until the next call, instead of being removed when this one ends.

        Raises:
            InputError: the encoder did not pass the site.
        """
        reached = []

        def changed(branch: int, features: torch.Tensor) -> torch.Tensor:
            reached.append(branch)
            return change(branch, features)

        self._kept.close()
        with ExitStack() as hooks:
            hooks.enter_context(self.apply(encoder, changed))
            features = output.of(encoder, changed(0, images) if self.module == IMAGE else images)
            if recomputed and features.requires_grad:
                self._kept.push(hooks.pop_all())
        if not reached:  # timm runs the parts of a stage one by one when it checkpoints the stage
            raise InputError(
                f"with checkpointed gradients, timm does not run the site '{self.name}' as a whole: name the last "
                f"module inside it, for example --mask-layer {self.module}.1"
            )
        return features

    @contextmanager
    def apply(self, encoder: nn.Module, change: Callable[[int, torch.Tensor], torch.Tensor]) -> Iterator[None]:
        """Within the context, map number i (of ``layouts``) passes through ``change(i, features)``.

        At the site ``input`` nothing happens: the caller changes the image.
        """

        def of_member(member: int, features: torch.Tensor) -> torch.Tensor:
            return change(self.members.index(member), features) if member in self.members else features

        place = functools.partial(watching.replaced, changes=of_member)
        with nullcontext() if self.module == IMAGE else watching.watch(encoder, self.module, self.before, place):
            yield


@dataclass(frozen=True)
class Output:
    """Where an encoder's last map over the image is: tensor ``member`` of ``forward_features``, or of a module."""

    module: str
    member: int
    layout: Layout

    def of(self, encoder: nn.Module, images: torch.Tensor) -> torch.Tensor:
        """The map (B, C, h, w) of images (B, 3, H, W)."""
        seen: list[Any] = []

        def look(value: Any) -> Any:
            seen.append(value)
            return value

        with watching.watch(encoder, self.module, False, look) if self.module else nullcontext():
            features = encoder.forward_features(images)  # type: ignore[operator]
        return self.layout.to_map(watching.tensors(seen[0] if self.module else features)[self.member])


def names(encoder: nn.Module, img_size: tuple[int, int] | None = None) -> dict[str, tuple[str, bool]]:
    """The named sites of a timm model, in order: name -> (module, whether the site is the input of that module).

    Args:
        img_size: (H, W) of the images by which stages are found if timm does not name them; default: timm's size.
    """
    children = dict(encoder.named_modules())
    info = list({entry.get("module"): entry for entry in _feature_info(encoder) if entry.get("module") != ""}.values())
    kind = "stage" if len({entry["reduction"] for entry in info}) > 1 else "block"
    modules = [_full_name(children, str(entry.get("module"))) for entry in info]
    if kind == "stage":
        modules = modules[-4:]  # where timm lists five, the first is the stem
    if not modules or not all(_runs(children.get(module)) for module in modules):
        kind, modules = "stage", _stages(encoder, img_size or native_size(encoder))
    found = {"input": (IMAGE, False)}
    stem = next((name for name in ("patch_embed", "stem") if _runs(children.get(name))), None)
    if stem:
        found["stem"] = (stem, False)
    elif modules:
        found["stem"] = (modules[0], True)
    return found | {f"{kind}{number}": (module, False) for number, module in enumerate(modules, 1)}


def default(encoder: nn.Module, img_size: tuple[int, int] | None = None) -> str:
    """The paper's site (section 5.1), or the same relative depth in networks that the paper does not name.

    Stage 3 of ResNet-50: three quarters of the stages. Block 5 of 12 in ViT-S; block 8 of 12 in ViT-B, also for every
    other encoder with blocks of at least its width (768).
    """
    return _default(encoder, _deep(names(encoder, img_size)))


def _default(encoder: nn.Module, deep: list[str]) -> str:
    if not deep:
        return "input"
    share = 3 / 4
    if deep[0].startswith("block"):
        share = 8 / 12 if getattr(encoder, "num_features", 0) >= 768 else 5 / 12
    return deep[max(1, round(share * len(deep))) - 1]


def find(encoder: nn.Module, name: str, img_size: tuple[int, int]) -> Site:
    """The site ``name`` of an encoder for images (H, W).

    ``auto`` is the paper's choice (see ``default``), or the nearest site before it (else after it) with a map over the
    image, if possible no coarser than the paper's 7x7 mask cells.

    Raises:
        InputError: a site that this encoder does not have (the message lists its sites), or a place without a map.
    """
    known = names(encoder, img_size)
    if name != "auto":
        return _site(encoder, name, known, img_size)
    deep = _deep(known) or ["input"]
    place = deep.index(_default(encoder, _deep(known)))
    usable: list[Site] = []
    errors: list[InputError] = []
    for candidate in (*deep[place::-1], *deep[place + 1 :]):
        try:
            site = _site(encoder, candidate, known, img_size)
        except InputError as error:
            errors.append(error)
            continue
        stride = max(size / side for size, side in zip(img_size, site.grid, strict=True))
        if stride <= max(native_size(encoder)) / CELLS or site.name.startswith("block"):
            return site
        usable.append(site)
    if not usable:
        raise errors[0]
    return usable[0]


def output(encoder: nn.Module, img_size: tuple[int, int]) -> Output:
    """Where the features are from which an image (H, W) is reconstructed.

    The output of ``forward_features``: of a tuple the first map, of a list (several scales) the last. If it has no map
    (only class tokens), the last map that a module gives.

    Raises:
        InputError: an encoder without any map over the image.
    """
    images = watching.noise(encoder, img_size).expand(2, -1, -1, -1)
    value = watching.forward(encoder, images)
    found, module = _ordered(encoder, "", False, value, img_size), ""
    if not found:
        module = _last_map(encoder, img_size)
        if not module:
            shapes = ", ".join(str(tuple(tensor.shape[1:])) for tensor in watching.tensors(value))
            raise InputError(
                f"{type(encoder).__name__} has no map over the image of {img_size[0]}x{img_size[1]} pixels to "
                f"reconstruct it from; its features have the shapes {shapes}"
            )
        value = _look(encoder, module, False, images)[0]
        found = _ordered(encoder, module, False, value, img_size)
    member = max(found) if isinstance(value, list) else min(found)
    return Output(module, member, found[member])


def output_layout(encoder: nn.Module, img_size: tuple[int, int]) -> Layout:
    """The layout of the features from which an image (H, W) is reconstructed."""
    return output(encoder, img_size).layout


def native_size(encoder: nn.Module) -> tuple[int, int]:
    """Image size (H, W) in pixels that timm trained the architecture on."""
    cfg = getattr(encoder, "default_cfg", None) or {}
    height, width = tuple(cfg.get("input_size") or (3, 224, 224))[1:]
    return int(height), int(width)


# --- places -----------------------------------------------------------------------------------------------------------


def _site(encoder: nn.Module, name: str, known: dict[str, tuple[str, bool]], img_size: tuple[int, int]) -> Site:
    module, before = _place(encoder, name, known)
    if module == IMAGE:
        return Site(name, IMAGE, before, (Layout("NCHW", 3, img_size),))
    images = watching.noise(encoder, img_size).expand(2, -1, -1, -1)
    seen = _look(encoder, module, before, images)
    if len(seen) != 1:
        raise InputError(f"module '{name}' runs {len(seen)} times in a forward pass; a site must run once")
    found = _ordered(encoder, module, before, seen[0], img_size)
    if not found:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in watching.tensors(seen[0])) or "no tensor"
        raise InputError(f"'{name}' of {type(encoder).__name__} does not give a map over the image: {shapes}")
    if len(found) > 1:
        reaches = _reaching(encoder, module, before, img_size)
        found = {member: layout for member, layout in found.items() if reaches(member)}
    if not found:
        raise InputError(f"the output of '{name}' of {type(encoder).__name__} does not reach the last features")
    return Site(name, module, before, tuple(found.values()), tuple(found))


def _place(encoder: nn.Module, name: str, known: dict[str, tuple[str, bool]]) -> tuple[str, bool]:
    """The module that a site's name means, and whether its input is meant."""
    if name in known:
        return known[name]
    base, _, side = name.rpartition(".")
    if base in known and side == "out":
        return known[base]
    deep = _deep(known)
    if base in deep and side == "in":
        module = known[base][0]
        if base.startswith("block"):
            return module, True
        blocks = getattr(encoder.get_submodule(module), "blocks", None)
        if isinstance(blocks, (nn.Sequential, nn.ModuleList)) and len(blocks):
            return f"{module}.blocks.0", True
        earlier = deep.index(base) - 1
        return known[deep[earlier] if earlier >= 0 else "stem"]
    if name and name in dict(encoder.named_modules()):
        return name, False
    raise InputError(
        f"{type(encoder).__name__} has no site '{name}'; its sites: {', '.join(known)}, "
        "the input of a stage or block (as stage4.in), or any module by its dotted name"
    )


def _last_map(encoder: nn.Module, img_size: tuple[int, int]) -> str:
    """The last module that gives a map, if nearly the whole network is before it; else ""."""
    traced = watching.trace(encoder, img_size)
    grids = _grids(traced)
    maps = [name for name, layouts in traced.items() if any(layout.grid in grids for layout in layouts)]
    if not maps:
        return ""
    rest = list(traced)[list(traced).index(maps[-1]) + 1 :]
    weights, after = (
        sum(value.numel() for name in names for value in encoder.get_submodule(name).parameters())
        for names in (traced, rest)
    )
    return maps[-1] if after <= weights / 10 else ""


def _deep(known: dict[str, tuple[str, bool]]) -> list[str]:
    return [name for name in known if name.startswith(("stage", "block"))]


def _feature_info(encoder: nn.Module) -> list[dict[str, Any]]:
    return [dict(entry) for entry in getattr(encoder, "feature_info", None) or []]


def _full_name(modules: dict[str, nn.Module], name: str) -> str:
    """The full name of a module, which may be given relative to the only part of the network that has it."""
    inside = [full for full in modules if full.endswith(f".{name}")]
    return inside[0] if name not in modules and len(inside) == 1 else name


def _runs(module: nn.Module | None) -> bool:
    """Whether a module can be run: it exists and is not just a list of modules."""
    return module is not None and type(module).forward is not nn.Module.forward


def _stages(encoder: nn.Module, img_size: tuple[int, int]) -> list[str]:
    """The stages of a network without named stages: the last module of each grid, before the next coarser one."""
    ends: dict[tuple[int, int], str] = {}
    for module, layouts in watching.trace(encoder, img_size).items():
        grid = min((layout.grid for layout in layouts), default=None)  # of parallel branches, the coarsest
        if grid and (not ends or grid <= min(ends)):
            ends[grid] = module
    return list(ends.values())[-4:]


# --- features at a place ----------------------------------------------------------------------------------------------


def _look(encoder: nn.Module, module: str, before: bool, images: torch.Tensor) -> list[Any]:
    """The values at a place when images run through the encoder: one for each run of the module."""
    seen: list[Any] = []

    def look(value: Any) -> Any:
        seen.append(value)
        return value

    with watching.watch(encoder, module, before, look):
        watching.forward(encoder, images)
    return seen


def _raw(encoder: nn.Module, module: str, before: bool, images: torch.Tensor) -> list[torch.Tensor]:
    return watching.tensors(_look(encoder, module, before, images)[0] if module else watching.forward(encoder, images))


def _ordered(encoder: nn.Module, module: str, before: bool, value: Any, img_size: tuple[int, int]) -> dict[int, Layout]:
    """The tensors in ``value`` (of two images at a place) that are maps over the image, by their number."""
    found = {}
    layouts = [watching.layout_of(encoder, tensor, img_size, batch=2) for tensor in watching.tensors(value)]
    unsure = any(layout is not None and layout.order == "NCL" for layout in layouts)
    grids = _grids(watching.trace(encoder, img_size)) if unsure else set()
    for member, layout in enumerate(layouts):
        if layout is not None and layout.order == "NCL" and layout.grid not in grids:
            layout = None  # hidden states, as many as there would be cells
        if layout is not None and layout.is_tokens:
            look = lambda images, member=member: _raw(encoder, module, before, images)[member]  # noqa: E731
            layout = watching.in_order(layout, img_size, look, encoder)
        if layout is not None:
            found[member] = layout
    return found


def _grids(traced: dict[str, list[Layout]]) -> set[tuple[int, int]]:
    """The grids of a network's features: those of its 2D maps, or of its tokens if it has only tokens."""
    layouts = [layout for layouts in traced.values() for layout in layouts]
    return {layout.grid for layout in layouts if not layout.is_tokens} or {layout.grid for layout in layouts}


def _reaching(encoder: nn.Module, module: str, before: bool, img_size: tuple[int, int]) -> Callable[[int], bool]:
    """A function: whether the reconstructed features depend on tensor number ``member`` at a place."""
    place, image = output(encoder, img_size), watching.noise(encoder, img_size)

    def run() -> torch.Tensor:
        return _raw(encoder, place.module, False, image)[place.member]

    unchanged = run()

    def reaches(member: int) -> bool:
        def changes(number: int, tensor: torch.Tensor) -> torch.Tensor:
            return tensor + 1 + tensor.flip(1) if number == member else tensor

        with watching.watch(encoder, module, before, functools.partial(watching.replaced, changes=changes)):
            return not torch.equal(unchanged, run())

    return reaches
