"""The analyses ``occlusion`` and ``shuffle`` as records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch

from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import occlusion as figures

from ..core.analysis import Analysis, Columns, Gathered, Study, Tables, stack
from ..core.arrays import Arrays, Bools
from ..core.grids import auto_grid, check_grid
from ..core.numbers import DIFFERENCE
from ..core.subjects import Subject, load_subjects
from . import curves, numbers, robustness, shuffling
from .curves import Occlusion, OcclusionResult, Saliency
from .saliency import saliency_of
from .settings import OcclusionSettings, ShuffleSettings


def prepare(study: Study[OcclusionSettings]) -> Study[OcclusionSettings]:
    """The grid, and what is salient to each network; both are checked against every network."""
    wanted = study.settings
    _questions(replace(wanted, grid=wanted.grid or (1, 1)))  # refuses settings that cannot be
    guide = _guide(study)
    cells = wanted.grid or _grid(guide or study.subjects[0], wanted)
    for subject in study.subjects:
        check_grid(cells, *subject.report.input_size[1:])
        if wanted.patches != "random":
            subject.found["saliency"] = _saliency(guide or subject, subject, wanted, cells)
            curves.check_saliency(_look(guide or subject, wanted, cells), cells)
    return replace(study, settings=replace(wanted, grid=cells))


def measure(subject: Subject, batch: Batch, settings: OcclusionSettings) -> Arrays:
    """Whether each image is classified correctly: fill -> bool (B, runs, ratios)."""
    shown = batch.images.to(subject.device, non_blocking=True)  # once for all fills
    return {
        one.fill: curves.correct(
            subject.model,
            shown,
            batch.labels,
            batch.indices.tolist(),
            one,
            saliency=subject.found.get("saliency"),
            batch_size=subject.batch_size,
            mean=subject.report.mean,
            std=subject.report.std,
        )
        for one in _questions(settings)
    }


def tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """Accuracy by run and ratio with its interval, and the numbers that sum up each curve."""
    settings = gathered[0].settings
    ratios, seed, shared = settings["ratios"], settings["seed"], settings["batch_shared_mask"]
    found, sums = [], []
    for fill in settings["fill"]:
        correct = {one.name: one.joined(fill) for one in gathered}
        curve = stack({name: _curve(one, ratios, seed, shared) for name, one in correct.items()})
        found.append(curve.assign(fill=fill))
        if len(ratios) > 1:
            sums.append(robustness.summary(correct, ratios, seed, shared).assign(fill=fill))
    return {"": pd.concat(found), **({"summary": pd.concat(sums)} if sums else {})}


def findings(gathered: Sequence[Gathered], tables: Tables) -> list[str]:
    """The summary in words, for each fill."""
    if "summary" not in tables:
        return []
    by_fill = list(tables["summary"].groupby("fill", sort=False))
    return [
        f"{fill}: {line}" if len(by_fill) > 1 else line for fill, rows in by_fill for line in robustness.sentences(rows)
    ]


def prepare_shuffle(study: Study[ShuffleSettings]) -> Study[ShuffleSettings]:
    """The sides of the grids, which have to divide the images of every network."""
    height, width = study.subjects[0].report.input_size[1:]
    fitting = [side for side in (1, *shuffling.SHUFFLES) if height % side == 0 and width % side == 0]
    sides = tuple(study.settings.sides or fitting)
    for subject in study.subjects:
        for side in sides:
            shuffling.check_side(side, *subject.report.input_size[1:])
    return replace(study, settings=replace(study.settings, sides=sides))


def measure_shuffle(subject: Subject, batch: Batch, settings: ShuffleSettings) -> Arrays:
    """Whether each image is classified correctly: bool (B, runs, sides)."""
    correct = shuffling.shuffled_correct(
        subject.model,
        batch.images.to(subject.device),
        batch.labels,
        batch.indices.tolist(),
        settings.sides or (),
        runs=settings.runs,
        seed=settings.seed,
        batch_size=subject.batch_size,
    )
    return {"correct": correct}


def shuffle_tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """Accuracy by run and side with its interval."""
    sides, seed = gathered[0].settings["sides"], gathered[0].settings["seed"]
    found = stack({one.name: _curve(one.joined("correct"), sides, seed) for one in gathered})
    return {"": found.rename(columns={"ratio": "side"})}


def _questions(settings: OcclusionSettings) -> list[Occlusion]:
    """One question for each fill."""
    one = settings
    return [
        Occlusion(
            one.grid or (1, 1), one.ratios, one.runs, fill, one.patches, one.nested, one.batch_shared_mask, one.seed
        )
        for fill in settings.fills
    ]


def _curve(correct: Bools, at: Sequence[float], seed: int, runs_too: bool = False) -> pd.DataFrame:
    """Rows run, ratio, accuracy, n_images, and the interval of the mean over runs, the same in all runs."""
    low, high = robustness.curve_interval(correct, seed, runs_too)
    table = OcclusionResult(tuple(at), correct).to_frame()
    place = table["ratio"].map({ratio: column for column, ratio in enumerate(at)})
    return table.assign(ci_low=low[place], ci_high=high[place])


def _guide(study: Study[OcclusionSettings]) -> Subject | None:
    """The network that says what is salient, if it is another than the one that is tested."""
    path = study.settings.saliency_checkpoint
    if path is None:
        return None
    trust = {"trust": study.loading["trust"]} if "trust" in study.loading else {}
    guide = load_subjects("encoders", [path], device=study.device, **trust)[0]
    for subject in study.subjects:
        ours, theirs = (f"{one.report.input_size[1]}x{one.report.input_size[2]}" for one in (guide, subject))
        if ours != theirs:
            raise InputError(
                f"--saliency-checkpoint {guide.name} takes {ours} images, {subject.name} takes {theirs}; they must be "
                "equal"
            )
    return guide


def _grid(subject: Subject, settings: OcclusionSettings) -> tuple[int, int]:
    """The grid of the attention where attention decides; the usual one elsewhere."""
    cells = auto_grid(subject.report.input_size[1:])
    if settings.patches == "random":
        return cells
    rows, cols = _look(subject, settings, cells).shape[1:]
    return rows, cols


def _look(subject: Subject, settings: OcclusionSettings, cells: tuple[int, int]) -> torch.Tensor:
    """The saliency of a black image."""
    black = torch.zeros(1, *subject.report.input_size, device=subject.device)
    return saliency_of(subject.model, cells, settings.saliency, settings.saliency_head)(black)


def _saliency(guide: Subject, subject: Subject, settings: OcclusionSettings, cells: tuple[int, int]) -> Saliency:
    """What ``guide`` says of images that are normalised as ``subject`` takes them."""
    salient = saliency_of(guide.model, cells, settings.saliency, settings.saliency_head)
    (mean, std), (other_mean, other_std) = ((one.report.mean, one.report.std) for one in (subject, guide))
    if (tuple(mean), tuple(std)) == (tuple(other_mean), tuple(other_std)):
        return salient

    def renormalised(images: torch.Tensor) -> torch.Tensor:
        a, b, c, d = (images.new_tensor(values).view(3, 1, 1) for values in (mean, std, other_mean, other_std))
        return salient((images * b + a - c) / d)

    return renormalised


OCCLUSION = Analysis(
    name="occlusion",
    title="Occlusion robustness",
    settings=OcclusionSettings,
    load=OcclusionSettings.asks.load,
    prepare=prepare,
    measure=measure,
    tables=tables,
    columns={
        "": Columns(("run", "ratio", "accuracy"), needed=("ratio", "accuracy")),
        "summary": Columns(("value", "ci_low", "ci_high", *DIFFERENCE), ("checkpoint", "measure"), ("value",)),
    },
    figures={"": lambda tables: figures.plot(tables[""])},
    captions={
        "": (
            "Accuracy against the share of hidden patches",
            "Lines of top-1 accuracy against the share of hidden patches",
        )
    },
    findings=findings,
    numbers=numbers.occlusion,
    reading="The longer a curve stays up as patches are hidden, the less the network depends on any one patch; bands "
    "that do not touch show that two networks differ.",
)

SHUFFLE = Analysis(
    name="shuffle",
    title="Shuffled patches",
    settings=ShuffleSettings,
    load=ShuffleSettings.asks.load,
    prepare=prepare_shuffle,
    measure=measure_shuffle,
    tables=shuffle_tables,
    columns={"": Columns(("run", "side", "accuracy"), needed=("side", "accuracy"))},
    figures={"": lambda tables: figures.plot_shuffle(tables[""])},
    captions={
        "": (
            "Accuracy against the grid that is shuffled",
            "Lines of top-1 accuracy against the number of shuffled cells",
        )
    },
    numbers=numbers.shuffle,
    reading="A curve that stays up as the cells are shuffled shows a network that looks at parts and not at their "
    "arrangement; one that falls uses the arrangement.",
)
