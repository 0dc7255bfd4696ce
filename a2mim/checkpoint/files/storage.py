"""Checkpoint files: what a run writes, and which file is meant by a path or a name."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from a2mim import files
from a2mim.checkpoint.files.reading import DESCRIPTION, State
from a2mim.checkpoint.files.sharded import find_in_folder
from a2mim.errors import InputError

VERSION = 1
BEST, LAST, BACKBONE = "model_best.pth.tar", "last.pth.tar", "backbone.safetensors"
FOLDERS = (  # what Hugging Face and timm call weights in a folder
    *("model.safetensors", "pytorch_model.bin"),
    *("model.safetensors.index.json", "pytorch_model.bin.index.json"),
)
SHIPPED = Path(__file__).parents[2] / "assets"


def save_checkpoint(path: str | os.PathLike[str], checkpoint: Mapping[str, Any]) -> None:
    """Write ``checkpoint`` with ``torch.save``, atomically: the old file stays until the new one is whole."""
    with files.atomic(path) as partial:
        try:
            with open(partial, "wb") as handle:  # by a handle, which says why a write fails, and in half the time
                torch.save({"version": VERSION, **checkpoint}, handle)
        except RuntimeError as error:  # what torch makes of a failed write (a full disk)
            reason = error.__context__ if isinstance(error.__context__, OSError) else error
            raise OSError(f"cannot write {path}: {str(reason).splitlines()[0]}") from error


def export_safetensors(
    path: str | os.PathLike[str], checkpoint: Mapping[str, Any], *, encoder_only: bool = False, half: bool = False
) -> None:
    """Write the weights of a checkpoint as safetensors, its description as metadata.

    Args:
        checkpoint: what ``save_checkpoint`` takes.
        encoder_only: plain timm names of the encoder alone, which ``timm.create_model`` loads.
        half: store floating tensors in float16.
    """
    state: State = dict(checkpoint.get("state_dict_ema") or checkpoint["state_dict"])  # averaged where it is, as loaded
    meta = {key: checkpoint[key] for key in DESCRIPTION if checkpoint.get(key) is not None}
    if encoder_only and checkpoint["kind"] == "pretrain":
        state = _under(state, "encoder.")
        meta = {key: value for key, value in meta.items() if key != "mim_args"} | {"kind": "encoder"}
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).detach().cpu().contiguous().clone()
        for name, value in state.items()
    }
    text = {key: value if isinstance(value, str) else json.dumps(value) for key, value in meta.items()}
    with files.atomic(path) as partial:
        try:
            safetensors.torch.save_file(tensors, partial, metadata={"format": "pt", **text})
        except safetensors.SafetensorError as error:  # a full disk
            raise OSError(f"cannot write {path}: {error}") from error


def shipped() -> dict[str, Path]:
    """The small checkpoints that come with the package: name -> file."""
    return {file.stem: file for file in sorted(SHIPPED.glob("*.safetensors"))}


def resolve(path: str | os.PathLike[str], prefer: Iterable[str] = (BEST, LAST, BACKBONE)) -> Path:
    """The checkpoint file meant by ``path``: a file, a folder (of a run, Hugging Face, timm), or a shipped name.

    Raises:
        InputError: nothing is there; the message says what was looked for.
    """
    given, path = str(path), Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        wanted = (*prefer, *FOLDERS)
        found = next((path / name for name in wanted if (path / name).is_file()), None) or find_in_folder(path)
        if found is None:
            inside = ", ".join(sorted(entry.name for entry in path.iterdir())[:5]) or "nothing"
            raise InputError(f"folder {path} has none of {', '.join(wanted)}; found {inside}")
        return found
    if given in shipped():
        return shipped()[given]
    raise InputError(f"no checkpoint '{given}': no such file or folder, nor one of the shipped {', '.join(shipped())}")


def _under(state: Mapping[str, torch.Tensor], prefix: str) -> State:
    return {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
