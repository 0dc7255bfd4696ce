"""Which patches of an image interact most, by order; not in the paper, drawn for a user's own checkpoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from . import style

CELL = 1.05  # side of a panel, in inches
STRONGEST = 10  # number of pairs drawn as lines
HEAT, LINES = colormaps["OrRd"], "#08306b"
FAINT, STRONG = 0.3, 0.9  # opacity of the heat, from no interaction to the strongest
CAPTION = "heat: mean strength of a cell's pairs, up to the panel's largest; lines: the ten strongest pairs"


class Maps(NamedTuple):
    """Interactions of one network on the images of the picture."""

    ratios: np.ndarray  # (ratios,)
    grid: Sequence[int]  # rows, cols
    pairs: np.ndarray  # (images, P, 2), cells
    values: np.ndarray  # (images, ratios, P), strengths


def plot(
    images: Sequence[np.ndarray], maps: Mapping[str, Maps], *, ratios: Sequence[float] = (0.05, 0.5, 0.95)
) -> Figure:
    """One row per image: the image, then one panel for each network and order.

    The heat of a cell is the mean strength |I| of its measured pairs, on a scale from 0 to the largest of the panel;
    cells without a measured pair show only the image. Lines join the ten strongest pairs of the panel; wider lines are
    stronger pairs.

    Args:
        images: (H, W, 3) each, pixels in 0..1.
        maps: network -> its interactions on these images.
        ratios: orders to show; each network shows the nearest orders that it has.

    Raises:
        ValueError: no images or networks, or maps of a different number of images.
    """
    if not images or not maps:
        raise ValueError("interaction map: no images or no networks, so there is nothing to draw")
    for name, one in maps.items():
        if len(one.pairs) != len(images) or len(one.values) != len(images):
            raise ValueError(f"interaction map: '{name}' has {len(one.pairs)} images, not {len(images)}")
    width = 1 + len(maps) * len(ratios)
    with style.apply():
        figure = Figure(figsize=(CELL * width, CELL * len(images) + 0.55), layout="constrained")
        grid = figure.add_gridspec(len(images), width)
        for row, image in enumerate(images):
            axes = figure.add_subplot(grid[row, 0])
            axes.imshow(np.clip(image, 0, 1), interpolation="nearest" if image.shape[0] < 128 else "antialiased")
            axes.set_axis_off()
            for number, (name, one) in enumerate(maps.items()):
                for place, ratio in enumerate(ratios):
                    axes = figure.add_subplot(grid[row, 1 + number * len(ratios) + place])
                    at = int(np.abs(np.asarray(one.ratios) - ratio).argmin())
                    _panel(axes, image, one.grid, one.pairs[row], one.values[row, at])
                    if row == 0:
                        title = style.short_name(name, limit=24) if place == len(ratios) // 2 else ""
                        axes.set_title(f"{title}\n$m$ = {_order(one.ratios[at])}", fontsize=7)
        figure.supxlabel(CAPTION, fontsize=7)
    return figure


def heat(grid: Sequence[int], pairs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean strength of the pairs of each cell, (rows, cols), at least 0; NaN for cells without a pair."""
    n = grid[0] * grid[1]
    total, count = np.zeros(n), np.zeros(n)
    for player in pairs.T:
        np.add.at(total, player, values)
        np.add.at(count, player, 1)
    mean = np.divide(total, count, out=np.full(n, np.nan), where=count > 0)
    return np.maximum(mean, 0).reshape(tuple(grid))


def _order(ratio: float) -> str:
    return {0.0: "0", 1.0: "$n$"}.get(float(ratio), f"{ratio:.2g}$n$")


def _panel(axes: Axes, image: np.ndarray, grid: Sequence[int], pairs: np.ndarray, values: np.ndarray) -> None:
    height, width = image.shape[:2]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)
    axes.imshow(np.clip(image, 0, 1).mean(axis=2), cmap="gray", vmin=-1.2, vmax=1, extent=extent)
    cells = heat(grid, pairs, values)
    top = np.nanmax(cells, initial=0) or 1.0
    cover = np.where(np.isfinite(cells), FAINT + (STRONG - FAINT) * np.nan_to_num(cells) / top, 0)
    colours = HEAT(np.nan_to_num(cells) / top)
    colours[..., 3] = cover
    axes.imshow(colours, extent=extent, interpolation="nearest")
    strongest = np.argsort(values)[::-1][:STRONGEST]
    side = height / grid[0], width / grid[1]
    for number in strongest[values[strongest] > 0]:
        rows, cols = np.divmod(pairs[number], grid[1])
        axes.plot(
            (cols + 0.5) * side[1] - 0.5,
            (rows + 0.5) * side[0] - 0.5,
            color=LINES,
            linewidth=0.6 + 1.2 * values[number] / values[strongest[0]],
            solid_capstyle="round",
        )
    axes.set_xlim(extent[:2])
    axes.set_ylim(extent[2:])
    axes.set_axis_off()
