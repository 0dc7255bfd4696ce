"""From pre-trained checkpoints to pictures of what they make of the hidden part (Figures 5, A2, A3), and numbers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from a2mim import files
from a2mim.checkpoint import load_masked_model
from a2mim.data import Batch, FileImages, ImageSource
from a2mim.errors import InputError
from a2mim.figures import bands as bands_figure
from a2mim.figures import reconstruction as reconstruction_figure
from a2mim.masking import auto_cell, mask_grid
from a2mim.model import MaskedImageModel

from ..core import outputs, paired, pipeline, portions
from ..core.pipeline import Images, Subject
from . import pictures as reconstruction

MEASURED = 100  # images by default, or all where there are fewer
SHOWN = 6
TOKENS = {"with": ("with",), "without": ("without",), "both": ("with", "without")}
Key = tuple[str, str]  # checkpoint, token
Grid = tuple[int, int] | None  # cells (h, w) of the masks; None: one square


@dataclass(frozen=True)
class GivenImages(Images):
    """Image files instead of a data set."""

    given: tuple[str, ...] = ()

    def source(self) -> ImageSource:
        return FileImages(self.given)


@dataclass(frozen=True)
class Question:
    """What is asked of every network: which cells are hidden, with or without its token, which images are drawn."""

    grid: Grid
    ratio: float
    token: str
    seed: int
    drawn: tuple[int, ...]  # numbers of images
    ssim: bool

    def settings(self) -> dict[str, Any]:
        own = {"mask_ratio": self.ratio, "mask_grid": self.grid, "token": self.token, "seed": self.seed}
        return {**own, "drawn": self.drawn, "ssim": self.ssim, "bands": reconstruction.BANDS}


def run_reconstruct(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    given: Sequence[str] = (),
    shown: int | None = None,
    batch_size: int = 64,
    mask_ratio: float | None = None,
    mask_patch_size: int | None = None,
    token: str = "with",
    seed: int = 0,
    device: str = "auto",
    shard: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Reconstructions (Figures 5, A2, A3) of one or several pre-trained models; returns the files written.

    All models see the same images, and image k under the same mask. What is finished lies in
    ``<output>/reconstruct.parts``. Beside the usual four files: ``reconstruct_summary.csv`` (averages, paired
    differences), ``reconstruct_bands.csv .png .pdf`` (error by frequency), ``reconstruct_pixels.npz`` (what is drawn).

    Args:
        images: which are measured; 100 without a number.
        given: image files, in the place of a data set: ``images`` then says the seed alone.
        shown: how many of the images are drawn; 6, or all the given ones.
        mask_ratio, mask_patch_size: share of hidden cells and their side in pixels of the first model; default: those
            it was trained with. The other models get the same cells.
        token: ``with`` the mask token, ``without`` it (Figure A3), or ``both`` beside each other.
        shard: (k, n) does every n-th portion of the images; whoever finishes last writes the results.

    Raises:
        InputError: settings that cannot be, a checkpoint without a reconstruction head, parts of other settings.
    """
    started = time.perf_counter()
    shard, device = pipeline.share(shard, device)
    if token not in TOKENS:
        raise InputError(f"unknown choice of token '{token}'; known: {', '.join(TOKENS)}")
    if given:
        _refuse_both(images)
        images = GivenImages("files", seed=images.seed, workers=images.workers or 0, given=tuple(map(str, given)))
    else:
        images = images.or_limit(min(MEASURED, len(images.source())))
    subjects = pipeline.load_subjects(
        checkpoints or pipeline.PRETRAINED, load_masked_model, names=names, device=device, echo=echo, **loading
    )
    grid, ratio = _masks(subjects, mask_ratio, mask_patch_size, echo)
    drawn = _drawn(images, subjects[0], shown or len(given) or SHOWN)
    question = Question(grid, ratio, token, seed, drawn, _ssim(subjects, echo))
    for subject in subjects:
        if token != "with" and cast(MaskedImageModel, subject.model).token == "none":
            echo(f"{subject.name} has no mask token: with and without are the same")

    def measured(subject: Subject, batch: Batch) -> portions.Arrays:
        model = cast(MaskedImageModel, subject.model)
        # noise is drawn for a whole batch: alone, an image gets the same whatever the batch size
        size = 1 if model.fill == "noise" else batch_size
        pieces = zip(*(field.split(size) for field in batch), strict=True)
        found = [_measure(model, Batch(*piece), question) for piece in pieces]
        return {key: np.concatenate([one[key] for one in found]) for key in found[0]}

    settings = question.settings()
    folders = portions.measure(
        subjects, images, output, "reconstruct", settings, measured, shard=shard, progress=progress
    )
    if portions.unfinished(folders, shard, echo):
        return {}
    return write(output, folders, pipeline.about(subjects, device, started))


def write(output: str | Path, folders: Sequence[Path], about: Mapping[str, Any]) -> dict[str, Path]:
    """Tables, settings and pictures of whole parts.

    Raises:
        InputError: parts are missing, or do not hold the same images.
    """
    gathered = portions.gather_paired(folders)
    settings = gathered[0][0]
    found: dict[Key, portions.Arrays] = {}
    for one, arrays in gathered:
        for place, token in enumerate(TOKENS[settings["token"]]):
            found[one["name"], token] = {key: _variant(arrays, key, place) for key in arrays[0]}
    table = _stack({key: pd.DataFrame({name: one[name] for name in _columns(one)}) for key, one in found.items()})
    summary, bands = _summary(found, settings["seed"]), _bands(found, settings["seed"])
    described = pipeline.described("reconstruct", [one for one, _ in gathered], about)
    captions = {_title(*key): _captions(one) for key, one in found.items()}
    figure = reconstruction_figure.plot({_title(*key): _pictures(one) for key, one in found.items()}, captions)
    written = outputs.save(output, "reconstruct", table, described, figure, duration=about.get("duration"))
    for name, rows in {"summary": summary, "bands": bands}.items():
        written[name] = Path(output) / f"reconstruct_{name}.csv"
        files.write_text(written[name], rows.to_csv(index=False))
    if pixels := _pixels(found):
        written["pixels"] = Path(output) / "reconstruct_pixels.npz"
        with files.atomic(written["pixels"]) as partial, open(partial, "wb") as handle:
            np.savez_compressed(handle, allow_pickle=False, **pixels)
    drawn = outputs.save_pictures(bands_figure.plot(bands), Path(output) / "reconstruct_bands")
    return written | {f"bands {ending}": path for ending, path in drawn.items()}


def _refuse_both(images: Images) -> None:
    """Raise InputError where images of a data set are asked for beside image files."""
    if images.limit is not None or not images.embedded:
        asked = f"{images.limit} images" if images.limit is not None else images.data_dir or images.dataset
        raise InputError(f"image files are given, and {asked} of a data set asked for; take one of the two")


def _masks(
    subjects: Sequence[Subject], ratio: float | None, cell: int | None, echo: Callable[[str], None]
) -> tuple[Grid, float]:
    """Cells and the share of them that is hidden, for all models; says where one was trained otherwise."""
    trained = [_trained(subject) for subject in subjects]
    size = subjects[0].report.input_size[1:]
    grid = mask_grid(size, cell) if cell else trained[0][0]
    ratio = trained[0][1] if ratio is None else ratio
    if not 0 < ratio <= 1:
        raise InputError(f"a mask ratio of {ratio:g} hides nothing that could be reconstructed; it is above 0, up to 1")
    for subject, (own_grid, own_ratio) in zip(subjects, trained, strict=True):
        height, width = subject.report.input_size[1:]
        if grid and (height % grid[0] or width % grid[1]):
            raise InputError(
                f"masks of {grid[0]}x{grid[1]} cells, as {subjects[0].name} takes them, do not divide the images of "
                f"{height}x{width} pixels of {subject.name}; choose others with --mask-patch-size"
            )
        if (own_grid, own_ratio) != (grid, ratio):
            echo(
                f"{subject.name}: hidden are {_hidden(grid, ratio)}; it was trained with {_hidden(own_grid, own_ratio)}"
            )
    return grid, ratio


def _hidden(grid: Grid, ratio: float) -> str:
    return f"{ratio:g} of {grid[0]}x{grid[1]} cells" if grid else f"a square of {ratio:g} of the area"


def _trained(subject: Subject) -> tuple[Grid, float]:
    """Cells and ratio of the masks that the model was trained with, or the paper's."""
    args, size = subject.report.args, subject.report.input_size[1:]
    ratio = args.get("mask_ratio", 0.6)
    if args.get("method") == "inpainting":
        return None, ratio
    return mask_grid(size, args.get("mask_patch_size") or auto_cell(size[0])), ratio


def _drawn(images: Images, subject: Subject, shown: int) -> tuple[int, ...]:
    """Numbers of the images that are drawn: those that would be measured if so few were asked for."""
    number = min(shown, images.limit or len(images.source()))
    if isinstance(images, GivenImages):
        return tuple(range(number))
    few = replace(images, limit=number, workers=0).loader(subject.report, number)
    return tuple(index for batch in few for index in batch.indices.tolist())


def _ssim(subjects: Sequence[Subject], echo: Callable[[str], None]) -> bool:
    reasons = [reason for subject in subjects if (reason := reconstruction.no_ssim(subject.report.input_size[1:]))]
    for reason in reasons[:1]:
        echo(reason)
    return not reasons


def _measure(model: MaskedImageModel, batch: Batch, question: Question) -> portions.Arrays:
    """Numbers of a batch, (B, tokens, ...), and the pictures of those images that are drawn."""
    size, indices = model.img_size, batch.indices.tolist()
    mask = reconstruction.masks(indices, size, question.grid, question.ratio, question.seed)
    place = model.mask_token.device
    drawn = np.isin(batch.indices.numpy(), question.drawn)
    found: list[portions.Arrays] = []
    for token in TOKENS[question.token]:
        with reconstruction.without_token(model) if token == "without" else contextlib.nullcontext():
            shown = reconstruction.panels(model, batch.images.to(place), mask.to(place))
        scores = reconstruction.scores(shown, mask)
        numbers = {name: scores[name].to_numpy() for name in ("l1", "psnr")}
        if question.ssim:
            numbers["ssim"] = reconstruction.ssim(shown, mask)
        energies = reconstruction.band_energies(shown, mask)._asdict()
        numbers |= {f"energy {name}": value for name, value in energies.items()}
        pictures = {f"picture {name}": _eight_bits(panel[drawn]) for name, panel in shown._asdict().items()}
        found.append(numbers | pictures)
    stacked = {key: np.stack([one[key] for one in found], axis=1) for key in found[0]}
    return {"picture image": batch.indices.numpy()[drawn], **stacked}


def _eight_bits(panel: torch.Tensor) -> np.ndarray:
    return (panel * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def _variant(arrays: Sequence[portions.Arrays], key: str, place: int) -> np.ndarray:
    """An array of all portions, of the token's variant at ``place`` where there are several."""
    whole = np.concatenate([one[key] for one in arrays])
    return whole if key.endswith("image") else whole[:, place]


def _columns(found: portions.Arrays) -> list[str]:
    return [name for name in ("image", "l1", "psnr", "ssim") if name in found]


def _against(keys: Sequence[Key]) -> dict[Key, Key]:
    """What each is compared with: the same model with its token where that is there, else the first of all."""
    wanted = {(name, token): (name, "with") if token == "without" else keys[0] for name, token in keys}
    return {key: other if other in wanted else keys[0] for key, other in wanted.items() if key != keys[0]}


def _compared(values: Mapping[Key, np.ndarray], seed: int) -> dict[Key, pd.DataFrame]:
    """``paired.compare`` with a column ``against``, the name of the other."""
    against = _against(list(values))
    names = {key: _title(*other) for key, other in against.items()}
    tables = paired.compare(values, against, seed)
    return {key: rows.assign(against=names.get(key, "")) for key, rows in tables.items()}


def _summary(found: Mapping[Key, portions.Arrays], seed: int) -> pd.DataFrame:
    """Averages over images of L1, PSNR and SSIM, and paired differences."""
    measures = _columns(next(iter(found.values())))[1:]
    tables = _compared({key: np.stack([one[name] for name in measures], axis=1) for key, one in found.items()}, seed)
    table = _stack(tables)
    table.insert(2, "measure", measures * len(tables))
    return table


def _bands(found: Mapping[Key, portions.Arrays], seed: int) -> pd.DataFrame:
    """Error and energy of the prediction in each band, relative to the target's energy; see ``band_energies``.

    Where the summary has differences to another model, this has ratios: how many times the other's error.
    """
    edges = reconstruction.band_edges()

    def relative(name: str) -> dict[Key, pd.DataFrame]:
        logs = {key: paired.log_ratio_values(one[f"energy {name}"], one["energy target"]) for key, one in found.items()}
        tables = _compared(logs, seed)
        return {
            key: np.exp(rows.drop(columns="against")).assign(against=rows["against"]) for key, rows in tables.items()
        }

    errors, energies = relative("error"), relative("prediction")
    tables = {}
    for key, one in found.items():
        error, energy = errors[key], energies[key]
        with np.errstate(divide="ignore"):  # no error at all
            psnr = -10 * np.log10(one["energy error"].mean(axis=0))
        columns = dict(low=edges[:-1], high=edges[1:], error=error["value"])
        columns |= dict(ci_low=error["ci_low"], ci_high=error["ci_high"], psnr=psnr, energy=energy["value"])
        columns |= dict(energy_ci_low=energy["ci_low"], energy_ci_high=energy["ci_high"])
        ratio = error[["difference", "difference_ci_low", "difference_ci_high", "against"]]
        ratio = ratio.rename(columns=lambda name: name.replace("difference", "ratio"))
        tables[key] = pd.concat([pd.DataFrame(columns), ratio], axis=1)
    return _stack(tables)


def _stack(tables: Mapping[Key, pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(dict(tables), names=["checkpoint", "token"]).reset_index([0, 1]).reset_index(drop=True)


def _title(name: str, token: str) -> str:
    return name if token == "with" else f"{name}, without token"


def _pictures(found: portions.Arrays) -> dict[str, np.ndarray]:
    """The panels of the drawn images, pixels in 0..1."""
    return {field: found[f"picture {field}"] / 255 for field in reconstruction.Panels._fields}


def _pixels(found: Mapping[Key, portions.Arrays]) -> dict[str, np.ndarray]:
    """What the picture shows, in 0..255 (see ``a2mim.figures.figure5``); nothing where networks differ in size."""
    fields = reconstruction.Panels._fields
    if len({one[f"picture {fields[0]}"].shape for one in found.values()}) > 1:
        return {}
    names, tokens = map(np.array, zip(*found, strict=True))
    captions = np.array([_captions(one) for one in found.values()])
    pixels = {field: np.stack([one[f"picture {field}"] for one in found.values()]) for field in fields}
    return {"checkpoint": names, "token": tokens, "caption": captions, **pixels}


def _captions(found: portions.Arrays) -> list[str]:
    """PSNR, and SSIM where there is one, of the drawn images."""
    captions = []
    for index in found["picture image"]:
        row = int(np.flatnonzero(found["image"] == index)[0])
        similar = f", SSIM {found['ssim'][row]:.2f}" if "ssim" in found else ""
        captions.append(f"{found['psnr'][row]:.1f} dB{similar}")
    return captions
