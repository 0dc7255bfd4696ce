"""Analyses that look at images one by one: in portions, each measured once, kept in a part, and shared by processes.

A portion is always the same images, whatever the batch size, so that a run that goes on ends with the same bits, and so
that any process may measure any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from a2mim.data import Batch
from a2mim.errors import InputError

from . import parts, pipeline
from .parts import Parts
from .pipeline import Images, Subject, digest, parts_folder

PORTION = 64  # images
Arrays = dict[str, np.ndarray]


def measure(
    subjects: Sequence[Subject],
    images: Images,
    output: str | Path,
    analysis: str,
    settings: Mapping[str, Any],
    measured: Callable[[Subject, Batch], Arrays],
    *,
    shard: tuple[int, int] = (0, 1),
    progress: bool = True,
) -> list[Path]:
    """Measure what this process is to measure and no part holds yet; returns the folder of parts of each network.

    Args:
        settings: all that the result depends on besides the network and the images.
        measured: a network and at most ``PORTION`` images -> arrays, of which ``gather`` gets those of all portions.
        shard: (k, n) takes every n-th portion, from k = 0.

    Raises:
        InputError: the output holds parts of other settings. What ``measured`` raises.
    """
    folders = []
    for subject in subjects:
        loader = images.loader(subject.report, PORTION)
        about = {**settings, "images": images.describe(), "portions": len(loader)}
        kept = Parts(
            parts_folder(output, analysis, subject.name),
            {**about, "name": subject.name, "network": digest(subject.model)},
        )
        folders.append(kept.folder)
        mine = range(len(loader))[shard[0] :: shard[1]]
        todo = [number for number in mine if kept.load(_part(number)) is None]
        bar = tqdm(
            desc=subject.name,
            total=len(mine),
            initial=len(mine) - len(todo),
            unit="portion",
            disable=None if progress else True,
        )
        with bar:
            for number, batch in loader.batches(todo):
                found = {} if batch is None else measured(subject, batch)
                numbers = np.empty(0, np.int64) if batch is None else batch.indices.numpy()
                kept.save(_part(number), found | {"image": numbers})
                bar.update()
    return folders


def gather(folder: Path) -> tuple[dict[str, Any], list[Arrays]]:
    """The settings of finished parts, and their arrays in the order of the images; portions without images left out.

    ``image`` among the arrays has the numbers of the portion's images that could be read.

    Raises:
        InputError: portions are missing, or no image could be read.
    """
    settings = parts.read_settings(folder)
    if gaps := missing(folder):
        raise InputError(f"{len(gaps)} of the {settings['portions']} portions of {folder.name} are not there")
    kept = Parts(folder, settings)
    found = [kept.load(_part(number)) or {} for number in range(settings["portions"])]
    found = [arrays for arrays in found if len(arrays["image"])]
    if not found:
        raise InputError(f"{folder.name}: not one image could be read")
    return settings, found


def gather_paired(folders: Sequence[Path]) -> list[tuple[dict[str, Any], list[Arrays]]]:
    """``gather`` of several networks that are compared image by image.

    Raises:
        InputError: what ``gather`` raises, or an image that was read for one network and not for another.
    """
    gathered = [gather(folder) for folder in folders]
    first, *others = (np.concatenate([arrays["image"] for arrays in found]) for _, found in gathered)
    if not all(np.array_equal(first, one) for one in others):
        raise InputError(f"an image was read for one model and not for another; remove {folders[0].parent}, try again")
    return gathered


def missing(folder: Path) -> list[int]:
    """Portions that no part holds."""
    settings = parts.read_settings(folder)
    kept = Parts(folder, settings)
    return [number for number in range(settings["portions"]) if kept.load(_part(number)) is None]


def unfinished(folders: Sequence[Path], shard: tuple[int, int], echo: Callable[[str], None]) -> bool:
    """Whether other shards have portions to do before there are results; says so."""
    return pipeline.unfinished(sum(len(missing(folder)) for folder in folders), "portions", shard, echo)


def _part(number: int) -> str:
    return f"portion-{number:05d}"
