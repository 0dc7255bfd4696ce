"""The analyses ``spectrum`` and ``variance`` as records: both sum what layers' maps show over the images.

Only sums over the images of a portion are kept, so that memory and disk do not depend on their number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from a2mim.data import Batch
from a2mim.errors import InputError
from a2mim.figures import spectrum as spectrum_figure
from a2mim.figures import variance as variance_figure
from a2mim.figures.statistics import half_width

from ..core.analysis import Analysis, Columns, Gathered, Study, Tables, stack
from ..core.arrays import Arrays, Floats
from ..core.subjects import Subject
from . import measure as probes
from . import numbers, spectrum
from .measure import Probe
from .settings import SpectrumSettings, VarianceSettings

SIZES = ("depth", "ci_low", "ci_high", "height", "width")


def spectrum_probe(settings: SpectrumSettings) -> Probe:
    """What is asked of every map."""
    return probes.spectrum_probe(settings.reduction)


def variance_probe(settings: VarianceSettings) -> Probe:
    """What is asked of every map."""
    return probes.variance_probe(settings.kind, settings.ddof)


def prepare_spectrum(study: Study[SpectrumSettings]) -> Study[SpectrumSettings]:
    """The layers of each network; refuses a frequency that none of them has."""
    wanted = study.settings
    _find_layers(study, spectrum_probe(wanted), wanted.layers)
    sizes = [size for subject in study.subjects for size in subject.found["layers"].sizes.values()]
    last = max(spectrum.frequencies(size, wanted.reduction)[-1] for size in sizes)
    if wanted.frequency is not None and wanted.frequency > last + 1e-9:
        raise InputError(f"no layer has a frequency of {wanted.frequency:g} π; the largest is {last:.3g} π")
    return study


def measure_spectrum(subject: Subject, batch: Batch, settings: SpectrumSettings) -> Arrays:
    """Sums over the images of log amplitudes; see ``measure.sums``."""
    frequency = np.nan if settings.frequency is None else settings.frequency
    found = probes.sums(subject, batch, subject.found["layers"], spectrum_probe(settings), subject.batch_size)
    return {"frequency": np.array(frequency), **found}


def spectrum_tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """All frequencies of each layer, and each layer at the one frequency at which they are compared."""
    reduction = gathered[0].settings["reduction"]
    sums = {one.name: _Sums.of(one) for one in gathered}
    table = stack({name: one.spectrum(reduction) for name, one in sums.items()})
    chosen = _frequency(gathered, table)
    return {"": table, "at": stack({name: one.spectrum_at(reduction, chosen) for name, one in sums.items()})}


def spectrum_findings(gathered: Sequence[Gathered], tables: Tables) -> list[str]:
    """Which layers do not reach the frequency of the comparison."""
    table = tables[""]
    chosen = _frequency(gathered, table)
    ends = table.groupby(["checkpoint", "layer"], sort=False)["frequency"].max()
    return [
        f"{name}: {layer} has no frequency of {chosen:.3g} π (its largest is {end:.3g} π)"
        for (name, layer), end in ends.items()
        if end < chosen - 1e-9
    ]


def spectrum_extra(gathered: Sequence[Gathered], tables: Tables) -> dict[str, Any]:
    """Layers left out, and the frequency of the comparison."""
    return {**_left_out(gathered, tables), "settings": {"frequency": _frequency(gathered, tables[""])}}


def prepare_variance(study: Study[VarianceSettings]) -> Study[VarianceSettings]:
    """The layers of each network."""
    _find_layers(study, variance_probe(study.settings), study.settings.layers)
    return study


def measure_variance(subject: Subject, batch: Batch, settings: VarianceSettings) -> Arrays:
    """Sums over the images of variances; see ``measure.sums``."""
    return probes.sums(subject, batch, subject.found["layers"], variance_probe(settings), subject.batch_size)


def variance_tables(gathered: Sequence[Gathered]) -> dict[str, pd.DataFrame]:
    """A row for each layer."""
    kind = gathered[0].settings["kind"]
    return {"": stack({one.name: _Sums.of(one).variance(kind) for one in gathered})}


def _find_layers(study: Study[Any], probe: Probe, layers: Sequence[str] | None) -> None:
    """Look once at the layers of each network; says which are left out."""
    for subject in study.subjects:
        found = probes.layers_of(subject, list(layers) if layers else None, probe)
        subject.found["layers"] = found
        for note in found.left_out:
            study.echo(f"{subject.name}: left out: {note}")


def _frequency(gathered: Sequence[Gathered], table: pd.DataFrame) -> float:
    """That of the comparison: given now, or when it was measured, else the largest that all layers have."""
    asked = gathered[0].asked.get("frequency")
    if asked is not None:
        return float(asked)
    remembered = [float(one.parts[0]["frequency"]) for one in gathered]
    known = [one for one in remembered if np.isfinite(one)]
    return known[0] if known else float(table.groupby(["checkpoint", "layer"])["frequency"].max().min())


def _left_out(gathered: Sequence[Gathered], _: Tables) -> dict[str, Any]:
    return {"left_out": {one.name: one.parts[0]["left_out"].tolist() for one in gathered}}


@dataclass(frozen=True)
class _Sums:
    """What all portions of a network give together."""

    first: Arrays  # of one portion: what is the same in all
    n_images: int
    sum: Floats
    squares: Floats
    products: Floats

    @classmethod
    def of(cls, one: Gathered) -> _Sums:
        totals = (np.sum([arrays[key] for arrays in one.parts], axis=0) for key in ("sum", "squares", "products"))
        return cls(one.parts[0], len(one.joined("image")), *totals)

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
        mean = totals / n
        half = half_width(np.sqrt(np.maximum(squares - n * mean**2, 0) / max(n - 1, 1)), n)
        return pd.DataFrame({column: mean, "ci_low": mean - half, "ci_high": mean + half})

    def _table(self, rows: npt.NDArray[np.int64], middle: pd.DataFrame) -> pd.DataFrame:
        """The columns that say which layer, before and after those that say what; ``rows`` of each layer."""
        layers = pd.DataFrame({"layer": self.first["layers"], "depth": self.first["depths"]})
        sizes = pd.DataFrame(self.first["sizes"], columns=["height", "width"])
        spread = [one.loc[one.index.repeat(rows)].reset_index(drop=True) for one in (layers, sizes)]
        return pd.concat([spread[0], middle, spread[1]], axis=1).assign(n_images=self.n_images)


SPECTRUM = Analysis(
    name="spectrum",
    title="Fourier spectra of the feature maps",
    settings=SpectrumSettings,
    load=SpectrumSettings.asks.load,
    prepare=prepare_spectrum,
    measure=measure_spectrum,
    tables=spectrum_tables,
    most=SpectrumSettings.asks.most,
    batch_size=SpectrumSettings.asks.batch_size,
    columns={
        "": Columns(
            ("frequency", "log_amplitude", *SIZES), ("checkpoint", "layer"), ("depth", "frequency", "log_amplitude")
        ),
        "at": Columns(("frequency", "log_amplitude", *SIZES), ("checkpoint", "layer"), ("depth", "log_amplitude")),
    },
    figures={
        "": lambda tables: spectrum_figure.plot(tables[""], tables.get("at")),
        "full": lambda tables: spectrum_figure.plot_full(tables[""]),
    },
    captions={
        "": (
            "Amplitude of high frequencies by depth",
            "Lines of the log amplitude of high frequencies against depth",
        ),
        "full": (
            "All frequencies, layer by layer",
            "Lines of log amplitude against frequency, one for each layer, in a panel for each network",
        ),
    },
    findings=spectrum_findings,
    numbers=numbers.spectrum,
    extra=spectrum_extra,
    reading="The lower a line, the more the maps of that depth are smoothed, as their high frequencies are lost; a "
    "line that rises keeps or adds detail.",
)

VARIANCE = Analysis(
    name="variance",
    title="Variance of the feature maps",
    settings=VarianceSettings,
    load=VarianceSettings.asks.load,
    prepare=prepare_variance,
    measure=measure_variance,
    tables=variance_tables,
    most=VarianceSettings.asks.most,
    batch_size=VarianceSettings.asks.batch_size,
    columns={"": Columns(SIZES, ("checkpoint", "layer"), ("depth",), either=("variance", "std"))},
    figures={"": lambda tables: variance_figure.plot(tables[""])},
    captions={
        "": ("Variance by depth", "Lines of the spatial variance of feature maps against depth"),
    },
    extra=_left_out,
    numbers=numbers.variance,
    reading="A line that rises with depth means maps that differ more from place to place; one that falls means maps "
    "that are averaged, as pooling and attention do.",
)
