"""Files that are whole or not there: every write goes to a temporary file, is synced, and then takes its name."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def atomic(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; when the block ends well it replaces ``path``, otherwise it is removed.

    A crash, a full disk or Ctrl-C inside the block leaves the file that was there before untouched.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(descriptor)
    partial = Path(name)
    try:
        yield partial
        with open(partial, "rb+") as handle:
            os.fsync(handle.fileno())
        os.chmod(partial, 0o666 & ~_umask())
        os.replace(partial, path)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # a write that fails does not know where
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` in UTF-8, atomically."""
    with atomic(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def agree_json(path: str | os.PathLike[str], value: Any) -> Any:
    """What the JSON file holds; ``value`` is written first if there is none. Processes that race all get the same."""
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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
