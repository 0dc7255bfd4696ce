"""``python -m a2mim.experiments.families``; the code is in ``making/families.py``."""

from .making.families import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
