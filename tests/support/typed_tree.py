"""Lay the packages out as they are installed, for type checkers: a folder of links.

A default editable install maps packages by an import hook, which no type checker sees. `make check` runs mypy on this
tree; editors take it as an extra path.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = ("analysis", "figures", "experiments")  # what `package_dir` in setup.cfg puts into a2mim


def lay_out(folder: Path) -> Path:
    """Make `<folder>/a2mim` link to every file and sub-package; returns the folder."""
    package = folder / "a2mim"
    package.mkdir(parents=True, exist_ok=True)
    wanted = {path.name: path for path in [*(ROOT / "a2mim").iterdir(), *(ROOT / name for name in INSIDE)]}
    for link in package.iterdir():
        if link.is_symlink() and (link.name not in wanted or not link.exists()):
            link.unlink()
    for name, path in wanted.items():
        if name != "__pycache__" and not (package / name).exists():
            (package / name).symlink_to(path)
    return folder


if __name__ == "__main__":
    lay_out(Path(sys.argv[1]).absolute())
