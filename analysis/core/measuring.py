"""Measuring: from a record, subjects and images to a result. Nothing else knows of shards, parts, devices and files.

The images come in portions, each measured once and kept in a part. A portion is always the same images, whatever the
batch size, so that a run that goes on ends with the same bits, and so that any process may measure any of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import nn
from tqdm import tqdm

from a2mim import files
from a2mim.errors import InputError
from a2mim.training.devices import pick_device

from . import outputs, parts, speed
from .analysis import Analysis, Gathered, Plan, Study
from .arrays import Arrays
from .choices import PORTION
from .images import Images
from .parts import Parts
from .subjects import Echo, Part, Subject, check_classifier, load_subjects

Shard = tuple[int, int]


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    Args:
        tables: ``""`` is the main table; others by the ending of their file.
        findings: sentences, each with its interval and what it is about.
        about: the file of settings: every setting, seed, data, reports of the loader, the command.
        arrays: what is kept beside the tables.
        gathered: the parts of each network.
    """

    analysis: Analysis[Any]
    tables: Mapping[str, pd.DataFrame]
    findings: Sequence[str]
    about: Mapping[str, Any]
    arrays: Mapping[str, Arrays]
    gathered: Sequence[Gathered]
    duration: float | None = None

    def figure(self, name: str = "") -> Figure:
        """A figure of the analysis; without a name the main one.

        Raises:
            InputError: the analysis has no figure of that name.
        """
        if name in self.analysis.figures:
            return self.analysis.figures[name](self.tables)
        if name in self.analysis.pictures:
            return self.analysis.pictures[name](self.gathered)
        known = ", ".join(repr(one) for one in (*self.analysis.figures, *self.analysis.pictures))
        raise InputError(f"{self.analysis.name} has no figure '{name}'; there are: {known}")

    def save(self, folder: str | Path) -> dict[str, Path]:
        """Write tables, settings, figures and arrays as ``<folder>/<analysis>[_<name>].*``; returns the paths."""
        folder, name = Path(folder), self.analysis.name
        written = outputs.save(folder, name, self.tables[""], self.about, self.figure(), duration=self.duration)
        for key, table in self.tables.items():
            if key:
                written[key] = folder / f"{name}_{key}.csv"
                files.write_text(written[key], table.to_csv(index=False))
        for key, arrays in self.arrays.items():
            written[key] = folder / f"{name}_{key}.npz"
            with files.atomic(written[key]) as partial, open(partial, "wb") as handle:
                np.savez_compressed(handle, allow_pickle=False, **arrays)
        for key in (*self.analysis.figures, *self.analysis.pictures):
            if key:
                drawn = outputs.save_pictures(self.figure(key), folder / f"{name}_{key}")
                written |= {f"{key} {ending}": path for ending, path in drawn.items()}
        return written


def run(
    analysis: Analysis[Any],
    subjects: Sequence[str] | Mapping[str, nn.Module | str] = (),
    settings: Any = None,
    images: Images | None = None,
    output: str | Path | None = None,
    *,
    names: Sequence[str] = (),
    device: str = "auto",
    batch_size: int | None = None,
    shard: Shard | None = None,
    dry_run: bool = False,
    progress: bool = True,
    echo: Echo = lambda _: None,
    command: str = "",
    module: Mapping[str, Any] | None = None,
    **loading: Any,
) -> Result | None:
    """Measure what no part holds yet, and gather the result.

    All networks see the same images, so that differences between them are paired. What is finished lies in
    ``<output>/<analysis>.parts``: the same call goes on from there.

    Args:
        analysis: a record; see ``a2mim.analysis.ANALYSES``.
        subjects: checkpoints, or name -> checkpoint or module in memory; none: those that come with the package.
        settings: of the analysis; default: ``analysis.settings()``.
        images: which images; default: the embedded ones.
        output: folder of the parts; without one nothing is kept. ``Result.save`` writes tables and figures.
        names: one for each checkpoint.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        batch_size: images in one forward pass; default: the analysis', or the fastest by a short trial.
        shard: (k, n) does every n-th portion, from k = 0. Under torchrun each process takes its share by itself.
        dry_run: say the cost and end.
        progress: show a progress bar.
        echo: gets lines for the user.
        command: the command as it was given, to be kept with the result.
        module: of modules in memory: ``input_size``, ``mean``, ``std``; see ``subjects.report_of``.
        loading: keywords of the loader (``arch``, ``model_args``, ``which``, ``trust``).

    Returns:
        The result; None where other shards have work to do before there is one, and after a dry run.

    Raises:
        InputError: settings that cannot be, networks or images that do not fit them, parts of other settings.
    """
    started = time.perf_counter()
    shard, device = _share(shard, device)
    settings = analysis.settings() if settings is None else settings
    images = images or Images()
    loaded = load_subjects(analysis.load, subjects, names=names, device=device, echo=echo, module=module, **loading)
    images = images.or_limit(analysis.most) if analysis.most else images
    source = images.source()  # too few images are refused here, before a part is begun
    for subject in loaded:
        if analysis.labels:
            check_classifier(subject, source)
    study = Study(loaded, images, settings, device, loading, echo, shard)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory()) if output is None else Path(output)
        study = _tuned(analysis, analysis.prepare(study), Path(folder), batch_size, dry_run)
        plan = analysis.plan(study) if analysis.plan else _usual_plan(study)
        if analysis.plan or dry_run:
            echo(plan.words)
        if dry_run:
            return None
        folders = measure(analysis, analysis.begin(plan.study), Path(folder), progress=progress)
        if waiting := sum(len(missing(one)) for one in folders):
            echo(f"shard {shard[0] + 1}/{shard[1]} is done; {waiting} portions of other shards are not there yet")
            return None
        reports = {subject.name: subject.report.to_dict() for subject in loaded}
        about = {"checkpoints": reports, "device": str(pick_device(device)), "command": command}
        asked = dataclasses.asdict(plan.study.settings)
        return collect(analysis, folders, about, asked, echo=echo, duration=time.perf_counter() - started)


def measure(analysis: Analysis[Any], study: Study[Any], output: Path, *, progress: bool = True) -> list[Path]:
    """Measure what this process is to measure and no part holds yet; returns the folder of parts of each network."""
    return [_measure_unit(analysis, study, unit, output, progress) for unit in _units(analysis, study.subjects)]


def collect(
    analysis: Analysis[Any],
    folders: Sequence[Path],
    about: Mapping[str, Any],
    asked: Mapping[str, Any] = MappingProxyType({}),
    *,
    echo: Echo = lambda _: None,
    duration: float | None = None,
) -> Result:
    """The result of whole parts; ``echo`` gets the findings.

    Args:
        about: what the file of settings says besides: reports of the loader, device, command.
        asked: see ``Gathered``.

    Raises:
        InputError: parts are missing, or an image was read for one network and not for another.
    """
    gathered = [replace(gather(folder), asked=asked) for folder in folders]
    _check_paired(gathered, folders)
    tables = analysis.tables(gathered)
    findings = analysis.findings(gathered, tables) if analysis.findings else []
    for sentence in findings:
        echo(sentence)
    described = _described(analysis.name, [one.settings for one in gathered], about)
    extra = dict(analysis.extra(gathered, tables)) if analysis.extra else {}
    described["settings"] |= extra.pop("settings", {})
    described |= extra
    described |= {"conclusions": list(findings)}
    arrays = analysis.files(gathered, tables) if analysis.files else {}
    return Result(analysis, tables, findings, described, arrays, gathered, duration)


def gather(folder: Path) -> Gathered:
    """The settings of finished parts, and their arrays in the order of the images.

    ``image`` among the arrays has the numbers of the portion's images that could be read.

    Raises:
        InputError: portions are missing, or no image could be read.
    """
    settings = parts.read_settings(folder)
    if gaps := missing(folder):
        raise InputError(f"{len(gaps)} of the {len(_numbers(settings))} portions of {folder.name} are missing")
    kept = Parts(folder, settings)
    found = [kept.load(_part(number)) or {} for number in _numbers(settings)]
    found = [arrays for arrays in found if len(arrays["image"])]
    if not found:
        raise InputError(f"{folder.name}: none of the images could be read")
    return Gathered(settings["name"], settings, found)


def missing(folder: Path) -> list[int]:
    """Portions that no part holds, or none that is complete."""
    settings = parts.read_settings(folder)
    kept = Parts(folder, settings)
    return [number for number in _numbers(settings) if not _whole(kept.load(_part(number)))]


def _share(shard: Shard | None, device: str) -> tuple[Shard, str]:
    """Which share (k, n) of the work is this process's, and its device; torchrun sets both in the environment."""
    if shard is not None:
        if not 0 <= shard[0] < shard[1]:
            raise InputError(f"shard {shard[0] + 1} of {shard[1]} is out of range; shards are 1 to {shard[1]}")
        return shard, device
    rank, world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if world > 1 and device == "auto" and torch.cuda.is_available():
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return (rank, world), device


def _tuned(
    analysis: Analysis[Any], study: Study[Any], output: Path, batch_size: int | None, dry_run: bool
) -> Study[Any]:
    """The study with each network's format and batch size, and the rate that follows.

    They are those found when the parts were begun, so that their bits stay the same.
    """
    wanted = batch_size or analysis.batch_size
    amp = bool(getattr(study.settings, "amp", False))
    rates = []
    for subject in study.subjects:
        if analysis.load == "masked models":  # which take a mask besides
            subject.batch_size = wanted or PORTION
            continue
        path = _folder(analysis, output, subject.name) / f"speed-{subject.device.type}-{wanted or 'auto'}.json"
        size = subject.report.input_size
        found = None if path.exists() else speed.tune(subject.model, size, subject.device, wanted, amp)
        if found is None or not dry_run:
            found = speed.Speed.from_json(files.agree_json(path, found and found.to_json()))
        subject.model.to(memory_format=found.memory_format)
        subject.batch_size = found.batch_size
        rates.append(found.images_per_second)
    return replace(study, rate=len(rates) / sum(1 / rate for rate in rates) if rates else 0.0)


def _usual_plan(study: Study[Any]) -> Plan[Any]:
    number, networks = study.images.limit or len(study.images.source()), len(study.subjects)
    rate = f" at {study.rate:,.0f} images/s" if study.rate else ""
    return Plan(study, number, f"cost: {number} images, once or more, through {networks} network(s){rate}")


def _units(analysis: Analysis[Any], subjects: Sequence[Subject]) -> list[tuple[Subject, ...]]:
    """What is measured at a time: each network, or each pair of networks, one with itself too."""
    if analysis.together:
        return list(itertools.combinations_with_replacement(subjects, 2))
    return [(subject,) for subject in subjects]


def _measure_unit(
    analysis: Analysis[Any], study: Study[Any], unit: tuple[Subject, ...], output: Path, progress: bool
) -> Path:
    loaders = [study.images.loader(subject.report, analysis.portion) for subject in unit]
    name = " and ".join(subject.name for subject in unit)
    settings = {**plain(study.settings), "images": study.images.describe(), "portions": len(loaders[0]), "name": name}
    settings |= {} if study.portions is None else {"measured": list(study.portions)}
    settings |= {"network": "-".join(subject.digest() for subject in unit)}
    kept = Parts(_folder(analysis, output, name), settings)
    every = _numbers(settings)
    mine = every[study.shard[0] :: study.shard[1]]
    todo = [number for number in mine if not _whole(kept.load(_part(number)))]
    quiet = None if progress else True
    with tqdm(desc=name, total=len(mine), initial=len(mine) - len(todo), unit="portion", disable=quiet) as bar:
        for found in zip(*(loader.batches(todo) for loader in loaders), strict=True):
            number, batches = found[0][0], [batch for _, batch in found]
            done, keep = bar.n, functools.partial(_keep, kept, number, bar, bar.n)
            begun = kept.load(_part(number)) or {}
            arrays: Arrays = {}
            if all(batch is not None for batch in batches):
                for subject in unit:
                    subject.part = Part(number, every.index(number), begun, keep)
                together = analysis.together
                arrays = analysis.measure(
                    unit if together else unit[0], tuple(batches) if together else batches[0], study.settings
                )
            indices = np.empty(0, np.int64) if batches[0] is None else batches[0].indices.numpy()
            kept.save(_part(number), {**arrays, "image": indices})
            bar.update(done + 1 - bar.n)
    return kept.folder


def _keep(kept: Parts, number: int, bar: tqdm[Any], before: float, arrays: Arrays, share: float = 0.0) -> None:
    """Keep an unfinished part, of which ``share`` is done."""
    kept.save(_part(number), {**arrays, "unfinished": np.array(True)})
    bar.update(before + share - bar.n)


def _whole(arrays: Mapping[str, Any] | None) -> bool:
    return arrays is not None and "unfinished" not in arrays


def _numbers(settings: Mapping[str, Any]) -> list[int]:
    """Numbers of the portions that are measured."""
    return list(settings.get("measured", range(settings["portions"])))


def plain(settings: Any) -> dict[str, Any]:
    """Settings as JSON holds them: by their own ``to_json``, else all fields."""
    return settings.to_json() if hasattr(settings, "to_json") else dataclasses.asdict(settings)


def _check_paired(gathered: Sequence[Gathered], folders: Sequence[Path]) -> None:
    """Raise InputError where networks that are compared image by image were not given the same images."""
    first, *others = (one.joined("image") for one in gathered)
    if not all(np.array_equal(first, one) for one in others):
        raise InputError(f"an image was read for one model and not for another; remove {folders[0].parent}, try again")


def _described(analysis: str, settings: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> dict[str, Any]:
    """The file of settings, from the settings of the parts and ``about``."""
    own = ("images", "name", "network", "portions", "measured")
    return {
        "analysis": analysis,
        "settings": {key: value for key, value in settings[0].items() if key not in own},
        "images": settings[0]["images"],
        "networks": {one["name"]: one["network"] for one in settings},
        **about,
    }


def _folder(analysis: Analysis[Any], output: Path, name: str) -> Path:
    """Where the parts of a network lie."""
    return analysis.parts_folder(output) / "".join(one if one.isalnum() or one in "-_." else "_" for one in name)


def _part(number: int) -> str:
    return f"portion-{number:05d}"
