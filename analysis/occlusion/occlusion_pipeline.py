"""From checkpoints to curves of occlusion and of shuffled patches, with the numbers that sum them up."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from a2mim import files
from a2mim.checkpoint import load_encoder
from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import occlusion as occlusion_figure

from ..core import outputs, pipeline, portions
from ..core.pipeline import Images, Subject
from ..interactions.games import BASELINES, check_grid
from . import curves as occlusion
from . import robustness
from .curves import Occlusion
from .saliency import saliency_of

FILLS = BASELINES  # of ``fill="all"``


@dataclass(frozen=True)
class Salient:
    """Whose saliency orders the patches: each network's own without a checkpoint."""

    source: str | None = None
    checkpoint: str | None = None
    head: int | None = None


def _salient(patches: str, source: str | None, checkpoint: str | None, head: int | None) -> Salient | None:
    if patches != "random":
        return Salient(source, checkpoint, head)
    if (source, checkpoint, head) != (None, None, None):
        raise InputError("a saliency is of no use with random patches; take patches 'salient' or 'non-salient'")
    return None


def run_occlusion(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    batch_size: int | None = None,
    grid: tuple[int, int] | None = None,
    ratios: Sequence[float] = occlusion.RATIOS,
    runs: int = 5,
    fill: str = "dataset-mean",
    patches: str = "random",
    nested: bool = False,
    batch_shared_mask: bool = False,
    saliency: str | None = None,
    saliency_checkpoint: str | None = None,
    saliency_head: int | None = None,
    seed: int = 0,
    device: str = "auto",
    shard: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Occlusion robustness (section 3.1) of one or several classifiers; returns the files written.

    All networks see the same images under the same masks. What is finished lies in ``<output>/occlusion.parts``.

    Args:
        batch_size: occluded images in one forward pass; None finds the best by a short trial.
        fill: one of ``occlusion_pipeline.FILLS``, or ``all`` of them beside each other.
        saliency, saliency_checkpoint, saliency_head: for ``patches``; see ``saliency.saliency_of``. Without a
            checkpoint every network is asked for its own.
        shard: (k, n) does every n-th portion of the images; whoever finishes last writes the results.
        The rest: see ``occlusion.sweep``.

    Raises:
        InputError: settings that cannot be, checkpoints or images that do not fit them, parts of other settings.
    """
    started = time.perf_counter()
    shard, device = pipeline.share(shard, device)
    fills = FILLS if fill == "all" else (fill,)
    ratios = tuple(sorted(set(ratios)))
    # settings that cannot be are refused before a network is loaded
    questions = [
        Occlusion(grid or (1, 1), ratios, runs, one, patches, nested, batch_shared_mask, seed) for one in fills
    ]
    wanted = _salient(patches, saliency, saliency_checkpoint, saliency_head)
    subjects = pipeline.load_classifiers(checkpoints, images, names=names, device=device, echo=echo, **loading)
    guide = _guide(wanted, subjects, device, loading)
    cells = grid or _grid(guide or subjects[0], wanted)
    _check_cells(cells, subjects, guide, wanted)
    questions = [Occlusion(**{**asdict(one), "grid": cells}) for one in questions]
    tuned = {one.name: pipeline.tuned(one, output, "occlusion", batch_size) for one in subjects}

    def measured(subject: Subject, batch: Batch) -> portions.Arrays:
        rank = _saliency(guide or subject, subject, wanted, cells) if wanted else None
        shown = batch.images.to(pipeline.place_of(subject), non_blocking=True)  # once for all fills
        return {
            one.fill: occlusion.correct(
                subject.model,
                shown,
                batch.labels,
                batch.indices.tolist(),
                one,
                saliency=rank,
                batch_size=tuned[subject.name].batch_size,
                mean=subject.report.mean,
                std=subject.report.std,
            )
            for one in questions
        }

    settings = asdict(questions[0]) | {"fill": list(fills), "saliency": wanted and asdict(wanted)}
    folders = portions.measure(
        subjects, images, output, "occlusion", settings, measured, shard=shard, progress=progress
    )
    if portions.unfinished(folders, shard, echo):
        return {}
    return write(output, folders, pipeline.about(subjects, device, started), echo)


def write(
    output: str | Path,
    folders: Sequence[Path],
    about: Mapping[str, Any],
    echo: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Tables, settings and picture of whole parts; ``echo`` gets the summary in words."""
    gathered = portions.gather_paired(folders)
    settings = gathered[0][0]
    ratios, seed, shared = settings["ratios"], settings["seed"], settings["batch_shared_mask"]
    tables, sums = [], []
    for fill in settings["fill"]:
        correct = {one["name"]: _joined(found, fill) for one, found in gathered}
        tables.append(pipeline.stack({name: _curve(one, ratios, seed, shared) for name, one in correct.items()}))
        if len(ratios) > 1:
            sums.append(robustness.summary(correct, ratios, seed, shared).assign(fill=fill))
            for line in robustness.sentences(sums[-1]):
                echo(f"{fill}: {line}" if len(settings["fill"]) > 1 else line)
    table = pd.concat([one.assign(fill=fill) for one, fill in zip(tables, settings["fill"], strict=True)])
    described = pipeline.described("occlusion", [one for one, _ in gathered], about)
    figure = occlusion_figure.plot(table)
    written = outputs.save(Path(output), "occlusion", table, described, figure, duration=about.get("duration"))
    if sums:
        written["summary"] = Path(output) / "occlusion_summary.csv"
        files.write_text(written["summary"], pd.concat(sums).to_csv(index=False))
    return written


def run_shuffle(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    batch_size: int | None = None,
    sides: Sequence[int] | None = None,
    runs: int = 5,
    seed: int = 0,
    device: str = "auto",
    shard: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Accuracy when the cells of a grid of k x k are shuffled, for several k; returns the files written.

    Args:
        sides: k; default: those of 1 (nothing is shuffled), 2, 4, 8, 16 that divide the images.
        The rest: see ``run_occlusion``.
    """
    started = time.perf_counter()
    shard, device = pipeline.share(shard, device)
    subjects = pipeline.load_classifiers(checkpoints, images, names=names, device=device, echo=echo, **loading)
    size = subjects[0].report.input_size[1:]
    sides = tuple(sides or [k for k in (1, *occlusion.SHUFFLES) if size[0] % k == 0 and size[1] % k == 0])
    for subject, side in itertools.product(subjects, sides):
        occlusion.check_side(side, *subject.report.input_size[1:])
    tuned = {one.name: pipeline.tuned(one, output, "shuffle", batch_size) for one in subjects}

    def measured(subject: Subject, batch: Batch) -> portions.Arrays:
        place = pipeline.place_of(subject)
        correct = functools.partial(occlusion.shuffled_correct, subject.model, batch.images.to(place), batch.labels)
        size = tuned[subject.name].batch_size
        return {"correct": correct(batch.indices.tolist(), sides, runs=runs, seed=seed, batch_size=size)}

    settings = dict(sides=sides, runs=runs, seed=seed)
    folders = portions.measure(subjects, images, output, "shuffle", settings, measured, shard=shard, progress=progress)
    if portions.unfinished(folders, shard, echo):
        return {}
    return write_shuffle(output, folders, pipeline.about(subjects, device, started))


def write_shuffle(output: str | Path, folders: Sequence[Path], about: Mapping[str, Any]) -> dict[str, Path]:
    """Table, settings and picture of whole parts."""
    gathered = portions.gather_paired(folders)
    sides, seed = gathered[0][0]["sides"], gathered[0][0]["seed"]
    tables = {one["name"]: _curve(_joined(found, "correct"), sides, seed) for one, found in gathered}
    table = pipeline.stack(tables).rename(columns={"ratio": "side"})
    described = pipeline.described("shuffle", [one for one, _ in gathered], about)
    figure = occlusion_figure.plot_shuffle(table)
    return outputs.save(Path(output), "shuffle", table, described, figure, duration=about.get("duration"))


def _joined(found: Sequence[portions.Arrays], key: str) -> np.ndarray:
    return np.concatenate([arrays[key] for arrays in found])


def _curve(correct: np.ndarray, at: Sequence[float], seed: int, runs_too: bool = False) -> pd.DataFrame:
    """Rows run, ratio, accuracy, n_images, and the interval of the mean over runs, the same in all runs."""
    low, high = robustness.curve_interval(correct, seed, runs_too)
    table = occlusion.OcclusionResult(tuple(at), correct).to_frame()
    place = table["ratio"].map({ratio: column for column, ratio in enumerate(at)})
    return table.assign(ci_low=low[place], ci_high=high[place])


def _guide(
    wanted: Salient | None, subjects: Sequence[Subject], device: str, loading: Mapping[str, Any]
) -> Subject | None:
    """The network that says what is salient, if it is another than the one that is tested."""
    if wanted is None or wanted.checkpoint is None:
        return None
    trust = {"trust": loading["trust"]} if "trust" in loading else {}
    guide = pipeline.load_subjects([wanted.checkpoint], load_encoder, device=device, **trust)[0]
    for subject in subjects:
        sizes = [f"{one.report.input_size[1]}x{one.report.input_size[2]}" for one in (guide, subject)]
        if sizes[0] != sizes[1]:
            raise InputError(
                f"{guide.name}, which is to say what is salient, takes images of {sizes[0]} pixels, {subject.name} of "
                f"{sizes[1]}; give one of the same size"
            )
    return guide


def _grid(subject: Subject, wanted: Salient | None) -> tuple[int, int]:
    """The grid of the attention where attention decides; the usual one elsewhere."""
    cells = pipeline.auto_grid(subject.report.input_size[1:])
    if wanted is None:
        return cells
    rows, cols = _look(subject, wanted, cells).shape[1:]
    return rows, cols


def _check_cells(
    cells: tuple[int, int], subjects: Sequence[Subject], guide: Subject | None, wanted: Salient | None
) -> None:
    """Raise InputError, before a part is begun, where a network's images or a saliency do not have the grid."""
    for subject in subjects:
        check_grid(cells, *subject.report.input_size[1:])
        if wanted is not None:
            occlusion.check_saliency(_look(guide or subject, wanted, cells), cells)


def _look(subject: Subject, wanted: Salient, cells: tuple[int, int]) -> torch.Tensor:
    """The saliency of a black image."""
    black = torch.zeros(1, *subject.report.input_size, device=pipeline.place_of(subject))
    return saliency_of(subject.model, cells, wanted.source, wanted.head)(black)


def _saliency(guide: Subject, subject: Subject, wanted: Salient, cells: tuple[int, int]) -> occlusion.Saliency:
    """What ``guide`` says of images that are normalised as ``subject`` takes them."""
    salient = saliency_of(guide.model, cells, wanted.source, wanted.head)
    (mean, std), (other_mean, other_std) = ((one.report.mean, one.report.std) for one in (subject, guide))
    if (tuple(mean), tuple(std)) == (tuple(other_mean), tuple(other_std)):
        return salient

    def renormalised(images: torch.Tensor) -> torch.Tensor:
        a, b, c, d = (images.new_tensor(values).view(3, 1, 1) for values in (mean, std, other_mean, other_std))
        return salient((images * b + a - c) / d)

    return renormalised
