"""From checkpoints to J(m) curves: cost said before, kept in parts, shared among processes, compared in pairs."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import nn

from a2mim import files
from a2mim.checkpoint import load_encoder
from a2mim.errors import InputError
from a2mim.figures import interaction_map
from a2mim.figures import interactions as interactions_figure

from . import budget, interactions, outputs, parts, pipeline, speed
from .games import PatchGame, amp_noise
from .pairs import check_pairs
from .parts import Parts
from .pipeline import Images, Subject

PARTS = "interactions.parts"
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
    ratios: Sequence[float] = interactions.PAPER_RATIOS,
    pairs: str | npt.ArrayLike = "neighbours",
    n_pairs: int | None = None,
    n_contexts: int | None = None,
    distance: int = 2,
    estimator: str = "efficient",
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
        target: whose class's score is asked for, the ``label``'s or the one ``predicted`` for the whole image.
        only_correct: leave out images that one of the networks gets wrong.
        evaluations, seconds: what all networks together may cost; images and pairs are chosen for the smallest error.
        dry_run: say the cost and end.
        shard: (k, n) measures every n-th image, from k = 0; the run that finishes last writes the results, and so does
            ``merge``. Under torchrun each process takes its share by itself.
        The rest: see ``interactions.estimate`` and ``games.PatchGame``.

    Raises:
        InputError: settings that cannot be, checkpoints or images that do not fit them, parts of other settings.
    """
    started = time.perf_counter()
    if shard is not None and seconds is not None:
        raise InputError(
            "shards have to agree on what they measure, and time tells each another number: give evaluations"
        )
    shard, device = _share(shard, device)
    subjects = pipeline.load_subjects(
        checkpoints or pipeline.CLASSIFIERS, load_encoder, names=names, device=device, echo=echo, **loading
    )
    play = Play(grid or pipeline.auto_grid(subjects[0].report.input_size[1:]), score, baseline, target, amp)
    for subject in subjects:
        pipeline.check_classifier(subject, images.source())
    small = images.dataset == "fashion" and images.data_dir is None
    n_players = play.grid[0] * play.grid[1]
    if not isinstance(pairs, str):
        given = check_pairs(pairs, n_players).tolist()
        pairs, n_pairs = given, len(given)
    question: dict[str, Any] = dict(
        grid=play.grid, ratios=tuple(ratios), pairs=pairs, distance=distance, estimator=estimator
    )
    kept_in = [Path(output, PARTS, _file_name(subject.name)) for subject in subjects]
    tuned = [_tune(*each, batch_size, amp, dry_run) for each in zip(subjects, kept_in, strict=True)]
    rate = len(tuned) / sum(1 / one.images_per_second for one in tuned)  # of one network on average
    plan = budget.plan(
        n_players,
        question,
        n_images=images.limit or (None if evaluations or seconds else 20 if small else 100),
        most_images=len(images.source()),
        n_pairs=n_pairs,
        n_contexts=n_contexts,
        evaluations=_allowed(evaluations, seconds, rate, len(subjects), shard),
    )
    images = replace(images, limit=plan.n_images)
    echo(plan.describe(len(subjects), rate, shard))
    if amp:
        noise, spread = amp_noise(next(iter(Games(subjects[0], images, play, 64, _ids(subjects[0], images)[:1]))))
        echo(f"amp: rounding of {noise:.2g} in a score that varies by {spread:.2g}, {2 * noise:.2g} in a difference")
    if dry_run:
        return {}
    chosen = _ids(subjects[0], images)
    if only_correct:
        chosen = _correct(subjects, images, chosen)
        echo(f"{len(chosen)} images that all networks get right")
    question |= dict(n_pairs=plan.n_pairs, n_contexts=plan.n_contexts, seed=seed)
    settings = {**question, **play.__dict__, "images": _describe(images), "chosen": list(chosen)}
    settings["only_correct"] = only_correct
    mine = chosen[shard[0] :: shard[1]]
    for subject, folder, found in zip(subjects, kept_in, tuned, strict=True):
        kept = Parts(folder, {**settings, "name": subject.name, "network": _digest(subject.model)})
        if mine:
            games = Games(subject, images, play, found.batch_size, mine)
            interactions.estimate(games, n_players, parts=kept, progress=subject.name if progress else None, **question)
    missing = sum(len(_missing(folder)) for folder in kept_in)
    if missing:
        echo(f"shard {shard[0] + 1}/{shard[1]} is done; {missing} images of other shards are not there yet")
        return {}
    reports = {subject.name: subject.report.to_dict() for subject in subjects}
    about = {"checkpoints": reports, "device": device, "duration": time.perf_counter() - started}
    pictures = _pictures(subjects[0], images, chosen[:MAPPED])
    return _write(Path(output), kept_in, about, pictures)


def merge(folders: Sequence[str | Path], output: str | Path) -> dict[str, Path]:
    """Join the parts that several runs (``shard``, job arrays) left in their outputs; returns the files written.

    Raises:
        InputError: a folder without parts, parts of different settings, or images that no folder has.
    """
    found = [path for folder in folders for path in sorted(Path(folder, PARTS).glob(f"*/{parts.SETTINGS}"))]
    if not found:
        raise InputError(f"no parts in {', '.join(map(str, folders))} (no {PARTS})")
    into = {path.parent.name: Path(output, PARTS, path.parent.name) for path in found}
    for path in found:
        if path.parent.resolve() != into[path.parent.name].resolve():
            parts.merge([path.parent], into[path.parent.name])
    for folder in into.values():
        if missing := _missing(folder):
            raise InputError(f"{len(missing)} images of {folder.name} are in none of the folders: {missing[:5]} ...")
    return _write(Path(output), list(into.values()), {}, {})


def _write(
    output: Path, folders: Sequence[Path], about: Mapping[str, Any], pictures: Mapping[int, np.ndarray]
) -> dict[str, Path]:
    """Tables, settings and pictures from whole parts."""
    settings = {folder: parts.read_settings(folder) for folder in folders}
    results = {settings[folder]["name"]: _result(folder, settings[folder]) for folder in folders}
    table = _stack({name: result.to_frame() for name, result in results.items()})
    first, *others = results
    differences = {name: interactions.compare(results[name], results[first]) for name in others}
    shared = {key: value for key, value in settings[folders[0]].items() if key not in ("name", "network")}
    described = {
        "analysis": "interactions",
        "settings": {key: value for key, value in shared.items() if key not in ("images", "chosen")},
        "images": shared["images"],
        "chosen": shared["chosen"],
        "networks": {settings[folder]["name"]: settings[folder]["network"] for folder in folders},
        **{key: value for key, value in about.items() if key != "duration"},
    }
    figure = interactions_figure.plot(table)
    written = outputs.save(output, "interactions", table, described, figure, duration=about.get("duration"))
    written["rms"] = output / "interactions_rms.csv"
    files.write_text(
        written["rms"], _stack({name: result.rms_frame() for name, result in results.items()}).to_csv(index=False)
    )
    if differences:
        path = written["difference"] = output / "interactions_difference.csv"
        files.write_text(path, _stack(differences).assign(reference=first).to_csv(index=False))
    if pictures:
        maps = {
            name: interaction_map.Maps(
                result.ratios, shared["grid"], result.pairs[: len(pictures)], result.values[: len(pictures)]
            )
            for name, result in results.items()
        }
        drawn = interaction_map.plot(list(pictures.values()), maps, ratios=MAP_RATIOS)
        written["map"] = outputs.save_figure(drawn, output / "interactions_map.png")
    return written


def _stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    table = pd.concat(dict(tables), names=["checkpoint"])
    return table.reset_index(level="checkpoint").reset_index(drop=True)


def _result(folder: Path, settings: Mapping[str, Any]) -> interactions.InteractionResult:
    kept = Parts(folder, settings)
    n_players = settings["grid"][0] * settings["grid"][1]
    found = [interactions.ImageMeasured(**kept.load(_part(index)) or {}) for index in settings["chosen"]]
    about = {key: settings[key] for key in ("n_contexts", "seed", "estimator")}
    return interactions.summarise(settings["ratios"], n_players, found, about)


def _missing(folder: Path) -> list[int]:
    """Images of which the parts do not have every order."""
    settings = parts.read_settings(folder)
    kept, missing = Parts(folder, settings), []
    for index in settings["chosen"]:
        arrays = kept.load(_part(index))
        if arrays is None or np.isnan(arrays["strength"]).any():
            missing.append(index)
    return missing


def _part(index: int) -> str:
    return interactions.part_name(index)


def _file_name(name: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "-_." else "_" for sign in name)


def _share(shard: tuple[int, int] | None, device: str) -> tuple[tuple[int, int], str]:
    """Which images are this process's, and on which device; torchrun says it in the environment."""
    if shard is not None:
        if not 0 <= shard[0] < shard[1]:
            raise InputError(f"there is no shard {shard[0] + 1} of {shard[1]}")
        return shard, device
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and device == "auto" and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return (rank, world), device


def _tune(subject: Subject, folder: Path, batch_size: int | None, amp: bool, dry_run: bool) -> speed.Speed:
    """The network's format and batch size: those found when its parts were begun, so that their bits stay the same."""
    place = next(subject.model.parameters()).device
    path = folder / f"speed-{place.type}-{batch_size or 'auto'}.json"
    found = None if path.exists() else speed.tune(subject.model, subject.report.input_size, place, batch_size, amp)
    if found and dry_run:
        return found
    found = speed.Speed.from_json(files.agree_json(path, found and found.to_json()))
    subject.model.to(memory_format=found.memory_format)
    return found


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
    place = next(subject.model.parameters()).device
    with torch.inference_mode():
        return subject.model.eval()(batch.to(place)).cpu()


def _pictures(subject: Subject, images: Images, chosen: Sequence[int]) -> dict[int, np.ndarray]:
    """The images as they look, (H, W, 3) within 0 to 1."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in (subject.report.mean, subject.report.std))
    return {
        index: (image * std + mean).clamp(0, 1).permute(1, 2, 0).numpy()
        for image, _, index in _each(subject, images)
        if index in chosen
    }


def _describe(images: Images) -> dict[str, Any]:
    """What names the images, whatever the speed at which they are read."""
    return {key: getattr(images, key) for key in ("dataset", "data_dir", "split", "limit", "seed")}


def _digest(model: nn.Module) -> str:
    """A short name for the weights: parts of another network are not taken for this one's."""
    digest = hashlib.blake2b(digest_size=8)
    for name, tensor in model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
