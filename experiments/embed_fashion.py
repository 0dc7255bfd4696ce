"""``python -m a2mim.experiments.embed_fashion``; the code is in ``making/embed_fashion.py``."""

from .making.embed_fashion import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
