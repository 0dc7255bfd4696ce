"""Lists of class folders: part of a large data set by the names of its sub-folders, such as IN-100 of ImageNet."""

from __future__ import annotations

import os
from importlib import resources
from pathlib import Path

from a2mim.errors import InputError

# IN-100: the 100 synsets of Tian et al., Contrastive Multiview Coding (2020), which the paper's reference 39 divides by
SHIPPED = ("imagenet100",)


def read_class_list(name: str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of class folders in a list that ships with the package, or in a file.

    Args:
        name: ``imagenet100``, or a text file with one name in each line; empty lines and comments (#) are ignored.

    Raises:
        InputError: no such list or file, an empty list, or a name that is in it twice.
    """
    if str(name) in SHIPPED:
        text = (resources.files("a2mim.assets") / f"{name}.txt").read_text(encoding="utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"the list of classes {name} cannot be read: {error}") from error
    else:
        raise InputError(f"no list of classes '{name}': it must be a file or one of {', '.join(SHIPPED)}")
    names = [line.partition("#")[0].strip() for line in text.splitlines()]
    names = [entry for entry in names if entry]
    twice = sorted({entry for entry in names if names.count(entry) > 1})
    if not names or twice:
        raise InputError(f"the list of classes {name} " + (f"names {twice[0]} twice" if twice else "is empty"))
    return tuple(names)
