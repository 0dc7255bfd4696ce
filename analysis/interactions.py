"""Multi-order interactions between image patches (section 3.2 of the paper): Eq. (1) I(m) and Eq. (2) J(m).

``estimate`` needs games only (see ``games.py``). What it draws for an image, pairs and contexts, depends on the seed
and the image's id alone, so that several models, in any order and batch size, are asked the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from tqdm import tqdm

from a2mim import seeds
from a2mim.errors import InputError

from .games import Bools, Floats, Game, check_scores

Ints = npt.NDArray[np.int64]

PAPER_RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
PAIRS = ("neighbours", "clamped", "all")
RESAMPLES = 1000
BLOCK = 4096  # contexts evaluated in one go: bounds the memory of the coalitions, changes no result


def pair_deltas(game: Game, pairs: npt.ArrayLike, contexts: npt.ArrayLike) -> Floats:
    """Δf(i, j, S) of Eq. (1) = f(S + i + j) − f(S + i) − f(S + j) + f(S).

    Args:
        game: coalitions, bool (n, players) -> n scores.
        pairs: players (i, j), integers (P, 2).
        contexts: S for each pair, bool (P, T, players), True = present; without i and j themselves.

    Returns:
        float64 (P, T), in units of the score.

    Raises:
        InputError: shapes that do not fit, a player that does not exist, i = j, or a context that holds i or j.
        RunError: a score that is not finite.
    """
    contexts = np.asarray(contexts)
    if contexts.ndim != 3 or contexts.dtype != np.bool_:
        raise InputError(f"contexts must be bool (P, T, players), got {contexts.dtype} {contexts.shape}")
    n_pairs, n_contexts, n_players = contexts.shape
    pairs = check_pairs(pairs, n_players)
    if len(pairs) != n_pairs:
        raise InputError(f"{len(pairs)} pairs, but contexts for {n_pairs}")
    row, (i, j) = np.arange(n_pairs), pairs.T
    inside = contexts[row, :, i] | contexts[row, :, j]  # (P, T)
    if inside.any():
        first = int(inside.any(axis=1).argmax())
        raise InputError(f"a context of pair {_pair(pairs[first])} holds one of the two; contexts go without both")
    coalitions = np.repeat(contexts[None], 4, axis=0)  # (4, P, T, players): S + i + j, S + i, S + j, S
    coalitions[:2, row, :, i] = True
    coalitions[::2, row, :, j] = True
    flat = coalitions.reshape(-1, n_players)
    both, only_i, only_j, none = check_scores(game(flat), len(flat)).reshape(4, n_pairs, n_contexts)
    return both - only_i - only_j + none


def pair_strength(deltas: Floats) -> Floats:
    """|I^(m)(i, j)| of Eqs. (1) and (2), the expectation over contexts replaced by their mean: (..., T) -> (...)."""
    return np.abs(deltas.mean(axis=-1))


def relative_strength(strength: Floats) -> Floats:
    """J^(m) of Eq. (2): strength over its mean over the orders, (..., orders) -> the same; its own mean is 1.

    A strength of zero at every order has no shape: NaN.
    """
    mean = strength.mean(axis=-1, keepdims=True)
    return np.divide(strength, mean, out=np.full_like(strength, np.nan), where=mean > 0)


def orders_of(ratios: Sequence[float], n_players: int) -> Ints:
    """Order m = int((n − 2)·ratio) for each ratio, as in the published code; int64 (ratios,)."""
    if len(ratios) == 0:
        raise InputError("no ratios given; the paper's are a2mim.analysis.interactions.PAPER_RATIOS")
    for ratio in ratios:
        if not 0 <= ratio <= 1:
            raise InputError(f"ratio {ratio:g} is outside 0 to 1; an order is its ratio of the other players")
    if n_players < 2:
        raise InputError(f"{n_players} player(s) have no pairs; take a finer grid")
    return np.array([int((n_players - 2) * ratio) for ratio in ratios])


def check_pairs(pairs: npt.ArrayLike, n_players: int) -> Ints:
    """The pairs as integers (P, 2), or InputError: another shape, a player that does not exist, i = j."""
    array = np.asarray(pairs)
    if array.ndim != 2 or array.shape[1] != 2 or len(array) == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(f"pairs must be integers (P, 2), one pair or more, got {array.dtype} {array.shape}")
    for pair in array[(array < 0).any(axis=1) | (array >= n_players).any(axis=1)]:
        raise InputError(f"pair {_pair(pair)} is out of range: players are 0 to {n_players - 1}")
    for pair in array[array[:, 0] == array[:, 1]]:
        raise InputError(f"pair {_pair(pair)}: a player does not interact with itself")
    return array.astype(np.int64)


def _pair(pair: Ints) -> str:
    return f"({pair[0]}, {pair[1]})"


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


def _some(pairs: Ints, n_pairs: int, generator: np.random.Generator) -> Ints:
    return pairs[generator.choice(len(pairs), min(n_pairs, len(pairs)), replace=False)]


def choose_pairs(
    pairs: str | npt.ArrayLike,
    n_players: int,
    grid: tuple[int, int] | None,
    n_pairs: int,
    generator: np.random.Generator,
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
    return (neighbour_pairs if pairs == "neighbours" else clamped_pairs)(grid, n_pairs, generator)


def draw_contexts(
    pair: npt.ArrayLike, order: int, n_players: int, n_contexts: int, generator: np.random.Generator
) -> Bools:
    """Contexts of one pair: bool (T, players), each an independent, uniform draw of ``order`` of the other players."""
    rank = generator.random((n_contexts, n_players))
    rank[:, np.asarray(pair)] = 2.0  # behind all others, so never among the first n - 2
    contexts = np.zeros(rank.shape, dtype=bool)
    np.put_along_axis(contexts, np.argpartition(rank, order, axis=1)[:, :order], True, axis=1)
    return contexts


class Measured(NamedTuple):
    """What an estimator finds for the pairs of one image at one order."""

    strength: Floats  # (P,) estimate of |I^(m)(i, j)|
    noise: Floats  # (P,) standard deviation of the mean over contexts; 0 where every context was seen
    evaluations: int  # coalitions that the game was asked for


def paper_estimator(
    game: Game, pairs: Ints, order: int, n_players: int, n_contexts: int, key: tuple[int | str, ...]
) -> Measured:
    """The published estimator of |I^(m)(i, j)|, Eq. (1): |mean of Δf over T random contexts of each pair|.

    The first and the last order have one context only: it is evaluated once, which gives the same number. The contexts
    of a pair depend on ``key``, the order and the two players alone.
    """
    one_context = order in (0, n_players - 2)
    n_contexts = 1 if one_context else n_contexts
    step = max(1, BLOCK // n_contexts)
    found = []
    for start in range(0, len(pairs), step):
        contexts = []
        for pair in pairs[start : start + step].tolist():
            generator = seeds.numpy_generator(*key, "contexts", order, *sorted(pair))
            contexts.append(draw_contexts(pair, order, n_players, n_contexts, generator))
        found.append(pair_deltas(game, pairs[start : start + step], np.stack(contexts)))
    deltas = np.concatenate(found)  # (P, T)
    if one_context:
        noise = np.zeros(len(pairs))
    elif n_contexts == 1:
        noise = np.full(len(pairs), np.nan)
    else:
        noise = deltas.std(axis=1, ddof=1) / math.sqrt(n_contexts)
    return Measured(pair_strength(deltas), noise, 4 * deltas.size)


ESTIMATORS: dict[str, Callable[..., Measured]] = {"paper": paper_estimator}


@dataclass(frozen=True)
class InteractionResult:
    """Strength and J(m) of Eq. (2) over a set of images, with how they were got.

    All arrays are (ratios,). ``ci_*`` and ``J_ci_*`` are 95 % bootstrap intervals. ``noise_floor``, in units of
    strength, is what the estimator would give on average if every interaction were zero: its expected error alone (NaN
    where one context leaves it unknown). ``evaluations`` counts coalitions; ratios of the same order share one
    measurement and repeat its count. ``n_contexts`` is the setting; the first and the last order have one context.
    """

    ratios: Floats
    orders: Ints
    strength: Floats
    ci_low: Floats
    ci_high: Floats
    J: Floats
    J_ci_low: Floats
    J_ci_high: Floats
    noise_floor: Floats
    evaluations: Ints
    n_players: int
    n_images: int
    n_pairs: int
    n_contexts: int
    seed: int
    estimator: str

    def to_frame(self) -> pd.DataFrame:
        """One row for each ratio; the columns of interactions.csv without ``checkpoint``."""
        columns = ("strength", "ci_low", "ci_high", "J", "J_ci_low", "J_ci_high", "noise_floor")
        counts = ("n_images", "n_pairs", "n_contexts", "evaluations")
        table: dict[str, Any] = {"ratio": self.ratios, "order": self.orders}
        return pd.DataFrame(table | {name: getattr(self, name) for name in columns + counts})


def estimate(
    games: Iterable[Game],
    n_players: int,
    *,
    grid: tuple[int, int] | None = None,
    ratios: Sequence[float] = PAPER_RATIOS,
    pairs: str | npt.ArrayLike = "neighbours",
    n_pairs: int = 50,
    n_contexts: int = 50,
    estimator: str = "paper",
    seed: int = 0,
    ids: Iterable[int | str] | None = None,
    progress: str | None = None,
) -> InteractionResult:
    """J(m) of Eq. (2): the relative strength of interactions whose context has m players.

    Args:
        games: one for each image; a generator will do, since only pair averages are kept.
        n_players: players n of every game.
        grid: (rows, cols) of the players, for pairs of neighbours; by default the ``grid`` of the first game.
        ratios: orders m = int((n − 2)·ratio).
        pairs: drawn anew for each image, without replacement: ``neighbours`` within two rows and columns; ``clamped``,
            the published code's drawing, which prefers the border; ``all`` any two players; or an array (P, 2) for all
            images.
        n_pairs: pairs of each image, or all there are if they are fewer.
        n_contexts: contexts T of each pair and order.
        estimator: ``paper``.
        seed: with the image's id, it names every draw.
        ids: what each image is called in the seeds; by default its game's ``id``, else its position.
        progress: label of a progress bar, which knows the time left if ``games`` has a length; none without it.

    Raises:
        InputError: a setting that cannot be, no games, a game whose scores have the wrong shape.
        RunError: a score that is not finite.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator '{estimator}'; known: {', '.join(ESTIMATORS)}")
    for name, count in (("n_pairs", n_pairs), ("n_contexts", n_contexts)):
        if count < 1:
            raise InputError(f"{name} is {count}; it must be 1 or more")
    orders, rows = np.unique(orders_of(ratios, n_players), return_inverse=True)
    named = None if ids is None else iter(ids)
    found: list[list[Measured]] = []
    total = len(games) * len(orders) if isinstance(games, Sized) else None
    with tqdm(desc=progress, total=total, unit="order", disable=None if progress else True) as bar:
        for position, game in enumerate(games):
            key = seed, _image_id(game, position, named)
            grid = grid or getattr(game, "grid", None)
            drawn = choose_pairs(pairs, n_players, grid, n_pairs, seeds.numpy_generator(*key, "pairs"))
            found.append([])
            for order in orders.tolist():
                found[-1].append(ESTIMATORS[estimator](game, drawn, order, n_players, n_contexts, key))
                bar.update()
    if not found:
        raise InputError("no games given: there is no image to measure")
    about = dict(n_players=n_players, n_contexts=n_contexts, seed=seed, estimator=estimator)
    return _summary(np.asarray(ratios, np.float64), rows, orders, found, about)


def _image_id(game: Game, position: int, named: Iterator[int | str] | None) -> int | str:
    if named is not None:
        image_id = next(named, None)
        if image_id is None:
            raise InputError(f"{position} ids given, but there are more games; give one id for each")
        return image_id
    image_id = getattr(game, "id", None)
    return position if image_id is None else image_id


def _summary(ratios: Floats, rows: Ints, orders: Ints, found: list[list[Measured]], about: dict) -> InteractionResult:
    """Averages and intervals over the images; ``rows`` tells which measured order each ratio asks for."""
    strength = np.array([[at_order.strength for at_order in image] for image in found])[:, rows]  # (images, ratios, P)
    noise = np.array([[at_order.noise for at_order in image] for image in found])[:, rows]
    evaluations = np.array([[at_order.evaluations for at_order in image] for image in found])[:, rows]
    n_images, _, n_pairs = strength.shape
    mean = strength.mean(axis=(0, 2))
    resampled = bootstrap(strength, seeds.numpy_generator(about["seed"], "bootstrap"))
    low, high = np.quantile(resampled, (0.025, 0.975), axis=0)
    J_low, J_high = np.quantile(relative_strength(resampled), (0.025, 0.975), axis=0)
    return InteractionResult(
        ratios=ratios,
        orders=orders[rows],
        strength=mean,
        ci_low=low,
        ci_high=high,
        J=relative_strength(mean),
        J_ci_low=J_low,
        J_ci_high=J_high,
        # the mean of |N(0, s)| is s·sqrt(2/π)
        noise_floor=math.sqrt(2 / math.pi) * noise.mean(axis=(0, 2)),
        evaluations=evaluations.sum(axis=0),
        n_images=n_images,
        n_pairs=n_pairs,
        **about,
    )


def bootstrap(strength: Floats, generator: np.random.Generator) -> Floats:
    """Two-stage bootstrap of the mean strength: (images, ratios, P) -> (resamples, ratios).

    Images are drawn with replacement, then pairs within each drawn image; with one image, its pairs alone. All ratios
    see the same draw, as J(m) compares them. The variation between pairs enters twice, through the images' means too:
    intervals are up to sqrt(2) too wide where images are all alike. Below some ten images they are too narrow instead.
    """
    n_images, n_ratios, n_pairs = strength.shape
    by_pair = strength.transpose(0, 2, 1).reshape(-1, n_ratios)  # (images * P, ratios)
    means = np.empty((RESAMPLES, n_ratios))
    for resample in range(RESAMPLES):
        times = generator.multinomial(n_images, np.full(n_images, 1 / n_images))
        # an image that was drawn c times has its P pairs drawn c·P times in all
        weight = generator.multinomial(times * n_pairs, np.full(n_pairs, 1 / n_pairs))  # (images, P)
        means[resample] = weight.ravel() @ by_pair / (n_images * n_pairs)
    return means
