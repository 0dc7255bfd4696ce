"""What a set of images was when it was measured: its files, their sizes and the content of a sample of them."""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from a2mim.data.folders import FolderImages
from a2mim.data.pixels import UnreadableError
from a2mim.data.sources import ImageSource
from a2mim.data.timm_sources import TimmStream
from a2mim.errors import InputError

SAMPLE = 1000  # images whose content is hashed
LARGE = 2**22  # bytes of a file above which only its first and last halves of this count
EXAMPLES = 3
VERSION = 1


def fingerprint(source: ImageSource, *, sample: int = SAMPLE, seed: int = 0) -> dict[str, Any]:
    """What identifies the images of a source, as plain data for JSON (about 60 bytes for each sampled image).

    Names and sizes of all files count, relative to their folder, and the content of a sample; never the time of change
    or the folder itself, so that a copy has the same fingerprint. The sample is the ``sample`` files with the smallest
    hash of (seed, name): a file stays in it whatever is added elsewhere. Images that are not files count by their
    content and label; of a stream only its name and the number of images. Of files above 4 MiB the first and the last
    2 MiB are read.

    Args:
        source: the images; of a ``MappedSource`` those that it maps.
        sample: number of images whose content is hashed (all where there are fewer).
        seed: of the sample.

    Returns:
        ``digest``: 16 hex digits that differ as soon as anything here does, for comparisons; ``files`` and ``bytes``:
        how many; ``list``: hash of all names and sizes; ``classes``: hash of the class names in their order;
        ``sample``: {name: hash of the content}; ``seed`` and ``version``.
    """
    while isinstance(inner := getattr(source, "source", None), ImageSource):
        source = inner
    names, paths = _names_and_paths(source)
    sizes = [_size(path) for path in paths]
    indices = [] if isinstance(source, TimmStream) else _chosen(names, sample, seed)
    lines = sorted(f"{name}\0{size}" for name, size in zip(names, sizes, strict=True)) if paths else [source.name]
    found: dict[str, Any] = {
        "version": VERSION,
        "seed": seed,
        "files": len(source),
        "bytes": sum(sizes),
        "list": _hash(lines),
        "classes": _hash(source.classes),
        "sample": {names[index]: _content(source, paths, index) for index in indices},
    }
    return {"digest": _hash([json.dumps(found, sort_keys=True)]), **found}


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """What changed between two fingerprints of the same source, in words with examples; empty if nothing did.

    >>> old = {"digest": "1", "version": 1, "seed": 0, "files": 2, "list": "a", "classes": "c"}
    >>> old["sample"] = {"a.png": "x", "b.png": "y"}
    >>> difference(old, {**old, "digest": "2", "list": "b", "sample": {"a.png": "z", "c.png": "y"}})
    '1 replaced (a.png); 1 renamed (b.png -> c.png)'
    """
    if old.get("digest") == new.get("digest"):
        return ""
    if (old.get("version"), old.get("seed")) != (new.get("version"), new.get("seed")):
        return "the images were identified in another way, so they cannot be compared"
    before, now = old["sample"], new["sample"]
    parts = _changes(before, now, new["seed"], whole=len(before) == old["files"] and len(now) == new["files"])
    if old["files"] != new["files"]:
        parts.insert(0, f"{old['files']} images before, {new['files']} now")
    elif not parts and old["list"] != new["list"]:
        parts.append(f"names or sizes outside the sample of {len(now)} changed")
    if old["classes"] != new["classes"]:
        parts.append("the names of the classes or their order changed")
    return "; ".join(parts) or "the sample changed"


def _changes(before: Mapping[str, str], now: Mapping[str, str], seed: int, whole: bool) -> list[str]:
    """What differs between two samples, in words; ``whole``: they hold all images."""
    replaced = [name for name in before if name in now and before[name] != now[name]]
    gone, come = ([name for name in one if name not in other] for one, other in ((before, now), (now, before)))
    if not whole:  # the samples are those of the smallest hashes: one may have pushed another out, which is still there
        gone, come = _below_last(gone, now, seed), _below_last(come, before, seed)
    of_content: dict[str, list[str]] = {}
    for name in come:
        of_content.setdefault(now[name], []).append(name)
    moved = {name: of_content[before[name]].pop(0) for name in gone if of_content.get(before[name])}
    changes = {
        "replaced": replaced,
        "renamed": [f"{name} -> {new}" for name, new in moved.items()],
        "added": [name for name in come if name not in set(moved.values())],
        "removed": [name for name in gone if name not in moved],
    }
    return [
        f"{len(names)} {what}{'' if whole else f' in the sample of {len(now)}'} ({_some(names)})"
        for what, names in changes.items()
        if names
    ]


def _below_last(names: Sequence[str], sample: Mapping[str, str], seed: int) -> list[str]:
    """Those names that would be in a sample if their files were there."""
    last = max((_rank(name, seed) for name in sample), default=b"")
    return [name for name in names if _rank(name, seed) < last]


def check_unchanged(old: Mapping[str, Any], new: Mapping[str, Any], what: str, remedy: str) -> None:
    """Refuse to go on with images that are not those of before.

    Args:
        old, new: fingerprints, of before and of now.
        what: what was begun with the old ones, for the message: "the parts in out/occlusion.parts".
        remedy: what the user can do.

    Raises:
        InputError: with what changed.
    """
    if changed := difference(old, new):
        raise InputError(f"the images are not those of {what}: {changed}; {remedy}")


def _names_and_paths(source: ImageSource) -> tuple[list[str], list[str]]:
    """A name for each image, and its file: relative to the folder of all; no files where images are not files."""
    if isinstance(source, TimmStream):
        return [], []
    if isinstance(source, FolderImages):
        names, root = source.names(), os.path.join(source.root, "")
        return names, [root + name for name in names]
    paths = [source.path(index) for index in range(len(source))]
    if not os.path.isfile(paths[0]):
        return [f"{index}" for index in range(len(source))], []
    start = len(os.path.join(os.path.commonpath([os.path.dirname(path) for path in paths]), ""))
    return [path[start:] for path in paths], paths


def _chosen(names: Sequence[str], sample: int, seed: int) -> list[int]:
    """Numbers of the ``sample`` images whose names have the smallest hashes, in the order of the source."""
    indices = range(len(names))
    if len(names) <= sample:
        return list(indices)
    return sorted(heapq.nsmallest(sample, indices, key=lambda index: _rank(names[index], seed)))


def _rank(name: str, seed: int) -> bytes:
    return hashlib.blake2b(os.fsencode(f"{seed}/{name}"), digest_size=8).digest()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return -1


def _content(source: ImageSource, paths: Sequence[str], index: int) -> str:
    """Hash of an image's file (of the two ends of a large one), or of its pixels and label."""
    found = hashlib.blake2b(digest_size=6)
    try:
        if not paths:
            image, label = source[index]
            found.update(np.asarray(image).tobytes() + str(label).encode())
            return found.hexdigest()
        with open(paths[index], "rb") as file:
            size = os.fstat(file.fileno()).st_size
            found.update(file.read(size if size <= LARGE else LARGE // 2))
            if size > LARGE:
                file.seek(size - LARGE // 2)
                found.update(str(size).encode() + file.read(LARGE // 2))
    except (OSError, UnreadableError):
        return "unreadable"
    return found.hexdigest()


def _hash(parts: Iterable[str]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        found.update(os.fsencode(part) + b"\n")
    return found.hexdigest()


def _some(names: Sequence[str]) -> str:
    shown = (name if name.isprintable() else ascii(name) for name in names[:EXAMPLES])
    return ", ".join(shown) + (", ..." if len(names) > EXAMPLES else "")
