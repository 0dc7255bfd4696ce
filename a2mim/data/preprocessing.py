"""How a network looks at images when it is evaluated: size, crop, interpolation and normalisation, and who says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import timm
import torch
from PIL import Image
from timm.data.constants import DEFAULT_CROP_PCT

from a2mim.data.transforms import eval_transform
from a2mim.errors import InputError

INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "lanczos", "box", "hamming")
CROP_MODES = ("center", "squash", "border")
_RESAMPLE = dict(enumerate(("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")))  # Pillow's numbers
_DEFAULT = {"crop_pct": DEFAULT_CROP_PCT, "interpolation": "bicubic", "crop_mode": "center"}  # timm's


@dataclass(frozen=True)
class Preprocessing:
    """The evaluation transform of one network, as plain values.

    Attributes:
        input_size: channels, height and width of what the network gets.
        mean, std: of each channel, pixels in [0, 1].
        crop_pct: side of the centre crop by side of the resized image, above 0 and at most 1.
        interpolation: how the image is resized.
        crop_mode: ``center``: the short side is resized; ``squash``: both sides; ``border``: the long one, then padded.
        origin: for each of these, where its value comes from: ``flag``, ``run``, ``file``, ``timm's config of NAME``
            or ``default``.
    """

    input_size: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_pct: float
    interpolation: str
    crop_mode: str
    origin: Mapping[str, str]

    def transform(self) -> Callable[[Image.Image], torch.Tensor]:
        """PIL image -> float tensor of ``input_size``, normalised."""
        size = self.input_size[1:]
        settings: dict[str, Any] = {"crop_pct": self.crop_pct, "interpolation": self.interpolation}
        settings |= {} if self.crop_mode == "center" else {"crop_mode": self.crop_mode}
        return eval_transform(size[0] if size[0] == size[1] else size, self.mean, self.std, **settings)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON and the page."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()} | {
            "origin": dict(self.origin)
        }

    def __str__(self) -> str:
        """One line for the console."""
        mode = "" if self.crop_mode == "center" else f", {self.crop_mode} ({self.origin['crop_mode']})"
        channels = ", grey" if self.input_size[0] == 1 else ""
        return (
            f"{self.input_size[1]}x{self.input_size[2]} pixels{channels}, crop {self.crop_pct:.4g} "
            f"({self.origin['crop_pct']}), {self.interpolation} ({self.origin['interpolation']}){mode}, "
            f"mean {_listed(self.mean)} and std {_listed(self.std)} ({self.origin['mean']})"
        )


def evaluation_transform(
    arch: str, input_size: Sequence[int], mean: Sequence[float], std: Sequence[float], **settings: Any
) -> tuple[Callable[[Image.Image], torch.Tensor], dict[str, Any]]:
    """The network's own evaluation transform, and the record of it; arguments as in ``evaluation_preprocessing``."""
    found = evaluation_preprocessing(arch, input_size, mean, std, **settings)
    return found.transform(), found.to_dict()


def evaluation_preprocessing(
    arch: str,
    input_size: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    run: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    crop_pct: float | None = None,
    interpolation: str | None = None,
) -> Preprocessing:
    """How a network was evaluated: by flags, else its run, else its file, else timm's config of its architecture.

    Args:
        arch: timm's name.
        input_size, mean, std: as the loader reports them. A network of one channel gets one mean and one std.
        run: settings of the run that wrote the checkpoint (``LoadReport.args``).
        file: what stands beside the weights: timm's ``pretrained_cfg``, or ``of_processor`` of transformers' file.
        crop_pct, interpolation: flags of the user; they override the rest.

    Raises:
        InputError: a flag out of its range, or a network that takes neither one nor three channels.

    >>> found = evaluation_preprocessing("resnet50", (3, 224, 224), (0.5,) * 3, (0.5,) * 3, run={"crop_pct": 0.9})
    >>> found.crop_pct, found.origin["crop_pct"], found.interpolation, found.origin["interpolation"]
    (0.9, 'run', 'bicubic', "timm's config of resnet50")
    """
    if crop_pct is not None and not 0 < crop_pct <= 1:
        raise InputError(f"crop_pct {crop_pct} must lie above 0 and be at most 1")
    if interpolation is not None and interpolation not in INTERPOLATIONS:
        raise InputError(f"interpolation {interpolation!r} must be one of {', '.join(INTERPOLATIONS)}")
    size = _input_size(input_size)
    config = timm_config(arch)
    if size[1:] == tuple(config.get("test_input_size") or ())[1:] and config.get("test_crop_pct"):
        config = config | {"crop_pct": config["test_crop_pct"]}  # as timm's validate.py does
    layers: dict[str, Mapping[str, Any]] = {
        "flag": {"crop_pct": crop_pct, "interpolation": interpolation},
        "run": run or {},
        "file": file or {},
        f"timm's config of {arch}": config,
        "default": _DEFAULT,
    }
    values, origin = {}, {}
    for key, is_valid in _VALID.items():
        origin[key] = next(name for name, layer in layers.items() if is_valid(layer.get(key)))
        values[key] = layers[origin[key]][key]
    for key, number in (("input_size", size), ("mean", mean), ("std", std)):
        says = (name for name, layer in layers.items() if _same(layer.get(key), number))
        origin[key] = next(says, "file")
    return Preprocessing(
        size,
        _per_channel(mean, size[0]),
        _per_channel(std, size[0]),
        float(values["crop_pct"]),
        values["interpolation"],
        values["crop_mode"],
        origin,
    )


def timm_config(arch: str) -> dict[str, Any]:
    """timm's data config of an architecture (its ``pretrained_cfg``); empty for a name it does not know."""
    for name in (arch, arch.split(".")[0]):
        try:
            if config := timm.get_pretrained_cfg(name):
                return config.to_dict()
        except RuntimeError:  # a tag that timm does not know
            continue
    return {}


def of_processor(processor: Mapping[str, Any]) -> dict[str, Any]:
    """``crop_pct``, ``interpolation`` and ``crop_mode`` of transformers' preprocessor_config.json, where it says them.

    >>> of_processor({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}, "resample": 3})
    {'interpolation': 'bicubic', 'crop_pct': 0.875, 'crop_mode': 'center'}
    """
    resample = processor.get("resample")
    found: dict[str, Any] = {"interpolation": _RESAMPLE[resample]} if resample in list(_RESAMPLE) else {}
    size, crop = _sides(processor.get("size")), _sides(processor.get("crop_size"))
    share = processor.get("crop_pct")
    if _VALID["crop_pct"](share) and size:  # ConvNeXt's: from 384 pixels on both sides are resized
        squash = min(size) >= 384
        return found | {"crop_pct": 1.0 if squash else share, "crop_mode": "squash" if squash else "center"}
    if not size or processor.get("do_resize") is False:
        return found
    short = isinstance(processor.get("size"), Mapping) and "shortest_edge" in processor["size"]
    crops = bool(crop) and processor.get("do_center_crop", True) and crop[0] <= size[0]
    crop_pct = crop[0] / size[0] if crops else 1.0
    return found | {"crop_pct": crop_pct, "crop_mode": "center" if short else "squash"}


def _number_in(low: float, high: float) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int | float) and not isinstance(value, bool) and low < value <= high


_VALID: dict[str, Callable[[Any], bool]] = {
    "crop_pct": _number_in(0, 1),
    "interpolation": lambda value: isinstance(value, str) and value in INTERPOLATIONS,
    "crop_mode": lambda value: isinstance(value, str) and value in CROP_MODES,
}


def _input_size(size: Sequence[int]) -> tuple[int, int, int]:
    channels, rows, cols = size
    if channels not in (1, 3):
        raise InputError(f"the network takes images of {channels} channels; images here have 1 (grey) or 3 (RGB)")
    return channels, rows, cols


def _per_channel(numbers: Sequence[float], channels: int) -> tuple[float, ...]:
    """One number for each channel; a grey image gets the mean of three."""
    if len(numbers) == channels:
        return tuple(numbers)
    if channels == 1:
        return (sum(numbers) / len(numbers),)
    return tuple(numbers) * channels if len(numbers) == 1 else tuple(numbers)


def _same(value: Any, other: Sequence[float]) -> bool:
    return isinstance(value, list | tuple) and tuple(value) == tuple(other)


def _sides(size: Any) -> tuple[int, ...]:
    """Height and width, the short side twice, or nothing where a file says something else."""
    if isinstance(size, Mapping):
        size = (size["shortest_edge"],) * 2 if "shortest_edge" in size else (size.get("height"), size.get("width"))
    sides = tuple(size) if isinstance(size, list | tuple) else (size, size)
    return sides if len(sides) == 2 and all(isinstance(side, int) and side > 0 for side in sides) else ()


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))
