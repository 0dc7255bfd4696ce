"""Networks named by a folder or a repository (``local-dir:PATH``, ``hf-hub:OWNER/NAME``): their architecture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from timm.models import _hub

from a2mim.errors import InputError

_FOLDERS, _REPOSITORIES = ("local-dir",), ("hf-hub", "hf_hub")


def architecture(name: str, model_args: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    """The timm architecture behind a name, and its arguments: what builds the same network without the folder.

    A run keeps these, so that its checkpoints can be read without the folder or the repository. ``model_args`` override
    the arguments in the source's config.json. Other names are returned unchanged.

    >>> architecture("resnet18", {"in_chans": 1})
    ('resnet18', {'in_chans': 1})

    Raises:
        InputError: the source cannot be read.
    """
    source, _, place = name.partition(":")
    if source not in (*_FOLDERS, *_REPOSITORIES):
        return name, dict(model_args or {})
    try:
        if source in _FOLDERS:
            _, arch, args = _hub.load_model_config_from_path(place)
        else:
            _, arch, args = _hub.load_model_config_from_hf(place)
    except Exception as error:  # of the file system, of the network, or of what stands in the file
        reason = " ".join((str(error) or type(error).__name__).split())
        raise InputError(f"the network '{name}' cannot be read: {reason[:300]}") from error
    return arch, {**(args or {}), **(model_args or {})}
