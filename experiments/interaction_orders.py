"""Masked image modelling strengthens middle-order interactions between patches, in ViTs and in CNNs.

Paper: section 3.2, Figure 1 (e)-(h); Figure A1 (c)-(d) for ResNet-50 on ImageNet-1K.
Command: python -m a2mim.experiments.interaction_orders --scale demo
Cost: the trainings that it shares with ``classification``, and about a minute (small networks) for each classifier.
Supported if: J(m), averaged over the orders that the paper names (0.05n to 0.5n in ViT, 0.1n to 0.55n in ResNet), is
larger in classifiers pre-trained by MIM than in those trained from scratch or pre-trained by MoCo v3.
Opposed if: it is smaller, and the interval over seeds excludes 0. J has mean 1 over all orders, so a larger value at
one order means smaller values at others.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from a2mim.figures import methods

from .claims import Claim, Tables, main, measured
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import SCRATCH, Scale

MIDDLE = {"ViT": (0.05, 0.5), "ResNet": (0.1, 0.55)}  # section 3.2


def analysis(scale: Scale, network: str, seed: int) -> Stage:
    return scale.analysis("interactions", network, seed, scale.classifiers(network, seed))


def stages(scale: Scale) -> list[Stage]:
    return [analysis(scale, network, seed) for network, seed in scale.each()]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    return {"interactions": measured(scale, output, "interactions", analysis)}


def findings(tables: Tables) -> list[Finding]:
    found = []
    for network, rows in tables["interactions"].groupby("network", sort=False):
        low, high = MIDDLE["ViT" if methods.family(network) == "transformer" else "ResNet"]
        middle = rows[rows["ratio"].between(low, high)]
        by_seed = per_seed(middle, "J")
        for better in ("simmim", "a2mim"):
            for than, called in ((SCRATCH, "random weights"), ("mocov3", "contrastive pre-training")):
                statement = f"{network}: {better} has stronger middle-order interactions than {called}"
                found.append(judge(statement, by_seed, better, than, measure=f"mean J from {low}n to {high}n"))
    return found


CLAIM = Claim(
    __doc__, "section 3.2, Figure 1 e-h, Figure A1 c-d", ("interactions",), stages, collect, findings, drawn=("1", "A1")
)

if __name__ == "__main__":
    main(CLAIM)
