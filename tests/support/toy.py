"""A small analysis, as another package would write it: the mean of each image as the network sees it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from a2mim.analysis.core.analysis import Analysis, Columns, stack
from a2mim.analysis.core.options import option


@dataclass(frozen=True)
class ToySettings:
    """Brightness of the images."""

    times: float = option(1.0, "Factor of the brightness.", between=(0, 10))
    kind: str = option("mean", "What is taken.", ("mean", "max"))


class Counting:
    """Measures, and counts how often it was asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, subject, batch, settings):
        self.calls += 1
        return {"mean": settings.times * batch.images.mean((1, 2, 3)).numpy(), "index": batch.indices.numpy()}


def tables(gathered):
    """One row for each image."""
    return {"": stack({one.name: pd.DataFrame({"brightness": one.joined("mean")}) for one in gathered})}


def plot(tables):
    """Dots."""
    figure = Figure(figsize=(3, 2))
    figure.add_subplot().plot(tables[""]["brightness"], "o")
    return figure


def record(measure=None, **changes):
    """The record, with its own counter."""
    given = dict(
        name="toy",
        title="Brightness of a toy",
        settings=ToySettings,
        load="encoders",
        measure=measure or Counting(),
        tables=tables,
        columns={"": Columns(("brightness",))},
        figures={"": plot},
        findings=lambda gathered, tables: [f"mean brightness {np.mean(gathered[0].joined('mean')):.3f}"],
        reading="Brighter is brighter.",
    )
    return Analysis(**{**given, **changes})


TOY = record()
