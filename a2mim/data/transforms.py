"""From a picture to the numbers a network takes: timm's transforms, with the paper's augmentation as the default."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter, ImageOps
from timm.data import create_transform
from timm.data.auto_augment import AugmentOp
from timm.data.transforms import MaybePILToTensor, MaybeToTensor
from torchvision import transforms

from a2mim.errors import InputError


class ImageTransform:
    """PIL image -> float tensor (C, H, W), normalised: timm's transform, with its last two steps done here.

    Those two (to [0, 1], then (x − mean) / std) cost half the time of a small image when done one by one; the loader
    does them for a batch at once, with the same bits. C is the number of values in ``mean``: 3, or 1 for grey.
    """

    def __init__(self, pixels: Callable[[Image.Image], torch.Tensor], mean: Sequence[float], std: Sequence[float]):
        self.pixels = pixels
        self.mean = torch.tensor(mean, dtype=torch.float32).view(-1, 1, 1)
        self.std = torch.tensor(std, dtype=torch.float32).view(-1, 1, 1)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (..., C, H, W) -> float32 of the same shape."""
        return pixels.to(torch.float32, memory_format=torch.contiguous_format).div_(255).sub_(self.mean).div_(self.std)

    def __call__(self, image: Image.Image) -> torch.Tensor:
        return self.normalise(self.pixels(image))


def train_transform(
    img_size: int | tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    scale: tuple[float, float] = (0.67, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    hflip: float = 0.5,
    interpolation: str = "bilinear",
    **timm_extras: Any,
) -> Callable[[Image.Image], torch.Tensor]:
    """Random resized crop and horizontal flip, as the paper pre-trains (appendix A.1); PIL -> float (C, H, W).

    Args:
        img_size: side of the output in pixels, or (H, W).
        mean, std: of each channel, pixels in [0, 1]; a single value makes the image grey (C = 1).
        scale, ratio: ranges of the crop's share of the area (above 0, at most 1) and of its width / height.
        hflip: probability of a flip.
        interpolation: ``bilinear``, ``bicubic``, ``random`` (one of these two), ...
        timm_extras: other keywords of ``timm.data.create_transform``: ``auto_augment``, ``re_prob``, ``vflip``, ...
    """
    if not 0 < scale[0] <= scale[1] <= 1:
        raise InputError(f"crop scale {tuple(scale)} must be two shares of the area, 0 < smallest <= largest <= 1")
    if not 0 < ratio[0] <= ratio[1]:
        raise InputError(f"crop ratio {tuple(ratio)} must be two positive numbers, smallest first")
    if not 0 <= hflip <= 1:
        raise InputError(f"hflip {hflip} must be a probability from 0 to 1")
    for part in (timm_extras.get("auto_augment") or "").split("-")[1:]:
        if not any(character.isdigit() for character in part) and part[:1] != "t":  # timm ignores what has no number
            raise InputError(f"augmentation {timm_extras['auto_augment']!r}: '{part}' needs a number, e.g. m9")
    settings = {"color_jitter": None, **timm_extras, "scale": scale, "ratio": ratio, "hflip": hflip}
    return _timm_transform(img_size, mean, std, is_training=True, interpolation=interpolation, **settings)


class TwoViews:
    """PIL image -> uint8 (2, 3, H, W): two augmentations of the same image."""

    def __init__(self, first: Callable[[Image.Image], torch.Tensor], second: Callable[[Image.Image], torch.Tensor]):
        self.first, self.second = first, second

    def __call__(self, image: Image.Image) -> torch.Tensor:
        return torch.stack([self.first(image), self.second(image)])


class RandomBlur:
    """A Gaussian blur of 0.1 to 2 pixels with probability ``p``: Pillow's, which is faster than torchvision's."""

    def __init__(self, p: float):
        self.p = p

    def __call__(self, image: Image.Image) -> Image.Image:
        if torch.rand(()) >= self.p:
            return image
        return image.filter(ImageFilter.GaussianBlur(float(torch.empty(()).uniform_(0.1, 2.0))))


def two_views(
    img_size: int | tuple[int, int], mean: Sequence[float], std: Sequence[float], **crop: Any
) -> Callable[[Image.Image], torch.Tensor]:
    """Two views of an image for contrastive learning, as MoCo v3 draws them; PIL -> float (2, 3, H, W).

    Each is a random crop in other colours, or in grey, and flipped; the first is always blurred, the second one time in
    ten, and solarised one time in five. The arguments are those of ``train_transform``.
    """
    colours: dict[str, Any] = dict(color_jitter=(0.4, 0.4, 0.2, 0.1), color_jitter_prob=0.8, grayscale_prob=0.2)
    views = []
    for blurred, solarised in ((1.0, 0.0), (0.1, 0.2)):
        view = train_transform(img_size, mean, std, **crop, **colours)
        assert isinstance(view, ImageTransform)  # nothing is erased
        steps = view.pixels.transforms  # type: ignore[attr-defined]
        steps[-1:-1] = [RandomBlur(blurred), *([transforms.RandomSolarize(128, solarised)] if solarised else [])]
        views.append(view.pixels)
    return ImageTransform(TwoViews(*views), mean, std)


def eval_transform(
    img_size: int | tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    crop_pct: float | None = 1.0,
    interpolation: str = "bilinear",
    **timm_extras: Any,
) -> Callable[[Image.Image], torch.Tensor]:
    """Resize the short side to ``img_size / crop_pct`` and crop the centre; PIL -> float (C, H, W), nothing random.

    ``crop_pct`` lies above 0 and up to 1, None is timm's 0.875; the rest as in ``train_transform``.
    """
    if crop_pct is not None and not 0 < crop_pct <= 1:
        raise InputError(f"crop_pct {crop_pct} must lie above 0 and be at most 1")
    return _timm_transform(img_size, mean, std, crop_pct=crop_pct, interpolation=interpolation, **timm_extras)


def _timm_transform(
    img_size: int | tuple[int, int], mean: Sequence[float], std: Sequence[float], **settings: Any
) -> Callable[[Image.Image], torch.Tensor]:
    if len(mean) not in (1, 3) or len(std) != len(mean) or min(std) <= 0:
        raise InputError(
            f"mean {tuple(mean)} and std {tuple(std)} must have three values each (RGB) or one (grey), std above 0"
        )
    if np.min(img_size) < 1:
        raise InputError(f"img_size {img_size} must be at least one pixel")
    # random erasing draws on normalised images, one by one: timm's transform must then do all of it
    erases = (settings.get("re_prob") or 0) > 0
    try:
        rgb = [tuple(numbers) * (3 // len(numbers)) for numbers in (mean, std)]  # timm fills borders with the mean
        transform = create_transform(img_size, mean=rgb[0], std=rgb[1], normalize=erases, **settings)
    except (AssertionError, AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}".strip()
        raise InputError(f"timm cannot make a transform of {settings}: {reason}") from error
    if len(mean) == 1:
        _make_grey(transform, mean, std)
    _mend_posterize(transform)
    return transform if erases else ImageTransform(transform, mean, std)


def _make_grey(transform: Any, mean: Sequence[float], std: Sequence[float]) -> None:
    """Let a transform of timm end in one channel: augmentations see RGB, the network sees its luminance."""
    steps = transform.transforms
    for number, step in enumerate(steps):
        if isinstance(step, transforms.Normalize):
            steps[number] = transforms.Normalize(torch.tensor(mean), torch.tensor(std))
    to_tensor = next(n for n, step in enumerate(steps) if isinstance(step, MaybePILToTensor | MaybeToTensor))
    steps.insert(to_tensor, transforms.Grayscale())


def _mend_posterize(transform: Any) -> None:
    """Let timm's random augmentations posterize to 0 bits: they do, and Pillow 13 refuses what was black before."""
    for step in transform.transforms:
        ops = getattr(step, "ops", None) or itertools.chain(*getattr(step, "policy", ()))
        for op in ops:
            if isinstance(op, AugmentOp) and op.name.startswith("Posterize"):
                op.aug_fn = _posterize


def _posterize(image: Image.Image, bits_to_keep: int, **_: Any) -> Image.Image:
    if bits_to_keep >= 8:
        return image
    return ImageOps.posterize(image, bits_to_keep) if bits_to_keep > 0 else Image.new(image.mode, image.size)
