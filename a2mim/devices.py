"""Where the computing happens."""

from __future__ import annotations

import torch

from a2mim.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """The device of that name; ``auto`` is the GPU where there is one.

    Raises:
        InputError: a name that torch does not know, or a device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"device '{name}' cannot be used: {str(error).splitlines()[0]}") from error
    return device
