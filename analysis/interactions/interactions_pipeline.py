"""From checkpoints to J(m) curves: cost said before, kept in parts, shared among processes, compared in pairs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from a2mim import files
from a2mim.errors import InputError
from a2mim.figures import interaction_map
from a2mim.figures import interactions as interactions_figure

from ..core import outputs, parts, pipeline
from ..core.parts import Parts
from ..core.pipeline import Images, Subject
from . import comparison, estimating, planning
from .games import PatchGame, amp_noise, check_grid, eval_mode
from .pairs import check_pairs

MAPPED = 4  # images of which the strongest pairs are drawn
MAP_RATIOS = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Play:
    """How images become games: what the scores of one network depend on besides its weights."""

    grid: tuple[int, int]
    score: str = "log-odds"
    baseline: str = "dataset-mean"
    target: str = "label"  # or "predicted"
    amp: bool = False


@dataclass(frozen=True)
class Games:
    """One game for each image, made when its turn comes; its id is the image's index."""

    subject: Subject
    images: Images
    play: Play
    batch_size: int
    chosen: tuple[int, ...]  # ids of the images that take part

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[PatchGame]:
        wanted = set(self.chosen)
        for image, label, index in _each(self.subject, self.images):
            if index in wanted:
                yield PatchGame(
                    self.subject.model,
                    image,
                    label if self.play.target == "label" else int(_logits(self.subject, image[None]).argmax()),
                    self.play.grid,
                    baseline=self.play.baseline,
                    score=self.play.score,
                    batch_size=self.batch_size,
                    amp=self.play.amp,
                    mean=self.subject.report.mean,
                    std=self.subject.report.std,
                    id=index,
                )


def run_interactions(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    batch_size: int | None = None,
    grid: tuple[int, int] | None = None,
    ratios: Sequence[float] | None = None,
    orders: Sequence[int] | None = None,
    pairs: str | npt.ArrayLike = "neighbours",
    n_pairs: int | None = None,
    n_contexts: int | None = None,
    distance: int = 2,
    estimator: str = "efficient",
    normalise: str = "ratios",
    score: str = "log-odds",
    baseline: str = "dataset-mean",
    target: str = "label",
    only_correct: bool = False,
    amp: bool = False,
    evaluations: int | None = None,
    seconds: float | None = None,
    dry_run: bool = False,
    shard: tuple[int, int] | None = None,
    seed: int = 0,
    device: str = "auto",
    names: Sequence[str] = (),
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Multi-order interaction strength J(m) (section 3.2) of one or several classifiers; returns the files written.

    All networks are asked about the same images, pairs and contexts, and the difference of each to the first comes
    with a paired interval. What is finished lies in ``<output>/interactions.parts``: the same call goes on from there.

    Args:
        images: 100 of them by default, 20 of the embedded ones; as many of each class as can be.
        batch_size: coalitions in one forward pass; None finds the best by a short trial.
        ratios, orders: the paper's ratios if neither is given.
        target: whose class's score is asked for, the ``label``'s or the one ``predicted`` for the whole image.
        only_correct: leave out images that one of the networks gets wrong.
        evaluations, seconds: what all networks together may cost; images and pairs are chosen for the smallest error.
        dry_run: say the cost and end.
        shard: (k, n) measures every n-th image, from k = 0; the run that finishes last writes the results, and so does
            ``merge``. Under torchrun each process takes its share by itself.
        The rest: see ``estimating.estimate`` and ``games.PatchGame``.

    Raises:
        InputError: settings that cannot be, checkpoints or images that do not fit them, parts of other settings.
    """
    started = time.perf_counter()
    if shard is not None and seconds is not None:
        raise InputError(
            "shards have to agree on what they measure, and time tells each another number: give evaluations"
        )
    shard, device = pipeline.share(shard, device)
    subjects = pipeline.load_classifiers(checkpoints, images, names=names, device=device, echo=echo, **loading)
    play = Play(grid or pipeline.auto_grid(subjects[0].report.input_size[1:]), score, baseline, target, amp)
    for subject in subjects:
        check_grid(play.grid, *subject.report.input_size[1:])
    n_players = play.grid[0] * play.grid[1]
    if not isinstance(pairs, str):
        if n_pairs:
            raise InputError(f"{n_pairs} pairs asked for, and a list of pairs given; leave out one of the two")
        given = check_pairs(pairs, n_players).tolist()
        pairs, n_pairs = given, len(given)
    question: dict[str, Any] = dict(
        grid=play.grid, ratios=_ratios(ratios, orders, n_players), pairs=pairs, distance=distance, estimator=estimator
    )
    kept_in = [pipeline.parts_folder(output, "interactions", subject.name) for subject in subjects]
    tuned = [pipeline.tuned(subject, output, "interactions", batch_size, amp, dry_run) for subject in subjects]
    rate = len(tuned) / sum(1 / one.images_per_second for one in tuned)  # of one network on average
    plan = planning.plan(
        n_players,
        question,
        n_images=images.limit or (None if evaluations or seconds else 20 if images.embedded else 100),
        most_images=len(images.source()),
        n_pairs=n_pairs,
        n_contexts=n_contexts,
        evaluations=_allowed(evaluations, seconds, rate, len(subjects), shard),
    )
    images = replace(images, limit=plan.n_images)
    echo(plan.describe(len(subjects), rate, shard))
    if amp:
        echo(_noise_of_amp(subjects[0], images, play))
    if dry_run:
        return {}
    chosen = _ids(subjects[0], images)
    if only_correct:
        chosen = _correct(subjects, images, chosen)
        echo(f"{len(chosen)} images that all networks get right")
    question |= dict(n_pairs=plan.n_pairs, n_contexts=plan.n_contexts, normalise=normalise, seed=seed)
    settings = {**question, **play.__dict__, "images": images.describe(), "chosen": list(chosen)}
    settings["only_correct"] = only_correct
    mine = chosen[shard[0] :: shard[1]]
    for subject, folder, found in zip(subjects, kept_in, tuned, strict=True):
        kept = Parts(folder, {**settings, "name": subject.name, "network": pipeline.digest(subject.model)})
        if mine:
            games = Games(subject, images, play, found.batch_size, mine)
            estimating.estimate(games, n_players, parts=kept, progress=subject.name if progress else None, **question)
    if pipeline.unfinished(sum(len(missing(folder)) for folder in kept_in), "images", shard, echo):
        return {}
    pictures = _pictures(subjects[0], images, chosen[:MAPPED])
    return write(output, kept_in, pipeline.about(subjects, device, started), pictures, echo)


def _ratios(ratios: Sequence[float] | None, orders: Sequence[int] | None, n_players: int) -> tuple[float, ...]:
    if orders is not None and ratios is not None:
        raise InputError("orders are given as ratios and as numbers; take one of the two")
    if orders is not None:
        return estimating.ratios_of(orders, n_players)
    found = estimating.PAPER_RATIOS if ratios is None else tuple(ratios)
    estimating.orders_of(found, n_players)  # refuses what cannot be before anything is written
    return found


def _noise_of_amp(subject: Subject, images: Images, play: Play) -> str:
    first = next(iter(Games(subject, images, play, 64, _ids(subject, images)[:1])))
    noise, spread = amp_noise(first)
    return f"amp: rounding of {noise:.2g} in a score that varies by {spread:.2g}, {2 * noise:.2g} in a difference"


def write(
    output: str | Path,
    folders: Sequence[Path],
    about: Mapping[str, Any],
    pictures: Mapping[int, np.ndarray] | None = None,
    echo: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Tables, settings and pictures of whole parts; the maps need the ``pictures`` of the first images.

    How each network differs from the first is said through ``echo``, and stands in the file of settings.
    """
    output = Path(output)
    settings = {folder: parts.read_settings(folder) for folder in folders}
    results = {settings[folder]["name"]: _result(folder, settings[folder]) for folder in folders}
    table = pipeline.stack({name: result.to_frame() for name, result in results.items()})
    first, *others = results
    differences = {name: comparison.compare(results[name], results[first]) for name in others}
    said = [comparison.conclusion(name, results[name], first, results[first]) for name in others]
    described = pipeline.described("interactions", list(settings.values()), about) | {"conclusions": said}
    for sentence in said:
        echo(sentence)
    figure = interactions_figure.plot(table)
    written = outputs.save(output, "interactions", table, described, figure, duration=about.get("duration"))
    written["rms"] = output / "interactions_rms.csv"
    roots = pipeline.stack({name: result.rms_frame() for name, result in results.items()})
    files.write_text(written["rms"], roots.to_csv(index=False))
    if differences:
        path = written["difference"] = output / "interactions_difference.csv"
        files.write_text(path, pipeline.stack(differences).assign(reference=first).to_csv(index=False))
    if pictures:
        grid, shown = settings[folders[0]]["grid"], slice(len(pictures))
        maps = {
            name: interaction_map.Maps(result.ratios, grid, result.pairs[shown], result.values[shown])
            for name, result in results.items()
        }
        drawn = interaction_map.plot(list(pictures.values()), maps, ratios=MAP_RATIOS)
        written["map"] = outputs.save_figure(drawn, output / "interactions_map.png")
    return written


def _result(folder: Path, settings: Mapping[str, Any]) -> estimating.InteractionResult:
    kept = Parts(folder, settings)
    n_players = settings["grid"][0] * settings["grid"][1]
    found = [estimating.ImageMeasured(**kept.load(_part(index)) or {}) for index in settings["chosen"]]
    about = {key: settings[key] for key in ("n_contexts", "seed", "estimator", "normalise")}
    return estimating.summarise(settings["ratios"], n_players, found, about)


def missing(folder: Path) -> list[int]:
    """Images of which the parts do not have every order."""
    settings = parts.read_settings(folder)
    kept, gaps = Parts(folder, settings), []
    for index in settings["chosen"]:
        arrays = kept.load(_part(index))
        if arrays is None or np.isnan(arrays["strength"]).any():
            gaps.append(index)
    return gaps


def _part(index: int) -> str:
    return estimating.part_name(index)


def _allowed(
    evaluations: int | None, seconds: float | None, rate: float, n_subjects: int, shard: tuple[int, int]
) -> float | None:
    """Evaluations that each network may cost."""
    limits = [
        *([evaluations / n_subjects] if evaluations else []),
        *([seconds * rate * shard[1] / n_subjects] if seconds else []),
    ]
    return min(limits, default=None)


def _each(subject: Subject, images: Images) -> Iterator[tuple[torch.Tensor, int, int]]:
    for batch in images.loader(subject.report):
        yield from zip(batch.images, batch.labels.tolist(), batch.indices.tolist(), strict=True)


def _ids(subject: Subject, images: Images) -> tuple[int, ...]:
    return tuple(index for _, _, index in _each(subject, images))


def _correct(subjects: Sequence[Subject], images: Images, chosen: tuple[int, ...]) -> tuple[int, ...]:
    """Those of the images that every network classifies as their label says."""
    for subject in subjects:
        right = {index for image, label, index in _each(subject, images) if _right(subject, image, label)}
        chosen = tuple(index for index in chosen if index in right)
    if not chosen:
        raise InputError("none of the images is classified correctly by all networks; leave out --only-correct")
    return chosen


def _right(subject: Subject, image: torch.Tensor, label: int) -> bool:
    return int(_logits(subject, image[None]).argmax()) == label


def _logits(subject: Subject, batch: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), eval_mode(subject.model):
        return subject.model(batch.to(pipeline.place_of(subject))).cpu()


def _pictures(subject: Subject, images: Images, chosen: Sequence[int]) -> dict[int, np.ndarray]:
    """The images as they look, (H, W, 3) within 0 to 1."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (subject.report.mean, subject.report.std))
    return {
        index: (image * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()
        for image, _, index in _each(subject, images)
        if index in chosen
    }
