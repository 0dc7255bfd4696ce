"""Which pairs of players are asked about: near ones, as the published code draws them, any two, or a given list."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from a2mim.errors import InputError

Ints = npt.NDArray[np.int64]

PAIRS = ("neighbours", "clamped", "all")


def choose_pairs(
    pairs: str | npt.ArrayLike,
    n_players: int,
    grid: tuple[int, int] | None,
    n_pairs: int,
    generator: np.random.Generator,
    *,
    distance: int = 2,
) -> Ints:
    """The pairs of one image, int64 (P, 2); see ``estimate`` for the choices.

    Raises:
        InputError: an unknown choice, a grid that is needed and not given or has another number of cells, a pair that
            cannot be.
    """
    if not isinstance(pairs, str):
        return check_pairs(pairs, n_players)
    if pairs not in PAIRS:
        raise InputError(f"unknown pairs '{pairs}'; known: {', '.join(PAIRS)}, or an array (P, 2)")
    if pairs == "all":
        return all_pairs(n_players, n_pairs, generator)
    if grid is None:
        raise InputError(f"pairs '{pairs}' need the grid=(rows, cols) of the players; pairs 'all' need none")
    if grid[0] * grid[1] != n_players:
        raise InputError(f"a grid of {grid[0]}x{grid[1]} has {grid[0] * grid[1]} cells, not {n_players} players")
    return (neighbour_pairs if pairs == "neighbours" else clamped_pairs)(grid, n_pairs, generator, distance)


def neighbour_pairs(grid: tuple[int, int], n_pairs: int, generator: np.random.Generator, distance: int = 2) -> Ints:
    """Pairs of near cells, each with the same chance: int64 (P, 2), no pair twice.

    Near means a Chebyshev distance of at most ``distance``: 24 neighbours for 2, fewer at the border. Where the grid
    has no more than ``n_pairs`` such pairs, all of them come.
    """
    return _some(_near_pairs(grid, distance), n_pairs, generator)


def clamped_pairs(grid: tuple[int, int], n_pairs: int, generator: np.random.Generator, distance: int = 2) -> Ints:
    """Pairs of near cells as the published code draws them: int64 (P, 2), no pair twice in either order.

    A cell, uniformly; a step of up to ``distance`` rows and columns, uniformly; its end clamped to the grid. So pairs
    at the border come more often than others. ``neighbour_pairs`` has no such bias.
    """
    rows, cols = grid
    wanted = min(n_pairs, len(_near_pairs(grid, distance)))
    drawn: dict[frozenset[int], tuple[int, int]] = {}
    while len(drawn) < wanted:
        row, col = int(generator.integers(rows)), int(generator.integers(cols))
        down, right = generator.integers(-distance, distance + 1, 2).tolist()
        i = row * cols + col
        j = min(max(row + down, 0), rows - 1) * cols + min(max(col + right, 0), cols - 1)
        if i != j:
            drawn.setdefault(frozenset((i, j)), (i, j))
    return np.array(list(drawn.values()))


def all_pairs(n_players: int, n_pairs: int, generator: np.random.Generator) -> Ints:
    """Pairs of any two players, each with the same chance: int64 (P, 2), no pair twice, at most ``n_pairs``."""
    return _some(np.stack(np.triu_indices(n_players, 1), axis=1), n_pairs, generator)


def _near_pairs(grid: tuple[int, int], distance: int) -> Ints:
    """Every unordered pair of cells within the distance, once: from the upper cell, in a row from the left one."""
    rows, cols = grid
    cells = np.arange(rows * cols).reshape(rows, cols)
    near = [np.empty((0, 2), np.int64)]
    for down in range(min(distance, rows - 1) + 1):
        for right in range(-min(distance, cols - 1), min(distance, cols - 1) + 1):
            if (down, right) > (0, 0):
                first = cells[: rows - down, max(0, -right) : cols - max(0, right)].ravel()
                near.append(np.stack([first, first + down * cols + right], axis=1))
    return np.concatenate(near)


def check_pairs(pairs: npt.ArrayLike, n_players: int) -> Ints:
    """The pairs as integers (P, 2), or InputError: another shape, a player that does not exist, i = j."""
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"pairs must be integers (P, 2), one pair or more, got {array.dtype} {array.shape}")
    for pair in array[(array < 0).any(axis=1) | (array >= n_players).any(axis=1)]:
        raise InputError(f"pair {describe(pair)} is out of range: players are 0 to {n_players - 1}")
    for pair in array[array[:, 0] == array[:, 1]]:
        raise InputError(f"pair {describe(pair)}: a player does not interact with itself")
    return array.astype(np.int64)


def _some(pairs: Ints, n_pairs: int, generator: np.random.Generator) -> Ints:
    return pairs[generator.choice(len(pairs), min(n_pairs, len(pairs)), replace=False)]


def describe(pair: Ints) -> str:
    """A pair in messages."""
    return f"({pair[0]}, {pair[1]})"
