"""Grids of cells over an image."""

from __future__ import annotations

from collections.abc import Sequence

from a2mim.errors import InputError


def auto_grid(img_size: Sequence[int]) -> tuple[int, int]:
    """The paper's 14x14 cells (16 pixels at 224) where 14 divides the image, else its largest divisor below 14."""
    rows, cols = (next(cells for cells in range(14, 0, -1) if side % cells == 0) for side in img_size)
    return rows, cols


def check_grid(grid: tuple[int, int], height: int, width: int) -> None:
    """Raise InputError unless the grid divides an image of height x width pixels."""
    if min(grid) < 1 or height % grid[0] or width % grid[1]:
        raise InputError(
            f"a grid of {grid[0]}x{grid[1]} does not divide an image of {height}x{width} pixels; "
            f"rows that do: {_divisors(height)}; columns: {_divisors(width)}"
        )


def _divisors(n: int) -> str:
    return ", ".join(str(k) for k in range(1, n + 1) if n % k == 0)
