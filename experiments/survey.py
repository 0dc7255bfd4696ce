"""``python -m a2mim.experiments.survey``; the code is in ``making/survey.py``."""

from .making.survey import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
