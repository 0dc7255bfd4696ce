"""Runnable modules: the demo, the benchmarks, what makes the shipped checkpoints; and the recipes."""
