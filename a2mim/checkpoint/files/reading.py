"""Reading a checkpoint file: whatever its bytes are, the weights mapped into memory or one clear error.

The first bytes tell what a file is, not its name. No code of the file is run (``unpickling``), and no size that it
claims is believed before it is compared with the file's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import struct
import threading
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from a2mim.checkpoint.files import integrity
from a2mim.checkpoint.files.sharded import refuse_shard
from a2mim.checkpoint.files.unpickling import harmless, plain
from a2mim.errors import InputError

State = dict[str, torch.Tensor]

# what a safetensors file of ours says about its weights, as JSON
DESCRIPTION = (
    *("kind", "method", "arch", "model_args", "mim_args", "num_classes", "classes"),
    *("input_size", "mean", "std", "epoch", "args"),
)
# first bytes of files that are often given by mistake -> what they are
_MISTAKES: tuple[tuple[bytes, str], ...] = (
    (
        b"version https://git-lfs",
        "is a pointer of git-lfs, not the file itself: run 'git lfs pull' where it comes from",
    ),
    (b"<!doctype html", "is a web page: the download saved the page about the file, not the file"),
    (b"<html", "is a web page: the download saved the page about the file, not the file"),
    (b"\x89HDF", "is an HDF5 file (Keras?), not a checkpoint of PyTorch"),
    (b"GGUF", "is a GGUF file, whose weights are quantised"),
    (b"\x1f\x8b", "is compressed: unpack it first (gunzip, tar -xzf)"),
    (b"BZh", "is compressed: unpack it first"),
    (b"\xfd7zXZ", "is compressed: unpack it first"),
    (b"\x93NUMPY", "is an array of numpy, not a checkpoint"),
    (b"\x89PNG", "is a picture"),
    (b"\xff\xd8\xff", "is a picture"),
)
_PICKLE = 16 * 2**20  # bytes of names and settings; torch's unpickler reads about 1 MB in a second
_QUANTISERS = ("torchao.", "optimum.quanto.", "quanto.", "bitsandbytes.", "auto_gptq.", "hqq.")
_TORCH_MAGIC = torch.serialization.MAGIC_NUMBER.to_bytes(10, "little")  # begins what torch.save wrote before 1.6
# what torch, pickle and safetensors raise on bytes that are not what they should be
_DAMAGE = (
    *(RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError, AssertionError, OverflowError),
    *(MemoryError, RecursionError, ArithmeticError, ImportError, struct.error),
    *(safetensors.SafetensorError, zipfile.BadZipFile),
)


# torch keeps one list of allowed classes for the whole process: of two readers at once, one would clear the other's
_ALLOWING = threading.Lock()


def read_checkpoint(path: str | os.PathLike[str], *, trust: bool = False) -> dict[str, Any]:
    """The contents of a checkpoint: tensors, mapped to the file where its kind allows it, and plain values.

    Args:
        path: a file of torch or safetensors, or the ``*.index.json`` of one that comes in shards. A ``config.json`` and
            ``preprocessor_config.json`` beside weights are read too.
        trust: unpickle whatever the file holds. This runs code that the file's author chose.

    Returns:
        What was saved; safetensors give ``{"state_dict": ..., **metadata}``, and Hugging Face's folders ``"config"``
        and ``"preprocessor_config"`` besides. Changing a tensor in place does not change the file.

    Raises:
        InputError: the file is not there, is damaged, is not a checkpoint, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    refuse_shard(path)
    if path.name.endswith(".index.json"):
        return {"state_dict": _shards(path, trust), **_configs(path.parent)}
    checkpoint = _read_file(path, trust)
    configs = _configs(path.parent)
    if configs and isinstance(next(iter(checkpoint.values()), None), torch.Tensor):
        checkpoint = {"state_dict": checkpoint}
    return {**configs, **checkpoint}


def _read_file(path: Path, trust: bool) -> dict[str, Any]:
    with open(path, "rb") as file:
        start = file.read(512)
    size = path.stat().st_size
    if not size:
        raise InputError(f"{path} is empty")
    for magic, what in _MISTAKES:
        if start.lower().startswith(magic.lower()):
            raise InputError(f"{path} {what}")
    try:
        if start.startswith(b"PK\x03\x04"):
            mapped = _check_archive(path, size)
            integrity.check(path)
            return _read_pickle(path, trust, mmap=mapped)
        if _is_safetensors(start, size):
            return _read_safetensors(path)
        if start[:1] not in (b"\x80", b"(") and b"ustar" not in start[257:265]:  # neither a pickle nor torch's old tar
            kind = "a text file" if _is_text(start) else "not a file of torch or safetensors, or a damaged one"
            raise InputError(f"{path} is {kind}, not a checkpoint")
        if start[:1] in (b"\x80", b"(") and _TORCH_MAGIC not in start:
            raise InputError(
                f"{path} is a pickle, but not one of torch.save, and reading it could run code from the file; load it "
                "where it comes from and save its weights with torch.save or safetensors"
            )
        return _read_pickle(path, trust, mmap=False)
    except InputError:
        raise
    except _DAMAGE as error:
        raise InputError(f"{path} is damaged or not a checkpoint: {_first_line(error)}") from error


def _read_pickle(path: Path, trust: bool, mmap: bool) -> dict[str, Any]:
    options: Any = dict(map_location="cpu", weights_only=not trust)
    try:
        with (
            _ALLOWING,
            warnings.catch_warnings(),
            torch.serialization.safe_globals(harmless()),
            open(path, "rb") as file,
        ):
            warnings.simplefilter("ignore")  # about protocols and storages: nothing that a user can act on
            if mmap and path.suffix != ".safetensors":  # torch goes by this suffix when it is given a name
                checkpoint = torch.load(path, mmap=True, **options)
            else:
                checkpoint = torch.load(file, **options)
    except pickle.UnpicklingError as error:
        raise InputError(_refusal(path, str(error))) from error
    except Exception as error:
        if not trust:
            raise
        # the classes of the file may raise anything when they are built
        raise InputError(f"{path} cannot be unpickled: {type(error).__name__}: {_first_line(error)}") from error
    if isinstance(checkpoint, torch.nn.Module):
        checkpoint = {"state_dict": checkpoint.state_dict()}
    checkpoint = plain(checkpoint)
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} holds a {type(checkpoint).__name__}, not a dictionary of weights")
    return checkpoint


def _refusal(path: Path, message: str) -> str:
    """Why the unpickler stopped, in one line."""
    asked = re.search(r"(?:Unsupported global: GLOBAL|unsupported GLOBAL) (\S+)", message)
    if asked and asked[1].startswith(_QUANTISERS):
        return f"{path} is quantised ({asked[1]}): give the checkpoint in floating point that it was made from"
    if asked and asked[1].startswith("torch.distributed."):
        return (
            f"{path} holds shards of tensors ({asked[1]}), not whole ones: save the full state "
            "(torch.distributed.checkpoint.state_dict.get_model_state_dict with full_state_dict=True)"
        )
    if asked or ("weights_only" in message.lower() and "reduce" in message.lower()):
        what = f" ({asked[1]})" if asked else ""
        return (
            f"{path} holds more than weights{what}, and reading it would run code from the file; "
            "--trust-checkpoint (trust=True) allows that, for files whose author you trust"
        )
    return f"{path} is damaged, or not a checkpoint that torch can read"


def _check_archive(path: Path, size: int) -> bool:
    """Whether the zip archive is one of torch's whose tensors can be mapped.

    Raises:
        InputError: another archive; zipfile.BadZipFile: a damaged one.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    names = {entry.filename.partition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise InputError(f"{path} is a TorchScript archive; give the checkpoint (state_dict) that it was exported from")
    if "data.pkl" not in names:
        some = ", ".join(entry.filename for entry in entries[:3]) or "nothing"
        raise InputError(f"{path} is a zip archive without weights of torch; it holds {some}")
    if any(entry.filename.endswith("/data.pkl") and entry.file_size > _PICKLE for entry in entries):
        raise InputError(f"{path} is not a checkpoint of a network: its pickle alone has more than {_PICKLE >> 20} MB")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise InputError(
                f"{path} was zipped again: unpack it and give the file within, or save it again with torch.save"
            )
        if entry.header_offset + entry.file_size > size:
            raise InputError(f"{path} is damaged: '{entry.filename}' goes beyond its end")
    return True


def _is_safetensors(start: bytes, size: int) -> bool:
    return len(start) > 9 and start[8:9] == b"{" and int.from_bytes(start[:8], "little") < 100_000_000


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as handle:
        meta: dict[str, Any] = dict(handle.metadata() or {})
    for key in (set(DESCRIPTION) - {"kind", "arch"}) & meta.keys():
        with contextlib.suppress(ValueError):  # somebody else's text under the same name
            meta[key] = json.loads(meta[key])
    return {**meta, "state_dict": safetensors.torch.load_file(path)}


def _shards(index: Path, trust: bool) -> State:
    """The tensors of all files that a Hugging Face index names."""
    listed = _json(index).get("weight_map")
    if not isinstance(listed, Mapping) or not listed:
        raise InputError(f"{index} lists no weights ('weight_map')")
    state: State = {}
    for name in sorted(set(map(str, listed.values()))):
        if Path(name).name != name:
            raise InputError(f"{index} names a file outside its folder: '{name}'")
        if not (index.parent / name).is_file():
            raise InputError(f"{index} names '{name}', which is not there: the download is not complete")
        checkpoint = _read_file(index.parent / name, trust)
        state |= checkpoint.get("state_dict", checkpoint)
    return state


def _configs(folder: Path) -> dict[str, Any]:
    """What Hugging Face and timm write beside weights."""
    if not (folder / "config.json").is_file():
        return {}
    config = _json(folder / "config.json")
    if not config.keys() & {"model_type", "architectures", "architecture"}:
        return {}
    processor = folder / "preprocessor_config.json"
    return {"config": config, **({"preprocessor_config": _json(processor)} if processor.is_file() else {})}


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: {_first_line(error)}") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} holds a {type(value).__name__}, not settings")
    return value


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\n\r" for byte in start[:200])


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
