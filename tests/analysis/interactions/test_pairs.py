"""Which pairs are drawn; that bad ones are named is tested with ``estimate``."""

import math
from itertools import combinations

import numpy as np
import pytest

from a2mim.analysis.interactions.pairs import choose_pairs, clamped_pairs, neighbour_pairs


def brute_near(grid, distance):
    cells = [(row, col) for row in range(grid[0]) for col in range(grid[1])]
    return {
        (a[0] * grid[1] + a[1], b[0] * grid[1] + b[1])
        for a, b in combinations(cells, 2)
        if max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= distance
    }


@pytest.mark.parametrize("grid", [(6, 6), (1, 7), (5, 2), (3, 9)])
@pytest.mark.parametrize("distance", [1, 2, 3])
def test_neighbours_are_all_near_pairs_once(grid, distance):
    pairs = neighbour_pairs(grid, 10**6, np.random.default_rng(0), distance)
    assert len(pairs) == len({frozenset(pair) for pair in pairs.tolist()})
    assert {tuple(sorted(pair)) for pair in pairs.tolist()} == brute_near(grid, distance)


def test_neighbours_are_drawn_without_preference():
    rng, near = np.random.default_rng(0), sorted(brute_near((4, 4), 2))
    counts = dict.fromkeys(near, 0)
    for _ in range(2000):
        for pair in neighbour_pairs((4, 4), 10, rng).tolist():
            counts[tuple(sorted(pair))] += 1
    expected = 2000 * 10 / len(near)
    assert np.abs(np.array(list(counts.values())) - expected).max() < 5 * math.sqrt(expected)


def test_clamped_pairs_are_near_and_prefer_the_border():
    rng, near = np.random.default_rng(0), brute_near((8, 8), 2)
    counts = dict.fromkeys(near, 0)
    for _ in range(300):
        pairs = clamped_pairs((8, 8), 20, rng)
        assert len({frozenset(pair) for pair in pairs.tolist()}) == len(pairs) == 20
        for pair in pairs.tolist():
            counts[tuple(sorted(pair))] += 1
    # cell (2, 0) reaches (0, 0) by three steps that end above row 0 or left of column 0; (4, 2) reaches (2, 2) by one
    assert counts[0, 16] > 2 * counts[18, 34]
    assert len(clamped_pairs((3, 2), 50, rng)) == len(brute_near((3, 2), 2))


def test_a_given_distance_reaches_every_drawing():
    rng = np.random.default_rng(0)
    for kind in ("neighbours", "clamped"):
        pairs = choose_pairs(kind, 64, (8, 8), 100, rng, distance=1)
        assert {tuple(sorted(pair)) for pair in pairs.tolist()} <= brute_near((8, 8), 1)
