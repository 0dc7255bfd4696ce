"""``python -m a2mim.experiments.shipped``; the code is in ``making/shipped.py``."""

from .making.shipped import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
