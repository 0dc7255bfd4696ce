"""Checkpoints that are spread over several files by FSDP (DCP) and DeepSpeed: found, or refused with the way out."""

from __future__ import annotations

from pathlib import Path

from a2mim.errors import InputError

_TO_ONE_FILE = "python -m torch.distributed.checkpoint.format_utils dcp_to_torch"
_ONE_PROCESS = "mp_rank_*_model_states.pt"  # DeepSpeed without ZeRO-3: the weights are whole
_ZERO_3 = "zero_pp_rank_*_model_states.pt"


def find_in_folder(folder: Path) -> Path | None:
    """The one file with the weights of a folder that DeepSpeed wrote; None for a folder of another kind.

    Raises:
        InputError: shards of FSDP or of ZeRO-3; the message has the command that joins them.
    """
    if (folder / ".metadata").is_file() or any(folder.glob("*.distcp")):
        raise InputError(
            f"{folder} holds shards of FSDP (torch.distributed.checkpoint); join them: {_TO_ONE_FILE} {folder} OUT.pt"
        )
    latest = folder / "latest"
    if not latest.is_file():
        return _in_step(folder, folder)
    name = latest.read_bytes()[:200].decode("utf-8", "replace").strip()
    if not name or Path(name).name != name or not (folder / name).is_dir():
        raise InputError(f"{latest} names the folder {name!r}, which is not there")
    found = _in_step(folder / name, folder)
    if found is None:
        raise InputError(f"{folder / name} has no {_ONE_PROCESS}, which DeepSpeed writes")
    return found


def _in_step(step: Path, folder: Path) -> Path | None:
    if any(step.glob(_ZERO_3)):
        raise InputError(
            f"{step} holds shards of DeepSpeed's ZeRO-3; join them: python {folder / 'zero_to_fp32.py'} {folder} OUT"
        )
    files = sorted(step.glob(_ONE_PROCESS))
    if len(files) > 1:
        raise InputError(f"{step} holds a network in {len(files)} parts (model parallel); give one that is whole")
    return files[0] if files else None


def refuse_shard(path: Path) -> None:
    """Raise InputError for one file of several."""
    if path.suffix == ".distcp":
        raise InputError(
            f"{path} is one shard of FSDP (torch.distributed.checkpoint); join its folder: "
            f"{_TO_ONE_FILE} {path.parent} OUT.pt"
        )
