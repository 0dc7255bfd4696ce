"""Checkpoint files: what a run writes, how any file is read without running code from it, and where files are found."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from a2mim import files
from a2mim.errors import InputError

VERSION = 1
BEST, LAST, BACKBONE = "model_best.pth.tar", "last.pth.tar", "backbone.safetensors"
SHIPPED = Path(__file__).parent.parent / "assets"
State = dict[str, torch.Tensor]


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> None:
    """Write ``checkpoint`` with ``torch.save``, atomically: the old file stays until the new one is whole."""
    with files.atomic(path) as partial:
        try:
            torch.save({"version": VERSION, **checkpoint}, partial)
        except RuntimeError as error:  # torch reports a failed write (a full disk) so
            raise OSError(f"cannot write {path}: {str(error).splitlines()[0]}") from error


def export_safetensors(
    path: str | os.PathLike[str], checkpoint: Mapping[str, Any], *, encoder_only: bool = False, half: bool = False
) -> None:
    """Write the weights of a checkpoint as safetensors, its description as metadata.

    Args:
        checkpoint: what ``save_checkpoint`` takes.
        encoder_only: plain timm names of the encoder alone, which ``timm.create_model`` loads.
        half: store floating tensors in float16.
    """
    state: State = dict(checkpoint["state_dict"])
    meta = {key: checkpoint[key] for key in _DESCRIPTION if checkpoint.get(key) is not None}
    if encoder_only and checkpoint["kind"] == "pretrain":
        state = _under(state, "encoder.")
        meta = {key: value for key, value in meta.items() if key != "mim_args"} | {"kind": "encoder"}
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    with files.atomic(path) as partial:
        safetensors.torch.save_file(tensors, partial, metadata={"format": "pt", **text})


# what a safetensors file says about its weights, beside them
_DESCRIPTION = (
    *("kind", "arch", "model_args", "mim_args", "num_classes", "classes"),
    *("input_size", "mean", "std", "epoch", "args"),
)


def read_checkpoint(path: str | os.PathLike[str], *, trust: bool = False) -> dict[str, Any]:
    """The contents of a checkpoint file; safetensors give ``{"state_dict": ..., **metadata}``.

    Args:
        trust: unpickle whatever the file holds. This runs code that the file's author chose.

    Raises:
        InputError: the file is not there, is damaged, is no checkpoint, or would run code.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such file: {path}")
    try:
        if path.suffix == ".safetensors":
            return _read_safetensors(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=not trust)
    except pickle.UnpicklingError as error:
        if "weights_only" in str(error).lower() or "unsupported" in str(error).lower():
            raise InputError(
                f"{path} holds more than weights, and reading it would run code from the file; "
                "--trust-checkpoint (trust=True) allows that, for files whose author you trust"
            ) from error
        raise InputError(f"{path} is no checkpoint that torch can read") from error
    except (RuntimeError, EOFError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InputError(f"{path} is damaged or no checkpoint: {_first_line(error)}") from error
    if not isinstance(checkpoint, dict):
        raise InputError(f"{path} holds a {type(checkpoint).__name__}, not a dictionary of weights")
    return checkpoint


def shipped() -> dict[str, Path]:
    """The small checkpoints that come with the package: name -> file."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.safetensors"))}


def resolve(path: str | os.PathLike[str], prefer: Iterable[str] = (BEST, LAST, BACKBONE)) -> Path:
    """The checkpoint file meant by ``path``: a file, a run's folder, or the name of a shipped checkpoint.

    Raises:
        InputError: nothing is there; the message says what was looked for.
    """
    given, path = str(path), Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        found = next((path / name for name in prefer if (path / name).is_file()), None)
        if found is None:
            inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
            raise InputError(f"folder {path} has none of {', '.join(prefer)}; found {inside}")
        return found
    if given in shipped():
        return shipped()[given]
    raise InputError(f"no checkpoint '{given}': no such file or folder, nor one of the shipped {', '.join(shipped())}")


def _read_safetensors(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as handle:
        meta = dict(handle.metadata() or {})
    for key in set(_DESCRIPTION) - {"kind", "arch"}:
        if key in meta:
            meta[key] = json.loads(meta[key])
    return {**meta, "state_dict": safetensors.torch.load_file(path)}


def _under(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
