"""One module per figure: ``plot`` takes a tidy table (or arrays) and returns a matplotlib Figure. No torch here.

Figures of the paper: ``figure1``, ``figure3``, ``figure5``, ``figure6``, and the tables in ``tables``. Figures of a
user's own checkpoints and runs, the first six in the paper's form: ``occlusion``, ``interactions``, ``spectrum``,
``variance``, ``reconstruction``, ``bands``, ``interaction_map``, ``training``, ``confusion``.
"""
