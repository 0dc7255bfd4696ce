"""From checkpoints to spectra and variances of feature maps by depth, with intervals over the images.

Of every portion of images only sums over them are kept, so that memory and disk do not depend on their number.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.stats

from a2mim import files
from a2mim.checkpoint import load_encoder
from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import spectrum as spectrum_figure
from a2mim.figures import variance as variance_figure

from ..core import outputs, pipeline, portions
from ..core.intervals import LEVEL
from ..core.pipeline import Images, Subject
from ..interactions.games import Floats
from . import measure as probes
from . import spectrum
from .measure import Layers, Probe

LIMIT = 1000  # images without ``--images``


def run_spectrum(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    layers: Sequence[str] | None = None,
    reduction: str = "diagonal",
    frequency: float | None = None,
    seed: int | None = None,
    device: str = "auto",
    shard: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    batch_size: int | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Relative log amplitude of every layer's maps (section 3.3, Figure 3 a); returns the files written.

    What is finished lies in ``<output>/spectrum.parts``; another ``frequency`` needs no new measuring.

    Args:
        checkpoints: with or without a classifier; none: the shipped classifiers.
        images: which; without a limit ``LIMIT`` of them. Labels are not needed.
        layers: see ``features.capture``; every network must have them. Default: ``features.default_layers``.
        reduction: see ``spectrum.log_amplitude``.
        frequency: at which all layers are compared, in units of π. Default: the largest that all of them have.
        seed: of the choice of images; default: that of ``images``.
        shard: (k, n) does every n-th portion of the images; whoever finishes last writes the results.
        batch_size: images in one forward pass; None: a whole portion, or what of it fits into memory.
        echo: gets the notes: layers left out, what the loader remarks.
        loading: options of ``load_encoder``.

    Raises:
        InputError: a layer that a network lacks, a diagonal of maps that are not square, a frequency that no layer has;
            checkpoints or images that cannot be read, parts of other settings. RunError: values that are not finite.
    """
    probe = probes.spectrum_probe(reduction)
    if frequency is not None and not 0 < frequency <= 1:
        raise InputError(f"frequency {frequency} must be above 0 and at most 1, in units of π")

    def check(found: Sequence[Layers]) -> None:
        last = max(spectrum.frequencies(size, reduction)[-1] for one in found for size in one.sizes.values())
        if frequency is not None and frequency > last + 1e-9:
            raise InputError(f"no layer has a frequency of {frequency:g} π; the largest is {last:.3g} π")

    given: dict[str, Any] = dict(layers=layers, seed=seed, device=device, shard=shard, names=names)
    given |= dict(batch_size=batch_size, progress=progress, echo=echo, loading=loading)
    given |= dict(remembered={"frequency": np.array(np.nan if frequency is None else frequency)})
    write = functools.partial(write_spectrum, frequency=frequency, echo=echo)
    return _run(probe, checkpoints, output, images, write, check, **given)


def run_variance(
    checkpoints: Sequence[str],
    output: str | Path,
    *,
    images: Images,
    layers: Sequence[str] | None = None,
    kind: str = "variance",
    ddof: int = 1,
    seed: int | None = None,
    device: str = "auto",
    shard: tuple[int, int] | None = None,
    names: Sequence[str] = (),
    batch_size: int | None = None,
    progress: bool = True,
    echo: Callable[[str], None] = lambda _: None,
    **loading: Any,
) -> dict[str, Path]:
    """Spatial variance of every layer's maps (section 3.3, Figure 3 b); returns the files written.

    Args:
        kind, ddof: see ``variance.image_variance``.
        The rest: see ``run_spectrum``.
    """
    probe = probes.variance_probe(kind, ddof)
    given: dict[str, Any] = dict(layers=layers, seed=seed, device=device, shard=shard, names=names)
    given |= dict(batch_size=batch_size, progress=progress, echo=echo, loading=loading)
    return _run(probe, checkpoints, output, images, write_variance, lambda _: None, remembered={}, **given)


def write_spectrum(
    output: str | Path,
    folders: Sequence[Path],
    about: Mapping[str, Any],
    frequency: float | None = None,
    echo: Callable[[str], None] = lambda _: None,
) -> dict[str, Path]:
    """Tables, settings and pictures of whole parts.

    Args:
        frequency: of the comparison; default: the one that the parts were asked for, else the largest of all layers.
    """
    gathered = [_Sums.of(folder) for folder in folders]
    reduction = gathered[0].settings["reduction"]
    table = _stacked(gathered, lambda one: one.spectrum(reduction))
    wished = [float(one.wished) for one in gathered if np.isfinite(one.wished)]
    ends = table.groupby(["checkpoint", "layer"])["frequency"].max()
    chosen = frequency if frequency is not None else (wished[0] if wished else float(ends.min()))
    at = _stacked(gathered, lambda one: one.spectrum_at(reduction, chosen))
    for (name, layer), end in ends.items():
        if end < chosen - 1e-9:
            echo(f"{name}: {layer} has no frequency of {chosen:.3g} π (its largest is {end:.3g} π)")
    described = _described("spectrum", gathered, about)
    described["settings"] |= {"frequency": chosen}
    figure = spectrum_figure.plot(table, at)
    written = outputs.save(output, "spectrum", table, described, figure, duration=about.get("duration"))
    written["at"] = Path(output) / "spectrum_at.csv"
    files.write_text(written["at"], at.to_csv(index=False))
    full = outputs.save_pictures(spectrum_figure.plot_full(table), Path(output) / "spectrum_full")
    return written | {f"full {ending}": path for ending, path in full.items()}


def write_variance(output: str | Path, folders: Sequence[Path], about: Mapping[str, Any]) -> dict[str, Path]:
    """Table, settings and picture of whole parts."""
    gathered = [_Sums.of(folder) for folder in folders]
    kind = gathered[0].settings["kind"]
    table = _stacked(gathered, lambda one: one.variance(kind))
    described = _described("variance", gathered, about)
    figure = variance_figure.plot(table)
    return outputs.save(output, "variance", table, described, figure, duration=about.get("duration"))


def _run(
    probe: Probe,
    checkpoints: Sequence[str],
    output: str | Path,
    images: Images,
    write: Callable[..., dict[str, Path]],
    check: Callable[[Sequence[Layers]], None],
    *,
    layers: Sequence[str] | None,
    seed: int | None,
    device: str,
    shard: tuple[int, int] | None,
    names: Sequence[str],
    batch_size: int | None,
    progress: bool,
    echo: Callable[[str], None],
    loading: Mapping[str, Any],
    remembered: portions.Arrays,
) -> dict[str, Path]:
    """Load, look once at the layers, measure, write: what both analyses do.

    Args:
        check: raises where the layers of all networks do not do.
        remembered: what each part is to hold besides, for ``write``.
    """
    started = time.perf_counter()
    shard, device = pipeline.share(shard, device)
    images = images if seed is None else replace(images, seed=seed)
    # too few images are refused here, before a part is begun
    images = images.or_limit(min(LIMIT, len(images.source())))
    subjects = pipeline.load_subjects(
        checkpoints or pipeline.CLASSIFIERS, load_encoder, names=names, device=device, echo=echo, **loading
    )
    layers = list(layers) if layers else None
    found = {subject.name: probes.layers_of(subject, layers, probe) for subject in subjects}
    check(list(found.values()))
    for name, one in found.items():
        for note in one.left_out:
            echo(f"{name}: left out: {note}")
    tuned = {one.name: pipeline.tuned(one, output, probe.name, batch_size or portions.PORTION) for one in subjects}

    def measured(subject: Subject, batch: Batch) -> portions.Arrays:
        return remembered | probes.sums(subject, batch, found[subject.name], probe, tuned[subject.name].batch_size)

    settings = {"layers": layers, **probe.settings}
    folders = portions.measure(subjects, images, output, probe.name, settings, measured, shard=shard, progress=progress)
    if portions.unfinished(folders, shard, echo):
        return {}
    return write(output, folders, pipeline.about(subjects, device, started))


@dataclass(frozen=True)
class _Sums:
    """What all portions of a network give together."""

    settings: Mapping[str, Any]
    first: portions.Arrays  # of one portion: what is the same in all
    n_images: int
    sum: Floats
    squares: Floats
    products: Floats

    @classmethod
    def of(cls, folder: Path) -> _Sums:
        settings, found = portions.gather(folder)
        totals = (np.sum([arrays[key] for arrays in found], axis=0) for key in ("sum", "squares", "products"))
        return cls(settings, found[0], int(sum(len(arrays["image"]) for arrays in found)), *totals)

    @property
    def wished(self) -> float:
        return float(self.first["frequency"])

    def spectrum(self, reduction: str) -> pd.DataFrame:
        """spectrum.csv: a row for each layer and frequency."""
        at = [spectrum.frequencies(tuple(size), reduction) for size in self.first["sizes"].tolist()]
        middle = self._interval("log_amplitude", self.sum, self.squares)
        return self._table(self.first["steps"], pd.DataFrame({"frequency": np.concatenate(at)}).join(middle))

    def spectrum_at(self, reduction: str, frequency: float) -> pd.DataFrame:
        """spectrum_at.csv: a row for each layer that has the frequency; interpolated as if image by image."""
        have, totals, squares = [], [], []
        starts = np.cumsum(self.first["steps"]) - self.first["steps"]
        for start, size in zip(starts.tolist(), self.first["sizes"].tolist(), strict=True):
            found = spectrum.interpolation(spectrum.frequencies(tuple(size), reduction), frequency)
            have.append(int(found is not None))
            if found is not None:
                here, share = start + found[0], found[1]
                there = here + (share > 0)  # the value of a next layer is never taken
                totals.append((1 - share) * self.sum[here] + share * self.sum[there])
                squares.append(
                    (1 - share) ** 2 * self.squares[here]
                    + 2 * share * (1 - share) * self.products[here]
                    + share**2 * self.squares[there]
                )
        middle = self._interval("log_amplitude", np.array(totals), np.array(squares))
        return self._table(np.array(have), pd.DataFrame({"frequency": np.full(len(middle), frequency)}).join(middle))

    def variance(self, kind: str) -> pd.DataFrame:
        """variance.csv: a row for each layer."""
        return self._table(self.first["steps"], self._interval(kind, self.sum, self.squares))

    def _interval(self, column: str, totals: Floats, squares: Floats) -> pd.DataFrame:
        """Mean over the images ± t · sd / √n; no interval of a single image."""
        n = self.n_images
        mean, half = totals / n, np.full(len(totals), np.nan)
        if n > 1:
            spread = np.sqrt(np.maximum(squares - n * mean**2, 0) / (n - 1))
            half = scipy.stats.t.ppf(LEVEL[1], n - 1) * spread / np.sqrt(n)
        return pd.DataFrame({column: mean, "ci_low": mean - half, "ci_high": mean + half})

    def _table(self, rows: npt.NDArray[np.int64], middle: pd.DataFrame) -> pd.DataFrame:
        """The columns that say which layer, before and after those that say what; ``rows`` of each layer."""
        layers = pd.DataFrame({"layer": self.first["layers"], "depth": self.first["depths"]})
        sizes = pd.DataFrame(self.first["sizes"], columns=["height", "width"])
        spread = [one.loc[one.index.repeat(rows)].reset_index(drop=True) for one in (layers, sizes)]
        return pd.concat([spread[0], middle, spread[1]], axis=1).assign(n_images=self.n_images)


def _stacked(gathered: Sequence[_Sums], table: Callable[[_Sums], pd.DataFrame]) -> pd.DataFrame:
    return pipeline.stack({one.settings["name"]: table(one) for one in gathered})


def _described(analysis: str, gathered: Sequence[_Sums], about: Mapping[str, Any]) -> dict[str, Any]:
    left_out = {one.settings["name"]: one.first["left_out"].tolist() for one in gathered}
    return pipeline.described(analysis, [one.settings for one in gathered], about) | {"left_out": left_out}
