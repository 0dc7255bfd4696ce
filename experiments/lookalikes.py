"""``python -m a2mim.experiments.lookalikes``; the code is in ``making/lookalikes.py``."""

from .making.lookalikes import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
