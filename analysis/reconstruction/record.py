"""The analysis ``reconstruct`` as a record."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from matplotlib.figure import Figure

from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import bands as bands_figure
from a2mim.figures import reconstruction as figures
from a2mim.masking import auto_cell, mask_grid
from a2mim.model import MaskedImageModel

from ..core.analysis import Analysis, Columns, Gathered, Study, Tables
from ..core.arrays import Arrays
from ..core.numbers import DIFFERENCE
from ..core.subjects import Subject
from . import errors, numbers, pictures, tables
from .settings import TOKENS, Grid, ReconstructionSettings
from .tables import Key

SHOWN = 6
BANDS = tuple(name for name in bands_figure.NEEDED if name not in ("checkpoint", "token", "against"))


def prepare(study: Study[ReconstructionSettings]) -> Study[ReconstructionSettings]:
    """Cells and ratio of the masks, the same for all networks; which images are drawn; whether there is an SSIM."""
    wanted = study.settings
    grid, ratio = _masks(study)
    for subject in study.subjects:
        if wanted.token != "with" and cast(MaskedImageModel, subject.model).token == "none":
            study.echo(f"{subject.name} has no mask token: with and without are the same")
    drawn, ssim = _drawn(study), _ssim(study)
    settings = replace(wanted, mask_grid=grid, mask_ratio=ratio, drawn=drawn, ssim=ssim)
    return replace(study, settings=settings)


def measure(subject: Subject, batch: Batch, settings: ReconstructionSettings) -> Arrays:
    """Numbers of a portion, (B, tokens, ...), and the pictures of those images that are drawn."""
    model = cast(MaskedImageModel, subject.model)
    # noise is drawn for a whole batch: alone, an image gets the same whatever the batch size
    size = 1 if model.fill == "noise" else subject.batch_size
    pieces = zip(*(field.split(size) for field in batch), strict=True)
    found = [_measure(model, Batch(*piece), settings) for piece in pieces]
    return {key: np.concatenate([one[key] for one in found]) for key in found[0]}


def _masks(study: Study[ReconstructionSettings]) -> tuple[Grid, float]:
    """Cells and the share of them that is hidden, for all models; says where one was trained otherwise."""
    wanted, subjects = study.settings, study.subjects
    trained = [_trained(subject) for subject in subjects]
    size = subjects[0].report.input_size[1:]
    grid = mask_grid(size, wanted.mask_patch_size) if wanted.mask_patch_size else trained[0][0]
    ratio = trained[0][1] if wanted.mask_ratio is None else wanted.mask_ratio
    for subject, (own_grid, own_ratio) in zip(subjects, trained, strict=True):
        height, width = subject.report.input_size[1:]
        if grid and (height % grid[0] or width % grid[1]):
            raise InputError(
                f"masks of {grid[0]}x{grid[1]} cells, as {subjects[0].name} takes them, do not divide the images of "
                f"{height}x{width} pixels of {subject.name}; choose others with --mask-patch-size"
            )
        if (own_grid, own_ratio) != (grid, ratio):
            hidden, own = _hidden(grid, ratio), _hidden(own_grid, own_ratio)
            study.echo(f"{subject.name}: hidden are {hidden}; it was trained with {own}")
    return grid, ratio


def _hidden(grid: Grid, ratio: float) -> str:
    return f"{ratio:g} of {grid[0]}x{grid[1]} cells" if grid else f"a square of {ratio:g} of the area"


def _trained(subject: Subject) -> tuple[Grid, float]:
    """Cells and ratio of the masks that the model was trained with, or the paper's."""
    args, size = subject.report.args, subject.report.input_size[1:]
    ratio = args.get("mask_ratio", 0.6)
    if args.get("method") == "inpainting":
        return None, ratio
    size, model = (size[0], size[1]), cast(MaskedImageModel, subject.model)
    return mask_grid(size, args.get("mask_patch_size") or auto_cell(size, model.mask_stride)), ratio


def _drawn(study: Study[ReconstructionSettings]) -> tuple[int, ...]:
    """Numbers of the images that are drawn: those that would be measured if so few were asked for."""
    images = study.images
    number = min(study.settings.shown or len(images.given) or SHOWN, images.limit or len(images.source()))
    if images.given:
        return tuple(range(number))
    few = replace(images, limit=number, workers=0).loader(study.subjects[0].report, number)
    return tuple(index for batch in few for index in batch.indices.tolist())


def _ssim(study: Study[ReconstructionSettings]) -> bool:
    sizes = [subject.report.input_size[1:] for subject in study.subjects]
    reasons = [reason for size in sizes if (reason := errors.no_ssim(size))]
    for reason in reasons[:1]:
        study.echo(reason)
    return not reasons


def _measure(model: MaskedImageModel, batch: Batch, question: ReconstructionSettings) -> Arrays:
    """Numbers of a batch, (B, tokens, ...), and the pictures of those images that are drawn."""
    size, indices = model.img_size, batch.indices.tolist()
    mask = pictures.masks(indices, size, question.mask_grid, question.mask_ratio or 0.0, question.seed)
    place = model.mask_token.device
    drawn = np.isin(batch.indices.numpy(), question.drawn)
    found: list[Arrays] = []
    for token in TOKENS[question.token]:
        with pictures.without_token(model) if token == "without" else contextlib.nullcontext():
            shown = pictures.panels(model, batch.images.to(place), mask.to(place))
        scores = errors.scores(shown, mask)
        numbers = {name: scores[name].to_numpy() for name in ("l1", "psnr")}
        if question.ssim:
            numbers["ssim"] = errors.ssim(shown, mask)
        energies = errors.band_energies(shown, mask)._asdict()
        numbers |= {f"energy {name}": value for name, value in energies.items()}
        panels = {f"picture {name}": _eight_bits(panel[drawn]) for name, panel in shown._asdict().items()}
        found.append(numbers | panels)
    stacked = {key: np.stack([one[key] for one in found], axis=1) for key in found[0]}
    return {"picture image": batch.indices.numpy()[drawn], **stacked}


def _eight_bits(panel: torch.Tensor) -> np.ndarray:
    return (panel * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def draw_pictures(gathered: Sequence[Gathered]) -> Figure:
    """Original, masked input, prediction, pasted prediction of the drawn images, by network and token."""
    found = tables.by_token(gathered)
    captions = {tables.title(*key): tables.captions(one) for key, one in found.items()}
    return figures.plot({tables.title(*key): _pictures(one) for key, one in found.items()}, captions)


def files(gathered: Sequence[Gathered], _: Tables) -> Mapping[str, Arrays]:
    """What the picture shows, in 0..255 (see ``a2mim.figures.figure5``); nothing where networks differ in size."""
    pixels = _pixels(tables.by_token(gathered))
    return {"pixels": pixels} if pixels else {}


def _pictures(found: Arrays) -> dict[str, np.ndarray]:
    """The panels of the drawn images, pixels in 0..1."""
    return {field: found[f"picture {field}"] / 255 for field in pictures.Panels._fields}


def _pixels(found: Mapping[Key, Arrays]) -> dict[str, np.ndarray]:
    """What the picture shows, in 0..255 (see ``a2mim.figures.figure5``); nothing where networks differ in size."""
    fields = pictures.Panels._fields
    if len({one[f"picture {fields[0]}"].shape for one in found.values()}) > 1:
        return {}
    names, tokens = map(np.array, zip(*found, strict=True))
    captions = np.array([tables.captions(one) for one in found.values()])
    pixels = {field: np.stack([one[f"picture {field}"] for one in found.values()]) for field in fields}
    return {"checkpoint": names, "token": tokens, "caption": captions, **pixels}


RECONSTRUCTION = Analysis(
    name="reconstruct",
    title="Reconstructions",
    settings=ReconstructionSettings,
    load=ReconstructionSettings.asks.load,
    prepare=prepare,
    measure=measure,
    tables=tables.tables,
    most=ReconstructionSettings.asks.most,
    batch_size=ReconstructionSettings.asks.batch_size,
    columns={
        "": Columns(("image", "l1", "psnr"), ("checkpoint", "token"), ("l1",)),
        "summary": Columns(("value", "ci_low", "ci_high", *DIFFERENCE), ("checkpoint", "token", "measure")),
        "bands": Columns(BANDS, ("checkpoint", "token")),
    },
    figures={"bands": lambda tables: bands_figure.plot(tables["bands"])},
    pictures={"": draw_pictures},
    captions={
        "bands": (
            "Error and energy by frequency",
            "Energy of error and of prediction against frequency, relative to the original's",
        ),
        "": (
            "Images and what was made of them",
            "Images with hidden cells, predictions, and predictions in their place",
        ),
    },
    files=files,
    numbers=numbers.reconstruct,
    reading="Smaller errors and more PSNR are better; in the curves an error of 1 is that of a flat colour, and an "
    "energy near 1 has as much detail as the original.",
)
