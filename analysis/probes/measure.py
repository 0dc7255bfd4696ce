"""What spectra and variances ask of a network's maps: of which layers, and sums of it over the images of a portion."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from a2mim.data import Batch
from a2mim.errors import InputError, RunError

from ..core.arrays import Arrays
from ..core.networks import eval_mode
from ..core.subjects import Subject
from . import features, spectrum, variance

Size = tuple[int, int]


@dataclass(frozen=True)
class Probe:
    """What is asked of every map: (B, C, H, W) -> (B, K), and K for maps of a size; 0 for those that have nothing."""

    name: str
    of: Callable[[torch.Tensor], torch.Tensor]
    steps: Callable[[Size], int]
    lacks: str  # what maps with K = 0 lack
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Layers:
    """The layers of a network that a probe looks at, with their depths, 0 to 1, and sizes; and notes on the others."""

    depths: dict[str, float]
    sizes: dict[str, Size]
    left_out: list[str]


def spectrum_probe(reduction: str = "diagonal") -> Probe:
    """The K values of ``spectrum.log_amplitude``.

    Raises:
        InputError: an unknown reduction.
    """
    spectrum.check_reduction(reduction)
    return Probe(
        "spectrum",
        functools.partial(spectrum.log_amplitude, reduction=reduction),
        functools.partial(_spectrum_steps, reduction=reduction),
        "so small have no frequency but zero",
        {"reduction": reduction},
    )


def variance_probe(kind: str = "variance", ddof: int = 1) -> Probe:
    """The one value of ``variance.image_variance``.

    Raises:
        InputError: an unknown kind or ddof.
    """
    variance.check_kind(kind, ddof)
    return Probe(
        "variance",
        lambda maps: variance.image_variance(maps, kind, ddof)[:, None],
        lambda size: int(size[0] * size[1] > 1),
        "of one pixel have no variance",
        {"kind": kind, "ddof": ddof},
    )


def layers_of(subject: Subject, wanted: Sequence[str] | None, probe: Probe) -> Layers:
    """Which layers have what the probe looks for: seen in one forward pass of a black image.

    Raises:
        InputError: a layer that the network lacks, a diagonal of maps that are not square, no layer that has it.
    """
    black = torch.zeros(1, *subject.report.input_size, device=subject.device)
    try:
        look = features.capture(subject.model, wanted, _size_of)
        with torch.inference_mode(), eval_mode(subject.model), look as captured:
            subject.model(black)
        sizes = {layer: (int(size[0]), int(size[1])) for layer, size in captured.maps.items()}
        steps = {layer: _steps(probe, layer, size) for layer, size in sizes.items()}
    except InputError as error:
        raise InputError(f"{subject.name}: {error}") from error
    notes = [f"{layer}, no map over the image" for layer in captured.left_out]
    notes += [f"{layer}, maps {probe.lacks}" for layer in sizes if not steps[layer]]
    last = max(len(sizes) - 1, 1)
    depths = {layer: place / last for place, layer in enumerate(sizes) if steps[layer]}
    if not depths:
        raise InputError(f"{subject.name}: no layer has a {probe.name}: {'; '.join(notes) or 'none was run'}")
    return Layers(depths, {layer: sizes[layer] for layer in depths}, notes)


def sums(subject: Subject, batch: Batch, layers: Layers, probe: Probe, batch_size: int) -> Arrays:
    """Sums over the images of a portion: of values, of their squares, and of each times the next of its layer.

    Raises:
        RunError: values that are not finite.
    """
    place, model = subject.device, subject.model
    rows = []
    with torch.inference_mode(), eval_mode(model), features.capture(model, list(layers.depths), probe.of) as captured:
        for some in batch.images.split(batch_size):
            model(some.to(place, non_blocking=True))
            rows.append(torch.cat([captured.maps[layer] for layer in layers.depths], dim=1).cpu().double().numpy())
    values = np.concatenate(rows)
    steps = [captured.maps[layer].shape[1] for layer in layers.depths]
    if not np.isfinite(values).all():
        bad = np.repeat(list(layers.depths), steps)[~np.isfinite(values).all(axis=0)][0]
        raise RunError(f"{subject.name}: the maps of layer '{bad}' are not finite; are its weights sound?")
    following = np.roll(values, -1, axis=1)
    return {
        "layers": np.array(list(layers.depths)),
        "depths": np.array(list(layers.depths.values())),
        "sizes": np.array(list(layers.sizes.values())),
        "steps": np.array(steps),
        "left_out": np.array(layers.left_out, dtype=str),
        "sum": values.sum(axis=0),
        "squares": (values**2).sum(axis=0),
        "products": (values * following).sum(axis=0),  # those across two layers are not used
    }


def _size_of(map_: torch.Tensor) -> torch.Tensor:
    return torch.tensor(map_.shape[2:])


def _steps(probe: Probe, layer: str, size: Size) -> int:
    try:
        return probe.steps(size)
    except InputError as error:
        raise InputError(f"layer '{layer}': {error}") from error


def _spectrum_steps(size: Size, reduction: str) -> int:
    if reduction == "diagonal" and size[0] != size[1]:
        raise InputError(
            f"maps of {size[0]}x{size[1]} pixels have no diagonal; take the radial mean: --reduction radial"
        )
    steps = len(spectrum.frequencies(size, reduction))
    return steps if steps > 1 else 0
