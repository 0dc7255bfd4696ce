"""``python -m a2mim.experiments.benchmarks``."""

from . import main

if __name__ == "__main__":
    main()
