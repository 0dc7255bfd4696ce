"""Multi-order interactions between image patches (section 3.2 of the paper): Eq. (1) I(m) and Eq. (2) J(m).

Sources: "Architecture-Agnostic Masked Image Modeling – From ViT back to CNN" (arXiv 2205.13943), section 3.2 and
appendix B.2; "Discovering and Explaining the Representation Bottleneck of DNNs" (arXiv 2111.06236), for the orders.

``estimate`` needs games only (see ``games.py``). What it draws for an image, pairs and contexts, depends on the seed
and the image's id alone, so that several models, in any order and batch size, are asked the same questions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.integrate import trapezoid
from tqdm import tqdm

from a2mim import seeds
from a2mim.errors import InputError

from ..core.arrays import Floats
from ..core.statistics import interval, resampled_means
from .estimators import DEFAULTS, ESTIMATORS, Measured, Once, pair_deltas
from .games import Game
from .pairs import Ints, choose_pairs
from .settings import NORMALISE

__all__ = [
    "PAPER_RATIOS",
    "InteractionResult",
    "estimate",
    "orders_of",
    "pair_deltas",
    "ratios_of",
    "relative_strength",
]

PAPER_RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


def relative_strength(strength: Floats, ratios: npt.ArrayLike = (), normalise: str = "ratios") -> Floats:
    """J^(m) of Eq. (2): strength over its mean over the orders, (..., ratios) -> the same.

    The mean is that of the measured ratios as the published code takes it, so that J has mean 1 and closely measured
    ends weigh more; or, ``uniform-m``, the mean over all orders by the trapezoid rule on ``ratios``. A strength of zero
    at every order has no shape: NaN.

    Raises:
        InputError: another ``normalise``, or ``uniform-m`` with fewer than two different ratios.
    """
    mean = _over_orders(strength, ratios, normalise)
    return np.divide(strength, mean, out=np.full_like(strength, np.nan), where=mean > 0)


def influence(values: Floats, ratios: npt.ArrayLike = (), normalise: str = "ratios") -> Floats:
    """How much J moves with each pair's strength: (images, ratios, P) -> the same, of mean 0.

    The derivative of J = s/M(s), M the mean over the orders, at the mean strength s: (v − J·M(v))/M(s) for a pair's v.
    What an image or a pair has in common at all orders drops out, as it does in J.
    """
    by_pair = values.transpose(0, 2, 1)  # (images, P, ratios)
    strength = by_pair.mean(axis=(0, 1))
    J = relative_strength(strength, ratios, normalise)
    moved = by_pair - J * _over_orders(by_pair, ratios, normalise)
    mean = _over_orders(strength, ratios, normalise)
    return np.divide(moved, mean, out=np.full_like(moved, np.nan), where=mean > 0).transpose(0, 2, 1)


def _over_orders(strength: Floats, ratios: npt.ArrayLike, normalise: str) -> Floats:
    """The mean that ``relative_strength`` divides by, (..., ratios) -> (..., 1)."""
    if normalise not in NORMALISE:
        raise InputError(f"unknown normalise '{normalise}'; known: {', '.join(NORMALISE)}")
    if normalise == "ratios":
        return strength.mean(axis=-1, keepdims=True)
    at = np.argsort(ratios, kind="stable")
    x = np.asarray(ratios, np.float64)[at]
    if len(x) < 2 or x[0] == x[-1]:
        raise InputError("normalise 'uniform-m' needs two different ratios or more")
    return np.asarray(trapezoid(strength[..., at], x, axis=-1))[..., None] / (x[-1] - x[0])


def orders_of(ratios: Sequence[float], n_players: int) -> Ints:
    """Order m = int((n − 2)·ratio) for each ratio, as in the published code; int64 (ratios,)."""
    if len(ratios) == 0:
        raise InputError("no ratios given; the paper's are a2mim.analysis.interactions.estimating.PAPER_RATIOS")
    for ratio in ratios:
        if not 0 <= ratio <= 1:
            raise InputError(f"ratio {ratio:g} is outside 0 to 1; an order is its ratio of the other players")
    if n_players < 2:
        raise InputError(f"{n_players} player(s) have no pairs; take a finer grid")
    return np.array([int((n_players - 2) * ratio) for ratio in ratios])


def ratios_of(orders: Sequence[int], n_players: int) -> tuple[float, ...]:
    """Ratios that stand for these orders m: ``orders_of`` gives the same numbers back.

    Raises:
        InputError: an order below 0, or of more players than a pair leaves.
    """
    found = []
    for order in orders:
        if not 0 <= order <= n_players - 2:
            raise InputError(f"order {order} is out of range: {n_players} players allow 0 to {n_players - 2}")
        ratio = order / max(n_players - 2, 1)
        found.append(ratio if int((n_players - 2) * ratio) == order else math.nextafter(ratio, 1))
    return tuple(found)


class Store(Protocol):
    """Where finished orders of an image are kept."""

    def load(self, name: str, /) -> Mapping[str, Any] | None: ...

    def save(self, name: str, arrays: Mapping[str, Any], /) -> None: ...


class ImageMeasured(NamedTuple):
    """What was measured on one image; the first axis runs over the distinct orders."""

    pairs: Ints  # (P, 2)
    strength: Floats  # (orders, P); see ``estimators.Measured``
    square: Floats
    floor: Floats
    evaluations: Ints  # (orders,)


@dataclass(frozen=True)
class InteractionResult:
    """Strength and J(m) of Eq. (2) over a set of images, with how they were got.

    All arrays are (ratios,) but ``values``. ``ci_*``, ``J_ci_*`` and ``rms_ci_*`` are 95 % bootstrap intervals
    (``intervals``; of J by ``influence``). ``noise_floor``, in units of strength, is what the estimator would give on
    average if every interaction were zero: its expected error alone (NaN where one context leaves it unknown). ``rms``
    is the root of the mean I² over pairs and images, whose estimate needs no correction. ``evaluations`` counts
    coalitions; ratios of the same order share one measurement and repeat its count. ``n_contexts`` is the setting; an
    order that has fewer contexts has all of them. ``values`` (images, ratios, P) are the strengths of single pairs, and
    ``pairs`` (images, P, 2) these pairs.
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
    rms: Floats
    rms_ci_low: Floats
    rms_ci_high: Floats
    evaluations: Ints
    n_players: int
    n_images: int
    n_pairs: int
    n_contexts: int
    seed: int
    estimator: str
    values: Floats = field(repr=False)
    pairs: Ints = field(repr=False)
    normalise: str = "ratios"

    def to_frame(self) -> pd.DataFrame:
        """One row for each ratio; the columns of interactions.csv without ``checkpoint``."""
        columns = ("strength", "ci_low", "ci_high", "J", "J_ci_low", "J_ci_high", "noise_floor")
        counts = ("n_images", "n_pairs", "n_contexts", "evaluations")
        table: dict[str, Any] = {"ratio": self.ratios, "order": self.orders}
        return pd.DataFrame(table | {name: getattr(self, name) for name in columns + counts})

    def rms_frame(self) -> pd.DataFrame:
        """Root-mean-square strength by ratio; the columns of interactions_rms.csv without ``checkpoint``."""
        return pd.DataFrame(
            {name: getattr(self, name) for name in ("ratios", "orders", "rms", "rms_ci_low", "rms_ci_high")}
        ).rename(columns={"ratios": "ratio", "orders": "order"})


def estimate(
    games: Iterable[Game],
    n_players: int,
    *,
    grid: tuple[int, int] | None = None,
    ratios: Sequence[float] = PAPER_RATIOS,
    orders: Sequence[int] | None = None,
    pairs: str | npt.ArrayLike = "neighbours",
    n_pairs: int | None = None,
    n_contexts: int | None = None,
    distance: int = 2,
    estimator: str = "efficient",
    normalise: str = "ratios",
    seed: int = 0,
    ids: Iterable[int | str] | None = None,
    parts: Store | None = None,
    progress: str | None = None,
) -> InteractionResult:
    """J(m) of Eq. (2): the relative strength of interactions whose context has m players.

    Args:
        games: one for each image; a generator will do, since only what was measured on pairs is kept.
        n_players: players n of every game.
        grid: (rows, cols) of the players, for pairs of neighbours; by default the ``grid`` of the first game.
        ratios: orders m = int((n − 2)·ratio).
        orders: numbers m of players in the context, instead of ratios.
        pairs: drawn anew for each image, without replacement: ``neighbours`` within ``distance`` rows and columns;
            ``clamped``, the published code's drawing, which prefers the border; ``all`` any two players; or an array
            (P, 2) for all images.
        n_pairs: pairs of each image, or all there are if they are fewer. Default: 200, of ``paper`` 50.
        n_contexts: contexts T of each pair and order. Default: 12 (``efficient`` takes half of them at orders near
            the first and the last), of ``paper`` 50.
        distance: largest number of rows or columns between near cells, 1 or more.
        estimator: ``efficient``, or ``paper`` for the published one; see ``estimators``.
        normalise: over which orders J has mean 1; see ``relative_strength``.
        seed: with the image's id, it names every draw.
        ids: what each image is called in the seeds; by default its game's ``id``, else its position.
        parts: where finished orders are kept, so that an interrupted estimate goes on from them.
        progress: label of a progress bar, which knows the time left if ``games`` has a length; none without it.

    Example:
        >>> import numpy as np
        >>> of_two = lambda coalitions: 1.0 * (coalitions[:, :2].all(axis=1))  # players 0 and 1 interact, no others do
        >>> result = estimate([of_two], 4, ratios=(0.0, 1.0), pairs=[(0, 1), (2, 3)])
        >>> result.strength.tolist()
        [0.5, 0.5]

    Raises:
        InputError: a setting that cannot be, no games, a game whose scores have the wrong shape.
        RunError: a score that is not finite.
    """
    if estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator '{estimator}'; known: {', '.join(ESTIMATORS)}")
    usual = DEFAULTS[estimator]
    n_pairs, n_contexts = usual[0] if n_pairs is None else n_pairs, usual[1] if n_contexts is None else n_contexts
    for name, count in (("n_pairs", n_pairs), ("n_contexts", n_contexts), ("distance", distance)):
        if count < 1:
            raise InputError(f"{name} is {count}; it must be 1 or more")
    ratios = ratios if orders is None else ratios_of(orders, n_players)
    distinct = np.unique(orders_of(ratios, n_players))
    relative_strength(np.ones(len(ratios)), ratios, normalise)  # refuses what cannot be before anything is measured
    about = dict(n_contexts=n_contexts, seed=seed, estimator=estimator, normalise=normalise)
    named = None if ids is None else iter(ids)
    found: list[ImageMeasured] = []
    total = len(games) * len(distinct) if isinstance(games, Sized) else None
    with tqdm(desc=progress, total=total, unit="order", disable=None if progress else True) as bar:
        for position, game in enumerate(games):
            image = measure_image(
                game,
                n_players,
                key=(seed, _image_id(game, position, named)),
                grid=grid or getattr(game, "grid", None),
                orders=distinct,
                pairs=pairs,
                n_pairs=n_pairs,
                n_contexts=n_contexts,
                distance=distance,
                estimator=estimator,
                parts=parts,
                tick=bar.update,
            )
            if found and len(image.pairs) != len(found[0].pairs):
                raise InputError(f"{len(image.pairs)} pairs in one image and {len(found[0].pairs)} in another")
            found.append(image)
    if not found:
        raise InputError("no games given; give at least one")
    return summarise(ratios, n_players, found, about)


def measure_image(
    game: Game,
    n_players: int,
    *,
    key: tuple[int | str, ...],
    grid: tuple[int, int] | None,
    orders: Ints,
    pairs: str | npt.ArrayLike,
    n_pairs: int,
    n_contexts: int,
    distance: int,
    estimator: str,
    parts: Store | None = None,
    tick: Callable[[], object] = lambda: None,
) -> ImageMeasured:
    """One image at every order; orders that ``parts`` has are not measured again.

    Args:
        key: names every draw: the seed and the image's id.
        orders: distinct and rising.
        parts: where finished orders are kept.
        tick: is called after each order.
        The rest: see ``estimate``.
    """
    generator = seeds.numpy_generator(*key, "pairs")
    drawn = choose_pairs(pairs, n_players, grid, n_pairs, generator, distance=distance)
    once = Once(game)
    # coalitions of an order m have m to m + 2 players
    shared = len(orders) > 1 and np.diff(orders).min() <= 2
    name = part_name(key[1])
    columns = {column: np.full((len(orders), len(drawn)), np.nan) for column in Measured._fields}
    image = ImageMeasured(drawn, **columns, evaluations=np.zeros(len(orders), dtype=np.int64))
    kept = parts.load(name) if parts else None
    if kept:
        image = ImageMeasured(**{column: kept[column] for column in ImageMeasured._fields})
    for row, order in enumerate(orders.tolist()):
        if np.isnan(image.strength[row]).any():
            before = once.evaluations
            once.forget(order)
            measured = ESTIMATORS[estimator](once, drawn, order, n_players, n_contexts, key)
            for column in Measured._fields:
                getattr(image, column)[row] = getattr(measured, column)
            image.evaluations[row] = once.evaluations - before
            # where orders share coalitions, one that goes on from a part would ask again: then images are kept whole
            if parts and (not shared or row == len(orders) - 1):
                parts.save(name, image._asdict())
        tick()
    return image


def part_name(image_id: int | str) -> str:
    """What the part of an image is called (``parts``)."""
    return f"image-{image_id}"


def _image_id(game: Game, position: int, named: Iterator[int | str] | None) -> int | str:
    if named is not None:
        image_id = next(named, None)
        if image_id is None:
            raise InputError(f"{position} ids given, but there are more games; give one id for each")
        return image_id
    image_id = getattr(game, "id", None)
    return position if image_id is None else image_id


def summarise(
    ratios: Sequence[float], n_players: int, found: Sequence[ImageMeasured], about: Mapping[str, Any]
) -> InteractionResult:
    """Averages and intervals over the images; ``about`` has n_contexts, seed, estimator and normalise."""
    orders = orders_of(ratios, n_players)
    rows = np.unique(orders, return_inverse=True)[1]  # images were measured once at each distinct order
    strength, square, floor = (
        np.stack([getattr(image, column) for image in found])[:, rows] for column in Measured._fields
    )  # (images, ratios, P)
    mean = strength.mean(axis=(0, 2))
    J = relative_strength(mean, ratios, about["normalise"])
    moved = influence(strength, ratios, about["normalise"])
    draws = seeds.numpy_generator(about["seed"], "bootstrap")
    resampled = resampled_means(np.concatenate([strength, moved, square], axis=1), draws)
    means, moves, squares = np.split(resampled, 3, axis=1)
    (low, high), (J_low, J_high) = interval(means), J + interval(moves)
    rms_low, rms_high = interval(np.sqrt(np.maximum(squares, 0)))
    return InteractionResult(
        ratios=np.asarray(ratios, np.float64),
        orders=orders,
        n_players=n_players,
        strength=mean,
        ci_low=low,
        ci_high=high,
        J=J,
        J_ci_low=J_low,
        J_ci_high=J_high,
        noise_floor=floor.mean(axis=(0, 2)),
        rms=np.sqrt(np.maximum(square.mean(axis=(0, 2)), 0)),
        rms_ci_low=rms_low,
        rms_ci_high=rms_high,
        evaluations=np.sum([image.evaluations for image in found], axis=0)[rows],
        n_images=len(found),
        n_pairs=strength.shape[2],
        values=strength,
        pairs=np.stack([image.pairs for image in found]),
        **about,
    )
