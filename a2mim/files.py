"""Files that are complete or absent: a write goes to a temporary file, is synced, and then takes its name.

A process that is killed leaves its temporary file (``.NAME.*.partial``); the next one that writes to the folder removes
it. Each writer holds a lock on its temporary file, so that the files of living processes stay.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from a2mim.errors import InputError

SUFFIX = ".partial"
KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
    (stat.S_ISFIFO, "pipe"),
    (stat.S_ISSOCK, "socket"),
)
_cleaned: set[Path] = set()  # folders in which this process has looked for leftovers


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it replaces ``path`` when the block succeeds, and is removed otherwise.

    A crash, a full disk or Ctrl-C inside the block leaves the earlier file untouched.

    Raises:
        InputError: ``path`` is a folder, a device, a pipe or a socket.
    """
    path = Path(path)
    check_output(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent.absolute() not in _cleaned:
        _cleaned.add(path.parent.absolute())
        clean(path.parent)
    descriptor, partial = _temporary(path)
    try:
        yield partial
        with open(partial, "rb+") as handle:
            os.fsync(handle.fileno())
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # an error of write() has no file name
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)
        os.close(descriptor)


def check_output(path: str | os.PathLike[str]) -> None:
    """Refuse to replace what is not a regular file.

    Raises:
        InputError: ``path`` (or what it links to) is a folder, a device, a pipe or a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:  # nothing there, or an error that the write reports
        return
    for test, kind in KINDS:
        if test(mode):
            raise InputError(f"cannot write {path}: it is a {kind}, not a regular file; give another name")


def clean(folder: str | os.PathLike[str]) -> None:
    """Remove the temporary files that killed processes have left in a folder."""
    for partial in Path(folder).glob(f".*{SUFFIX}"):
        with contextlib.suppress(OSError), open(partial, "rb") as handle:  # held by its writer, or already gone
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            partial.unlink()


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` in UTF-8, atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def agree_json(path: str | os.PathLike[str], value: Any) -> Any:
    """The content of a JSON file, after writing ``value`` if it is absent; processes that race get the same value."""
    path = Path(path)
    if not path.exists():
        own = path.with_name(f"{path.name}.{os.getpid()}")
        write_json(own, value)
        try:
            os.link(own, path)  # fails where another process was first
        except FileExistsError:
            pass
        except OSError:  # no links on this file system: the last one wins
            write_json(path, value)
        finally:
            own.unlink()
    return json.loads(path.read_text(encoding="utf-8"))


def _temporary(path: Path) -> tuple[int, Path]:
    """A new temporary file for ``path``, locked by its open descriptor."""
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=SUFFIX, dir=path.parent)
        with contextlib.suppress(OSError):  # a file system without locks: leftovers stay
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.exists(name):  # another process may have cleaned it before it was locked
            return descriptor, Path(name)
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
