"""The analysis ``interactions`` as a record: one image is one part, so that hours of work on it are not lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import interaction_map
from a2mim.figures import interactions as figures

from ..core.analysis import Analysis, Columns, Gathered, Plan, Study, Tables, stack
from ..core.arrays import Arrays
from ..core.grids import auto_grid, check_grid
from ..core.networks import eval_mode
from ..core.subjects import Part, Subject
from . import comparison, estimating, numbers, planning
from .estimating import ImageMeasured, InteractionResult
from .games import PatchGame, amp_noise
from .pairs import check_pairs
from .settings import InteractionSettings

IMAGES, EMBEDDED_IMAGES = 100, 20  # without ``--images`` and a budget; of the embedded ones
MAPPED = 4  # images of which the strongest pairs are drawn
MAP_RATIOS = (0.05, 0.5, 0.95)
NUMBERS = ("ratio", "strength", "J", "J_ci_low", "J_ci_high", "noise_floor")


def prepare(study: Study[InteractionSettings]) -> Study[InteractionSettings]:
    """Grid, orders and pairs, checked against every network."""
    wanted = study.settings
    if wanted.seconds is not None and study.shard[1] > 1:
        raise InputError(
            "--budget cannot be used with --shard: shards would choose different numbers of images; use --evaluations"
        )
    grid = wanted.grid or auto_grid(study.subjects[0].report.input_size[1:])
    for subject in study.subjects:
        check_grid(grid, *subject.report.input_size[1:])
    n_players = grid[0] * grid[1]
    ratios = estimating.PAPER_RATIOS if wanted.ratios is None else tuple(wanted.ratios)
    if wanted.orders is not None:
        ratios = estimating.ratios_of(wanted.orders, n_players)
    estimating.orders_of(ratios, n_players)  # refuses what cannot be
    pairs, n_pairs = wanted.pairs, wanted.n_pairs
    if not isinstance(pairs, str):
        pairs = check_pairs(pairs, n_players).tolist()
        n_pairs = len(pairs)
    settings = replace(wanted, grid=grid, ratios=ratios, orders=None, pairs=pairs, n_pairs=n_pairs)
    return replace(study, settings=settings)


def plan(study: Study[InteractionSettings]) -> Plan[InteractionSettings]:
    """Numbers of images, pairs and contexts: those given, the usual ones, or the best that a budget buys."""
    wanted, images, networks = study.settings, study.images, len(study.subjects)
    budget = wanted.evaluations or wanted.seconds
    usual = None if budget else EMBEDDED_IMAGES if images.embedded else IMAGES
    chosen = planning.plan(
        _n_players(wanted),
        _question(wanted),
        n_images=images.limit or usual,
        most_images=len(images.source()),
        n_pairs=wanted.n_pairs,
        n_contexts=wanted.n_contexts,
        evaluations=_allowed(study),
    )
    images = replace(images, limit=chosen.n_images)
    settings = replace(wanted, n_pairs=chosen.n_pairs, n_contexts=chosen.n_contexts)
    words = chosen.describe(networks, study.rate, study.shard)
    return Plan(replace(study, images=images, settings=settings), chosen.evaluations, words)


def begin(study: Study[InteractionSettings]) -> Study[InteractionSettings]:
    """What needs the networks once the images are chosen: the noise of bfloat16, and which images all get right."""
    settings = study.settings
    if settings.amp:
        study.echo(_noise_of_amp(study))
    if not settings.only_correct:
        return study
    portions = [*range(study.images.limit or len(study.images.source()))]
    for subject in study.subjects:
        loader = study.images.loader(subject.report, 1)
        portions = [
            number for number, batch in loader.batches(portions) if batch is not None and _right(subject, batch)
        ]
    if not portions:
        raise InputError("none of the images is classified correctly by all networks; leave out --only-correct")
    study.echo(f"{len(portions)} images that all networks get right")
    return replace(study, portions=portions)


def measure(subject: Subject, batch: Batch, settings: InteractionSettings) -> Arrays:
    """The strength of every pair of one image at every order, and the image itself where it is drawn."""
    index = int(batch.indices[0])
    kept = _Kept(subject.part)
    image = estimating.measure_image(
        _game(subject, batch, settings),
        _n_players(settings),
        key=(settings.seed, index),
        grid=settings.grid,
        orders=np.unique(estimating.orders_of(settings.ratios or (), _n_players(settings))),
        pairs=settings.pairs,
        n_pairs=settings.n_pairs or 0,
        n_contexts=settings.n_contexts or 0,
        distance=settings.distance,
        estimator=settings.estimator,
        parts=kept,
    )
    return {**image._asdict(), **_drawn(subject, batch)}


def tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """J(m) by ratio, its root mean square, and how each network differs from the first."""
    results = _results(gathered)
    first, *others = results
    found = {
        "": stack({name: result.to_frame() for name, result in results.items()}),
        "rms": stack({name: result.rms_frame() for name, result in results.items()}),
    }
    if others:
        differences = {name: comparison.compare(results[name], results[first]) for name in others}
        found["difference"] = stack(differences).assign(reference=first)
    return found


def findings(gathered: Sequence[Gathered], _: Tables) -> list[str]:
    """How each network differs from the first, in one sentence."""
    results = _results(gathered)
    first, *others = results
    return [comparison.conclusion(name, results[name], first, results[first]) for name in others]


def draw_map(gathered: Sequence[Gathered]) -> Figure:
    """The pairs that interact most, over the first images."""
    drawn = [arrays for arrays in gathered[0].parts if "picture" in arrays]
    maps = {
        name: interaction_map.Maps(
            result.ratios, gathered[0].settings["grid"], result.pairs[: len(drawn)], result.values[: len(drawn)]
        )
        for name, result in _results(gathered).items()
    }
    return interaction_map.plot([arrays["picture"] / 255 for arrays in drawn], maps, ratios=MAP_RATIOS)


@dataclass(frozen=True)
class _Kept:
    """Where ``estimating`` keeps the orders that are done."""

    part: Part | None

    def load(self, _: str) -> Arrays | None:
        return (self.part and self.part.begun) or None

    def save(self, _: str, arrays: Mapping[str, Any]) -> None:
        if self.part:
            strength = arrays["strength"]
            self.part.keep(dict(arrays), 1 - np.isnan(strength).any(axis=1).mean())


def _results(gathered: Sequence[Gathered]) -> dict[str, InteractionResult]:
    found = {}
    for one in gathered:
        settings = one.settings
        images = [ImageMeasured(*(arrays[key] for key in ImageMeasured._fields)) for arrays in one.parts]
        about = {key: settings[key] for key in ("n_contexts", "seed", "estimator", "normalise")}
        n_players = settings["grid"][0] * settings["grid"][1]
        found[one.name] = estimating.summarise(settings["ratios"], n_players, images, about)
    return found


def _n_players(settings: InteractionSettings) -> int:
    rows, cols = settings.grid or (0, 0)
    return rows * cols


def _question(settings: InteractionSettings) -> dict[str, Any]:
    return {key: getattr(settings, key) for key in ("grid", "ratios", "pairs", "distance", "estimator")}


def _allowed(study: Study[InteractionSettings]) -> float | None:
    """Evaluations that each network may cost."""
    evaluations, seconds, networks = study.settings.evaluations, study.settings.seconds, len(study.subjects)
    limits = [
        *([evaluations / networks] if evaluations else []),
        *([seconds * study.rate * study.shard[1] / networks] if seconds else []),
    ]
    return min(limits, default=None)


def _game(subject: Subject, batch: Batch, settings: InteractionSettings) -> PatchGame:
    """The game of one image; its id is the image's index."""
    image, label = batch.images[0], int(batch.labels[0])
    return PatchGame(
        subject.model,
        image,
        label if settings.target == "label" else int(_logits(subject, image[None]).argmax()),
        settings.grid or (1, 1),
        baseline=settings.baseline,
        score=settings.score,
        batch_size=subject.batch_size,
        amp=settings.amp,
        mean=subject.report.mean,
        std=subject.report.std,
        id=int(batch.indices[0]),
    )


def _noise_of_amp(study: Study[InteractionSettings]) -> str:
    subject = study.subjects[0]
    batch = next(iter(study.images.loader(subject.report, 1)))
    noise, spread = amp_noise(_game(subject, batch, study.settings))
    return f"amp: rounding of {noise:.2g} in a score that varies by {spread:.2g}, {2 * noise:.2g} in a difference"


def _right(subject: Subject, batch: Batch) -> bool:
    return int(_logits(subject, batch.images).argmax()) == int(batch.labels[0])


def _logits(subject: Subject, images: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), eval_mode(subject.model):
        return subject.model(images.to(subject.device)).cpu()


def _drawn(subject: Subject, batch: Batch) -> Arrays:
    """The image as it looks, uint8 (H, W, 3), for the first few."""
    if subject.part is None or subject.part.position >= MAPPED:
        return {}
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (subject.report.mean, subject.report.std))
    pixels = (batch.images[0] * std + mean).clamp(0, 1) * 255
    return {"picture": pixels.round().to(torch.uint8).permute(1, 2, 0).numpy()}


INTERACTIONS = Analysis(
    name="interactions",
    title="Multi-order interactions",
    settings=InteractionSettings,
    load=InteractionSettings.asks.load,
    prepare=prepare,
    plan=plan,
    begin=begin,
    measure=measure,
    portion=1,
    tables=tables,
    columns={
        "": Columns(NUMBERS, needed=("ratio", "J")),
        "difference": Columns(("ratio", "J_difference", "J_ci_low", "J_ci_high"), ("checkpoint", "reference")),
        "rms": Columns(("ratio", "rms")),
    },
    figures={"": lambda tables: figures.plot(tables[""])},
    pictures={"map": draw_map},
    captions={
        "": ("J(m) against the order m", "Lines of the interaction strength J(m) against the order m"),
        "map": (
            "Which patches interact, by order",
            "Images with the patches and pairs that interact most, by order",
        ),
    },
    findings=findings,
    numbers=numbers.interactions,
    extra=lambda gathered, _: {"chosen": gathered[0].joined("image").tolist()},
    reading="J(m) is how strongly two patches interact while m others are shown, relative to the mean over all orders. "
    "High at middle orders means shapes and parts, high at both ends means textures or whole images alone; what lies "
    "at the dotted line is noise.",
)
