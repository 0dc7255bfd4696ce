"""Cost and accuracy of the estimators of J(m): ``python -m a2mim.experiments.benchmarks interactions``.

The gain says how many times fewer evaluations the efficient estimator needs to reach the error of the published one:
the ratio (paper over efficient) of mean squared error times evaluations, where errors are those of single images'
strengths against a long reference. The variance falls as one over the evaluations, but the published estimator's bias
does not, so the gain is underestimated where the bias is large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from a2mim.analysis.core.arrays import Floats
from a2mim.analysis.core.images import Images
from a2mim.analysis.core.subjects import Subject
from a2mim.analysis.interactions.estimating import PAPER_RATIOS, InteractionResult, estimate, orders_of
from a2mim.analysis.interactions.games import PatchGame
from a2mim.analysis.interactions.pairs import neighbour_pairs
from a2mim.checkpoint import load_encoder

ALL = 10**9  # more pairs than there are, to get all of them
GRID = (8, 8)
REFERENCE = 48  # contexts per pair of the long reference, which has all near pairs


def games_of(name: str, n_images: int) -> list[PatchGame]:
    """Games of a shipped network on ``n_images`` embedded images, balanced over the classes."""
    model, report = load_encoder(name)
    subject = Subject(name, model.to(memory_format=torch.channels_last), report)
    batch = next(iter(Images(limit=n_images).loader(subject.report, n_images)))
    return [
        PatchGame(subject.model, image, label, GRID, batch_size=256, id=index)
        for image, label, index in zip(batch.images, batch.labels.tolist(), batch.indices.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Trials:
    """Errors of an estimator against the reference: (trials, images, ratios), relative to the reference's strength."""

    errors: Floats
    evaluations: Floats  # of one image, (ratios,)

    @property
    def cost(self) -> Floats:
        """Mean squared error times evaluations, (ratios,)."""
        return (self.errors**2).mean(axis=(0, 1)) * self.evaluations

    @property
    def rmse(self) -> Floats:
        return np.sqrt((self.errors**2).mean(axis=(0, 1)))

    @property
    def bias(self) -> Floats:
        return self.errors.mean(axis=(0, 1))


def trials(
    games: Sequence[PatchGame], truth: Floats, estimator: str, repetitions: int, bar: tqdm, **settings: Any
) -> Trials:
    """Repeat an estimate with other seeds; ``truth`` is the strength of each image, (images, ratios)."""
    errors, evaluations = [], []
    for repetition in range(repetitions):
        result = estimate(games, GRID[0] * GRID[1], grid=GRID, estimator=estimator, seed=repetition, **settings)
        errors.append(result.values.mean(axis=2) / truth - 1)
        evaluations.append(result.evaluations / len(games))
        bar.update()
    return Trials(np.array(errors), np.mean(evaluations, axis=0))


def gains(name: str, n_images: int, repetitions: int) -> tuple[Trials, Trials, Floats]:
    """(paper at 50 x 50, efficient at its defaults, gain at each of the paper's ratios).

    The published code evaluates 4 · 50 · 50 coalitions at every order, also if they are equal; that counts as its cost.
    """
    games = games_of(name, n_images)
    with tqdm(total=2 * repetitions + 1, desc=name, disable=None) as bar:
        long = estimate(
            games,
            GRID[0] * GRID[1],
            grid=GRID,
            ratios=PAPER_RATIOS,
            n_pairs=ALL,
            n_contexts=REFERENCE,
            seed=10**6,
        )
        bar.update()
        truth = long.values.mean(axis=2)
        paper, efficient = (
            trials(games, truth, kind, repetitions, bar, ratios=PAPER_RATIOS) for kind in ("paper", "efficient")
        )
    paper = Trials(paper.errors, np.full(len(PAPER_RATIOS), 4.0 * 50 * 50))
    return paper, efficient, paper.cost / efficient.cost


# --- games with a known answer


class Unanimity:
    """f(S) = Σ_k weight_k [members_k ⊆ S] over random groups of neighbouring players."""

    def __init__(self, grid: tuple[int, int], n_groups: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        n = grid[0] * grid[1]
        place = np.stack(np.divmod(np.arange(n), grid[1]), axis=1)
        self.members = np.zeros((n_groups, n), dtype=np.float32)
        for group in self.members:
            near = np.abs(place - place[rng.integers(n)]).max(axis=1) <= 2
            group[rng.choice(np.flatnonzero(near), rng.integers(1, 6), replace=False)] = 1
        self.weights = rng.standard_normal(n_groups) * rng.gamma(2.0)  # images differ in scale
        self.id = seed

    def __call__(self, coalitions: np.ndarray) -> Floats:
        return ((~coalitions).astype(np.float32) @ self.members.T == 0) @ self.weights

    def interaction(self, pairs: np.ndarray, order: int) -> Floats:
        """I^(m)(i, j), Eq. (1): Σ over groups with i and j of weight · P(the group's others are all in the context)."""
        n = self.members.shape[1]
        others = self.members.sum(axis=1).astype(int) - 2
        chance = np.array([comb(n - 2 - k, order - k) / comb(n - 2, order) if 0 <= k <= order else 0 for k in others])
        both = self.members[:, pairs[:, 0]] * self.members[:, pairs[:, 1]]  # (groups, P)
        return (self.weights * chance) @ both


KNOWN_GRID = (6, 6)
KNOWN_RATIOS = (0.1, 0.3, 0.5, 0.8)
N_KNOWN = 2000  # games over which the known answer is averaged


def known_answer(n_groups: int) -> Floats:
    """Strength over the population of random games, (ratios,)."""
    n = KNOWN_GRID[0] * KNOWN_GRID[1]
    pairs = neighbour_pairs(KNOWN_GRID, ALL, np.random.default_rng(0))
    found = [
        [np.abs(game.interaction(pairs, order)).mean() for order in orders_of(KNOWN_RATIOS, n).tolist()]
        for game in (Unanimity(KNOWN_GRID, n_groups, 10**6 + seed) for seed in range(N_KNOWN))
    ]
    return np.mean(found, axis=0)


def known_games(repetitions: int, n_images: int, n_groups: int = 60) -> tuple[Floats, Floats]:
    """(relative bias against the answer of the same games, share of intervals with the population's); (ratios,)."""
    n, truth = KNOWN_GRID[0] * KNOWN_GRID[1], known_answer(n_groups)
    near = neighbour_pairs(KNOWN_GRID, ALL, np.random.default_rng(0))
    orders = orders_of(KNOWN_RATIOS, n).tolist()
    found, own, held = [], [], []
    for repetition in tqdm(range(repetitions), desc="games with a known answer", disable=None):
        games = [Unanimity(KNOWN_GRID, n_groups, repetition * n_images + k) for k in range(n_images)]
        result: InteractionResult = estimate(games, n, grid=KNOWN_GRID, ratios=KNOWN_RATIOS, seed=repetition)
        own.append(np.mean([[np.abs(game.interaction(near, m)).mean() for m in orders] for game in games], axis=0))
        found.append(result.strength)
        held.append((result.ci_low <= truth) & (truth <= result.ci_high))
    return np.mean(found, axis=0) / np.mean(own, axis=0) - 1, np.mean(held, axis=0)


def throughput(name: str) -> list[Callable[[], object]]:
    """[estimate, bare model on as many images], for ``paired_times``, with the same batch size and memory format."""
    game = games_of(name, 1)[0]
    evaluations = int(estimate([game], GRID[0] * GRID[1], ratios=(0.5,), n_pairs=200).evaluations[0])
    images = game.image.expand(game.batch_size, -1, -1, -1).contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        with torch.inference_mode():
            for start in range(0, evaluations, game.batch_size):
                game.model(images[: min(game.batch_size, evaluations - start)])

    return [lambda: estimate([game], GRID[0] * GRID[1], ratios=(0.5,), n_pairs=200), bare]
