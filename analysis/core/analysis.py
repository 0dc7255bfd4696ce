"""The record: what an analysis is. Everything else (commands, parts, merge, files, the page) goes over such records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from .arrays import Arrays
from .choices import PORTION
from .images import Images
from .numbers import Columns as Columns
from .numbers import Numbers
from .numbers import Tables as Tables
from .options import Kind
from .subjects import Echo, Subject

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    S = TypeVar("S", bound=DataclassInstance)
else:
    S = TypeVar("S")


@dataclass(frozen=True)
class Study(Generic[S]):
    """All that is asked at once: these networks, these images, these settings.

    Args:
        device: where networks lie that an analysis loads besides.
        loading: keywords of the loader, for such networks.
        echo: says a line to the user.
        shard: (k, n), the share of the work that this process does.
        rate: images per second of one network, on average; 0 before it is known.
    """

    subjects: Sequence[Subject]
    images: Images
    settings: S
    device: str = "auto"
    loading: Mapping[str, Any] = field(default_factory=dict)
    echo: Echo = lambda _: None
    shard: tuple[int, int] = (0, 1)
    rate: float = 0.0
    portions: Sequence[int] | None = None  # those of the images' portions that are measured; None: all


@dataclass(frozen=True)
class Plan(Generic[S]):
    """What a study will cost.

    Args:
        study: with the settings and images that were chosen.
        evaluations: forward passes of single images, of each network.
        words: what the user reads, instead of the usual sentence.
    """

    study: Study[S]
    evaluations: float
    words: str = ""


@dataclass(frozen=True)
class Gathered:
    """All parts of one network (or of one pair, where an analysis measures two together).

    Args:
        name: of the network.
        settings: as the parts were written with: the analysis' own, and ``images``, ``name``, ``network``.
        parts: in the order of the images; those without an image left out.
        asked: the settings as they were given now, for those that parts do not depend on; empty when parts are merged.
    """

    name: str
    settings: Mapping[str, Any]
    parts: Sequence[Arrays]
    asked: Mapping[str, Any] = field(default_factory=dict)

    def joined(self, key: str) -> Any:
        """One array of all images, (N, ...)."""
        return np.concatenate([arrays[key] for arrays in self.parts])


def _unchanged(study: Study[S]) -> Study[S]:
    return study


@dataclass(frozen=True)
class Analysis(Generic[S]):
    """One analysis, as data.

    Args:
        name: the command, the files and the section of the report are called so.
        title: of the section.
        settings: a frozen dataclass of ``option(...)``: flags, JSON and report come from it. It refuses values that
            cannot be (``__post_init__``), before a network is loaded.
        load: what its subjects are: ``classifiers``, ``encoders``, ``masked models``.
        measure: (subject, batch, settings) -> arrays of one part. Where ``together``, subject and batch are tuples of
            two. A long part may keep what it has through ``subject.part``.
        tables: gathered parts -> ``{"": main table, "summary": ...}``; the first column is ``checkpoint``.
        figures: name -> plot(tables); ``""`` is the main one, others are called ``<name>_<key>``.
        reading: how to read it, in one sentence.
        prepare: settings that follow from the networks (grid ``auto`` -> (14, 14)); refuses what cannot be before
            anything is measured.
        plan: what it costs, and what a budget buys; runs after ``prepare``, with ``study.rate`` known.
        begin: what needs the networks once the plan stands, and is not part of a dry run.
        together: measured on pairs of subjects, or on one at a time.
        portion: images of one part.
        most: images without ``--images``; None: all.
        batch_size: images in one forward pass by default; None: the fastest by a short trial.
        columns: of each table, as the page checks them when it reads; it reads no other table.
        captions: of figures and pictures: what stands below each, and what it shows, for people who cannot see it.
        pictures: name -> plot(gathered): figures that need more than the tables, such as images.
        files: gathered parts, tables -> arrays that are kept beside the tables, ``<name>_<key>.npz``.
        findings: gathered parts, tables -> sentences, each with its interval and what it is about; console, JSON and
            page show them.
        extra: gathered parts, tables -> what else the file of settings says (``settings`` are joined to those there).
        numbers: tables -> what the report shows beside the figures; without it, the main table as it is.
        labels: whether images need labels that fit the classifier.
    """

    name: str
    title: str
    settings: type[S]
    load: Kind
    measure: Callable[[Any, Any, S], Arrays]
    tables: Callable[[Sequence[Gathered]], dict[str, pd.DataFrame]]
    figures: Mapping[str, Callable[[Tables], Figure]]
    reading: str
    prepare: Callable[[Study[S]], Study[S]] = _unchanged
    plan: Callable[[Study[S]], Plan[S]] | None = None
    begin: Callable[[Study[S]], Study[S]] = _unchanged
    together: bool = False
    portion: int = PORTION
    most: int | None = None
    batch_size: int | None = None
    columns: Mapping[str, Columns] = field(default_factory=dict)
    captions: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    pictures: Mapping[str, Callable[[Sequence[Gathered]], Figure]] = field(default_factory=dict)
    files: Callable[[Sequence[Gathered], Tables], Mapping[str, Arrays]] | None = None
    findings: Callable[[Sequence[Gathered], Tables], list[str]] | None = None
    extra: Callable[[Sequence[Gathered], Tables], Mapping[str, Any]] | None = None
    numbers: Callable[[Tables], Numbers] | None = None

    @property
    def labels(self) -> bool:
        return self.load == "classifiers"

    def parts_folder(self, output: str | Path) -> Path:
        """Where the parts of all its networks lie."""
        return Path(output, f"{self.name}.parts")


def stack(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One table of several networks', with a first column ``checkpoint``."""
    table = pd.concat(dict(tables), names=["checkpoint"])
    return table.reset_index(level="checkpoint").reset_index(drop=True)
