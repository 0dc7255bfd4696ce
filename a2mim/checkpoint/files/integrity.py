"""Whether the bytes of a file are those that were written: the CRC-32 that torch's zip archives carry for each record.

torch does not look at it when it maps a file into memory, and a changed byte is a changed weight. safetensors and the
files of torch before 1.6 have no checksum: only the checksum of the whole file can be compared.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from a2mim.errors import InputError

_REMEMBERED = 64 * 2**20  # bytes from which a file that was checked is remembered from one command to the next
_ENTRIES = 1000  # that are remembered
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_NO_CHECKSUMS = (
    "none of the {count} records matches its CRC-32: the file was written without checksums "
    "(torch.serialization.set_crc32_options), so that changed bytes cannot be noticed"
)
_checked: dict[tuple[str, int, int], str] = {}  # (path, bytes, time of change) -> note


def check(path: Path, *, again: bool = False) -> str:
    """Compare every record of torch's zip archive with its CRC-32, once for each state of the file.

    Args:
        again: check a file that was checked before.

    Returns:
        A note where the file carries no usable checksums, else "".

    Raises:
        InputError: records that do not match, by name. zipfile.BadZipFile: a damaged archive.
    """
    stat = path.stat()
    key = (str(path.resolve()), stat.st_size, stat.st_mtime_ns)
    if again or key not in _checked:
        if again or stat.st_size < _REMEMBERED or list(key) not in _read_memory():
            _checked[key] = _compare(path)
            if stat.st_size >= _REMEMBERED and not _checked[key]:
                _write_memory(key)
        else:
            _checked[key] = ""
    return _checked[key]


def notes(path: Path) -> tuple[str, ...]:
    """What ``check`` noted of a file that is loaded."""
    resolved = str(path.resolve())
    return tuple({note for (name, _, _), note in _checked.items() if name == resolved and note})


def describe(path: Path) -> str:
    """What can be said of the file's bytes, for ``a2mim-checkpoint inspect --verify``.

    Raises:
        InputError: records of torch's archive that do not match their CRC-32.
    """
    with open(path, "rb") as file:
        is_archive = file.read(4) == b"PK\x03\x04"
        digest = hashlib.file_digest(file, "sha256").hexdigest() if not is_archive and file.seek(0) == 0 else ""
    if is_archive:
        return check(path, again=True) or "every record matches its CRC-32"
    return (
        "safetensors and torch's old files carry no checksum, so that changed bytes cannot be noticed; compare the "
        f"SHA-256 with that of the source: {digest}"
    )


def _compare(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.file_size]
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if sum(entry.file_size for entry in entries) > len(mapped):
            raise zipfile.BadZipFile("its records overlap")
        with memoryview(mapped) as view, ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:
            right = list(threads.map(lambda entry: _matches(view, entry), entries))
    wrong = [entry.filename for entry, matches in zip(entries, right, strict=True) if not matches]
    if wrong and len(wrong) == len(entries) > 1:
        return _NO_CHECKSUMS.format(count=len(entries))
    if wrong:
        name = wrong[0] if wrong[0].isprintable() else ascii(wrong[0])
        raise InputError(
            f"{path} is damaged: record '{name}' does not match its CRC-32 ({len(wrong)} of {len(entries)} records do "
            "not); get the file again"
        )
    return ""


def _matches(view: memoryview, entry: zipfile.ZipInfo) -> bool:
    """Whether the bytes of a stored record have the CRC-32 that the archive says."""
    end = entry.header_offset + _LOCAL_HEADER.size
    if end > len(view):
        return False
    signature, *_, name, extra = _LOCAL_HEADER.unpack(view[entry.header_offset : end])
    start = end + name + extra
    if signature != b"PK\x03\x04" or start + entry.file_size > len(view):
        return False
    with view[start : start + entry.file_size] as data:
        return zlib.crc32(data) == entry.CRC


# --- what was checked, from one command to the next -------------------------------------------------------------------


def _memory() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "a2mim" / "checked.json"


def _read_memory() -> list[list[object]]:
    try:
        found = json.loads(_memory().read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError, RecursionError):  # not there, somebody else's, no home: check again
        return []
    return found if isinstance(found, list) else []


def _write_memory(key: tuple[str, int, int]) -> None:
    try:
        memory = _memory()
        memory.parent.mkdir(parents=True, exist_ok=True)
        entries = [entry for entry in _read_memory() if isinstance(entry, list) and entry[:1] != [key[0]]]
        partial = memory.with_name(f"{memory.name}.{os.getpid()}.partial")
        partial.write_text(json.dumps([*entries, list(key)][-_ENTRIES:]), encoding="utf-8")
        partial.replace(memory)
    except (OSError, RuntimeError, ValueError):
        pass  # a cache: without it the file is checked again
