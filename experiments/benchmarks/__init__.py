"""Ratios that the project promises, each measured within one run: ``python -m a2mim.experiments.benchmarks``."""

from .suite import main

__all__ = ["main"]
