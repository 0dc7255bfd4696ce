"""Estimators of |I^(m)(i, j)|, Eq. (1): the published one, and one that needs far fewer evaluations of the model.

Both get the pairs of one image and one order. Three things make the efficient one cheap: a context is shared by all
pairs that it fits, few contexts per pair suffice once the bias of the absolute value is removed, and no coalition is
evaluated twice.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from a2mim import seeds
from a2mim.errors import InputError

from ..core.arrays import Bools, Floats
from .games import Game, check_scores
from .pairs import Ints, check_pairs, describe

Key = tuple[int | str, ...]

CONTEXTS = 12  # of the efficient estimator, for each pair and order
BLOCK = 4096  # contexts evaluated in one go: bounds the memory of the coalitions, changes no result
GROUP = 8  # pairs that share their contexts where few players are present, or few absent
ROUNDING = 1e-9  # sums below it, as a share of their terms, are zero
# share of players, present or absent, below which they are few; with 0.15 the error at 0.2n was 1.7 times as large
EDGE = 0.25


class Measured(NamedTuple):
    """What an estimator finds for the pairs of one image at one order; all (P,)."""

    strength: Floats  # estimate of |I^(m)(i, j)|
    square: Floats  # unbiased estimate of I^(m)(i, j)²
    floor: Floats  # what ``strength`` would be on average if the pair did not interact; 0 where every context was seen


class Once:
    """A game that evaluates no coalition twice; ``evaluations`` counts the coalitions that were evaluated.

    ``forget`` bounds what is remembered: the scores of one order, and of those that its neighbours share with it.
    """

    def __init__(self, game: Game) -> None:
        self.game, self.evaluations = game, 0
        self._known: dict[bytes, float] = {}

    def __call__(self, coalitions: Bools) -> Floats:
        rows = np.packbits(coalitions, axis=1)
        _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        names = [row.tobytes() for row in rows[first]]
        scores = np.array([self._known.get(name, math.nan) for name in names], dtype=np.float64)
        new = np.flatnonzero(np.isnan(scores))
        if len(new):
            asked = coalitions[first[new]]
            scores[new] = check_scores(self.game(asked), len(asked))
            self.evaluations += len(asked)
            self._known.update((names[k], float(scores[k])) for k in new)
        return scores[inverse.reshape(-1)]

    def forget(self, order: int) -> None:
        """Drop the scores of coalitions too small for this order and all larger ones."""
        self._known = {
            name: score for name, score in self._known.items() if int.from_bytes(name, "big").bit_count() >= order
        }


# --- Eq. (1)


def pair_deltas(game: Game, pairs: npt.ArrayLike, contexts: npt.ArrayLike) -> Floats:
    """Δf(i, j, S) of Eq. (1) = f(S + i + j) − f(S + i) − f(S + j) + f(S).

    Args:
        game: coalitions, bool (n, players) -> n scores.
        pairs: players (i, j), integers (P, 2).
        contexts: S for each pair, bool (P, T, players), True = present; without i and j themselves.

    Returns:
        float64 (P, T), in units of the score.

    Example:
        >>> import numpy as np
        >>> both_or_nothing = lambda coalitions: 2.0 * (coalitions[:, 0] & coalitions[:, 1])
        >>> pair_deltas(both_or_nothing, [(0, 1)], np.zeros((1, 1, 3), dtype=bool))
        array([[2.]])

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
        raise InputError(f"a context of pair {describe(pairs[first])} holds one of the two; contexts go without both")
    coalitions = np.repeat(contexts[None], 4, axis=0)  # (4, P, T, players): S + i + j, S + i, S + j, S
    coalitions[:2, row, :, i] = True
    coalitions[::2, row, :, j] = True
    flat = coalitions.reshape(-1, n_players)
    both, only_i, only_j, none = check_scores(game(flat), len(flat)).reshape(4, n_pairs, n_contexts)
    return both - only_i - only_j + none


def draw_contexts(
    pair: npt.ArrayLike, order: int, n_players: int, n_contexts: int, generator: np.random.Generator
) -> Bools:
    """Contexts of one pair: bool (T, players), each an independent, uniform draw of ``order`` of the other players."""
    rank = generator.random((n_contexts, n_players))
    rank[:, np.asarray(pair)] = 2.0  # behind all others, so never among the first n - 2
    return _lowest(rank, order)


def _lowest(rank: Floats, count: int) -> Bools:
    """In each row the ``count`` players of the lowest rank: (T, players)."""
    found = np.zeros(rank.shape, dtype=bool)
    if count == rank.shape[1]:
        found[:] = True
    elif count:
        np.put_along_axis(found, np.argpartition(rank, count - 1, axis=1)[:, :count], True, axis=1)
    return found


def every_context(pair: npt.ArrayLike, order: int, n_players: int) -> Bools:
    """All contexts of one pair: bool (C(players − 2, order), players)."""
    others = np.setdiff1d(np.arange(n_players), pair)
    chosen = list(itertools.combinations(others.tolist(), order))
    contexts = np.zeros((len(chosen), n_players), dtype=bool)
    np.put_along_axis(contexts, np.array(chosen, dtype=np.int64).reshape(len(chosen), order), True, axis=1)
    return contexts


# --- from differences to strength


def pair_strength(deltas: Floats) -> Floats:
    """|I^(m)(i, j)| of Eqs. (1) and (2), the expectation over contexts replaced by their mean: (..., T) -> (...).

    The absolute value of a mean of T noisy differences is too large on average (``debiased_strength``).
    """
    return np.abs(deltas.mean(axis=-1))


def debiased_strength(deltas: Floats) -> Floats:
    """|I^(m)(i, j)| with the noise of the contexts taken out of the absolute value: (..., T) -> (...), T >= 2.

    With Δ_t the difference in context t and Δ̄ their mean, the estimate is the average of two whose errors oppose:

        ½ ( |Δ̄| + (1/T) Σ_t sign(Σ_{s≠t} Δ_s) Δ_t )

    Let s² be the variance of a difference between contexts and p the density of I over the pairs at 0. Then the first
    is too large by p s²/T on average over pairs, as |I + noise| bends at 0 alone. The second multiplies each
    difference by a sign that is independent of it, so that its expectation is I · E[sign], too small by p s²/(T − 1)
    where that sign is wrong. The average keeps −p s²/(2T(T − 1)) and terms of higher order, which count where
    s/√T is not small against the typical |I|: at T = 12 it leaves 1 % where s = 2 |I| and 2 to 5 % where s = 3.5 |I|
    (the plain one 7 and 24 %), by the shape of the distribution of I. A pair without interaction gives half of what
    the plain one gives. Where the others sum to zero (a pair that interacts in one of its contexts only), a difference
    takes its own sign, which is then the best that is known. Single values may be negative; they are for means over
    pairs.
    """
    total = deltas.sum(axis=-1, keepdims=True)
    others = total - deltas
    silent = np.abs(others) <= ROUNDING * np.abs(deltas).sum(axis=-1, keepdims=True)
    crossed = (np.sign(np.where(silent, deltas, others)) * deltas).mean(axis=-1)
    return (np.abs(total[..., 0]) / deltas.shape[-1] + crossed) / 2


def unbiased_square(deltas: Floats) -> Floats:
    """I^(m)(i, j)²: the mean of Δ_s Δ_t over s ≠ t, (..., T) -> (...); exactly unbiased, and NaN for T = 1."""
    count = deltas.shape[-1]
    if count == 1:
        return np.full(deltas.shape[:-1], np.nan)
    return (deltas.sum(axis=-1) ** 2 - (deltas**2).sum(axis=-1)) / (count * (count - 1))


def _noise(deltas: Floats) -> Floats:
    """What |mean of T differences| is on average if they are noise around 0: sqrt(2/π) times its standard deviation."""
    count = deltas.shape[-1]
    if count == 1:
        return np.full(deltas.shape[:-1], np.nan)
    return math.sqrt(2 / math.pi) * deltas.std(axis=-1, ddof=1) / math.sqrt(count)


def _exact(deltas: Floats) -> Measured:
    """Of differences in every context that there is."""
    interaction = deltas.mean(axis=-1)
    return Measured(np.abs(interaction), interaction**2, np.zeros(len(interaction)))


# --- estimators


def paper_estimator(game: Game, pairs: Ints, order: int, n_players: int, n_contexts: int, key: Key) -> Measured:
    """The published estimator: ``pair_strength`` of T random contexts drawn for each pair alone, 4 P T evaluations.

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
        return _exact(deltas)
    return Measured(pair_strength(deltas), unbiased_square(deltas), _noise(deltas))


def efficient_estimator(game: Game, pairs: Ints, order: int, n_players: int, n_contexts: int, key: Key) -> Measured:
    """``debiased_strength`` of contexts that pairs share; exact where there are no more than T contexts.

    Which contexts are drawn depends on ``key``, the order, the pairs and T. Pairs share their contexts over the whole
    image, but in groups of ``GROUP`` at orders where few players are present or few absent (``EDGE``): there one
    context moves the differences of all pairs together, and sharing it widely would cost more in precision than it
    saves. Differences vary less with their context there, so that half of T contexts do.
    """
    if math.comb(n_players - 2, order) <= n_contexts:
        step = max(1, BLOCK // math.comb(n_players - 2, order))
        parts = (pairs[start : start + step] for start in range(0, len(pairs), step))
        every = [(part, np.stack([every_context(pair, order, n_players) for pair in part])) for part in parts]
        return _exact(np.concatenate([pair_deltas(game, part, contexts) for part, contexts in every]))
    share = min(order, n_players - 2 - order) / (n_players - 2)
    size = len(pairs)
    if share < EDGE:
        size, n_contexts = min(GROUP, len(pairs)), max(min(2, n_contexts), n_contexts // 2)
    turn = seeds.numpy_generator(*key, "groups", order).permutation(len(pairs))
    groups = [
        (turn[start : start + size], seeds.numpy_generator(*key, "shared", order, start))
        for start in range(0, len(pairs), size)
    ]
    deltas = shared_deltas(game, pairs, order, n_players, n_contexts, groups)
    strength = pair_strength(deltas) if n_contexts == 1 else debiased_strength(deltas)
    # of a pair without interaction the crossed half gives 0 on average
    return Measured(strength, unbiased_square(deltas), _noise(deltas) / 2)


def shared_deltas(
    game: Game,
    pairs: Ints,
    order: int,
    n_players: int,
    n_contexts: int,
    groups: Iterable[tuple[Ints, np.random.Generator]],
) -> Floats:
    """Δf of Eq. (1) for T contexts of each pair, float64 (P, T); the pairs of a group share the contexts they fit.

    Below the middle order, sets S of m players are drawn uniformly from all n, and S is a context for every pair of
    which neither player is in S: f(S) serves all of these pairs, f(S + i) all those with i. Above it, sets U of m + 2
    players are drawn, and U without i and j is a context for every pair that lies in U:
    Δf = f(U) − f(U − i) − f(U − j) + f(U − i − j).

    Each pair's T contexts are independent and uniform over the m-subsets of the other players. For S is uniform over
    the m-subsets of all players; given that it holds neither i nor j, all m-subsets of the others are equally likely,
    and the same goes for U without i and j, given that it holds both. Sets are drawn independently, and a pair takes
    the first T that fit it: whether it takes one depends on how many fitted before, never on what the set holds.
    Contexts of different pairs are not independent, which is what the groups bound.

    Args:
        groups: (indices of pairs, generator of their sets); each pair in one group.
    """
    deltas = np.full((len(pairs), n_contexts), np.nan)
    waves: list[_Wave] = []
    for group, generator in groups:
        for wave in _waves(pairs, group, order, n_players, n_contexts, generator):
            waves.append(wave)
            if sum(len(wave.coalitions) for wave in waves) >= BLOCK:
                _evaluate(game, waves, deltas)
                waves = []
    if waves:
        _evaluate(game, waves, deltas)
    return deltas


class _Wave(NamedTuple):
    """Coalitions to ask about, and the differences to make of their scores.

    ``rows`` (4, K) are the rows of f(S + i + j), f(S + i), f(S + j), f(S) for the K entries (pair, turn) of the result.
    """

    coalitions: Bools
    rows: Ints
    pair: Ints
    turn: Ints


def _waves(
    pairs: Ints, group: Ints, order: int, n_players: int, n_contexts: int, generator: np.random.Generator
) -> Iterator[_Wave]:
    """Sets for a group of pairs, until each pair has its contexts."""
    upper = 2 * order > n_players - 2
    size = order + 2 if upper else order
    fits = (size if upper else n_players - size) / n_players  # chance that one player is where its pair needs it
    mine = pairs[group]
    member = np.zeros((len(mine), n_players), dtype=np.float32)
    member[np.arange(len(mine))[:, None], mine] = 1
    step = max(1, BLOCK // (1 + n_players + len(mine)))
    have = np.zeros(len(mine), dtype=np.int64)
    while (have < n_contexts).any():
        wanted = math.ceil((n_contexts - have.min()) / fits**2)
        sets = _lowest(generator.random((min(step, wanted), n_players)), size)  # (V, players)
        fitting = (sets[:, mine] == upper).all(axis=2)  # (V, P)
        turn = have + np.cumsum(fitting, axis=0) - 1
        used = fitting & (turn < n_contexts)
        have = np.minimum(have + fitting.sum(axis=0), n_contexts)
        some = used.any(axis=1)
        if some.any():
            yield _wave(sets[some], used[some], turn[some], mine, member, upper, group)


def _wave(
    sets: Bools, used: Bools, turn: Ints, mine: Ints, member: npt.NDArray[np.float32], upper: bool, group: Ints
) -> _Wave:
    context, pair = np.nonzero(used)
    touched = used.astype(np.float32) @ member > 0  # (V, players): whose f(S + i) or f(U − i) is asked for
    at, player = np.nonzero(touched)
    single = np.empty(touched.shape, dtype=np.int64)
    single[at, player] = len(sets) + np.arange(len(at))
    coalitions = sets[np.concatenate([np.arange(len(sets)), at, context])]
    coalitions[single[at, player], player] = not upper
    double = len(sets) + len(at) + np.arange(len(pair))
    coalitions[double[:, None], mine[pair]] = not upper
    rows = np.stack([double, single[context, mine[pair, 0]], single[context, mine[pair, 1]], context])
    return _Wave(coalitions, rows, group[pair], turn[context, pair])


def _evaluate(game: Game, waves: Sequence[_Wave], deltas: Floats) -> None:
    """One call of the game for several waves: full batches are what makes a network fast."""
    coalitions = np.concatenate([wave.coalitions for wave in waves])
    scores = check_scores(game(coalitions), len(coalitions))
    start = 0
    for wave in waves:
        both, only_i, only_j, none = scores[start + wave.rows]
        deltas[wave.pair, wave.turn] = both - only_i - only_j + none
        start += len(wave.coalitions)


ESTIMATORS: dict[str, Callable[..., Measured]] = {"efficient": efficient_estimator, "paper": paper_estimator}
DEFAULTS = {"efficient": (200, CONTEXTS), "paper": (50, 50)}  # pairs and contexts
