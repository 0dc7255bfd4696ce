"""Figures 5, A2 and A3 of the paper: reconstructions as components are added, and without the mask token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.figure import Figure

from . import methods, reconstruction

Pixels = Mapping[str, np.ndarray]
NEEDED = ("checkpoint", "token", "caption", *reconstruction.COLUMNS)
STEPS = {  # the paper's columns, from SimMIM on
    "simmim-zero": "SimMIM (zeros)",
    "mean-fill": "+ mean colour",
    "a2mim": "A²MIM (+ frequency loss)",
}


def plot(networks: Mapping[str, Pixels], *, without_token: bool = False) -> Figure:
    """Networks side by side: originals and masked inputs once, then each prediction, alone and pasted.

    Args:
        networks: label (or "") -> reconstruct_pixels.npz: ``checkpoint``, ``token`` (n,), ``caption`` (n, images),
            ``original``, ``masked``, ``prediction``, ``pasted`` (n, images, H, W, 3) in 0..255.
        without_token: True for Figure A3: SimMIM and A2MIM (or all networks if there is neither) with and without the
            token; False for Figures 5 and A2: all networks with their token.

    Raises:
        ValueError: no network, missing arrays, or arrays of different shapes.
    """
    models, captions = {}, {}
    for label, pixels in networks.items():
        _check(pixels)
        for row, title in _chosen(pixels, without_token):
            title = f"{label}: {title}" if len(networks) > 1 else title
            models[title] = {name: pixels[name][row] / 255 for name in reconstruction.COLUMNS}
            captions[title] = [str(caption) for caption in pixels["caption"][row]]
    return reconstruction.plot(models, captions)


def _chosen(pixels: Pixels, without_token: bool) -> Iterator[tuple[int, str]]:
    """The rows to draw, with their titles."""
    names = [str(name) for name in pixels["checkpoint"]]
    compared = [name for name in dict.fromkeys(names) if methods.known(name) in ("simmim", "a2mim")]
    trained = {name: row for row, name in enumerate(names) if pixels["token"][row] == "with"}
    for row, (name, token) in enumerate(zip(names, pixels["token"], strict=True)):
        if not without_token and token == "with":
            yield row, _title(name)
        same = token != "with" and name in trained and _equal(pixels, row, trained[name])  # it has no token
        if without_token and (name in compared or not compared) and not same:
            yield row, methods.labels([name])[name] + ("" if token == "with" else ", without token")


def _equal(pixels: Pixels, row: int, other: int) -> bool:
    return bool(np.array_equal(pixels["prediction"][row], pixels["prediction"][other]))


def _title(name: str) -> str:
    if name.startswith("add-"):
        return f"+ token at {name.removeprefix('add-')}"
    return STEPS.get(name, methods.labels([name])[name])


def _check(pixels: Pixels) -> None:
    missing = [name for name in NEEDED if name not in pixels]
    if missing:
        raise ValueError(f"reconstruction pixels: arrays missing: {', '.join(missing)}")
    shape = pixels["original"].shape
    if len(shape) != 5 or any(pixels[name].shape != shape for name in reconstruction.COLUMNS):
        raise ValueError(f"reconstruction pixels: {', '.join(reconstruction.COLUMNS)} differ in shape")
    if any(len(pixels[name]) != shape[0] for name in ("checkpoint", "token", "caption")):
        raise ValueError(f"reconstruction pixels: not one name, token and caption for each of {shape[0]} rows")
