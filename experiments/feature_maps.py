"""Inpainting and masked image modelling filter high frequencies out of a CNN's feature maps, and contrastive
pre-training keeps them; masked image modelling lowers the variance of the maps, and the other methods raise it.

Paper: section 3.3, Figure 3 (ResNet-50). The ViT, which the paper does not show, is measured in the same way.
Command: python -m a2mim.experiments.feature_maps --scale demo
Cost: the pre-trainings that it shares with ``classification``, and seconds (small networks) for each encoder.
Supported if: the relative log amplitude at the highest frequency, averaged over layers, is lower with inpainting and
SimMIM than with MoCo v3; the logarithm of the variance, averaged over layers, is lower with SimMIM and A2MIM than with
supervised training, inpainting and MoCo v3.
Opposed if: a difference has the opposite sign, and its interval over seeds excludes 0.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from .claims import Claim, Tables, main, measured
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import SCRATCH, Scale

PRETRAINED = ("random", "inpainting", "mocov3", "simmim", "a2mim")


def analysis(scale: Scale, network: str, seed: int, name: str) -> Stage:
    runs = {method: scale.pretraining(network, method, seed) for method in PRETRAINED}
    runs = {"random": runs.pop("random"), "supervised": scale.classifier(network, SCRATCH, seed), **runs}
    return scale.analysis(name, network, seed, runs)


def stages(scale: Scale) -> list[Stage]:
    return [analysis(scale, network, seed, name) for network, seed in scale.each() for name in ("spectrum", "variance")]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    of_file = {"spectrum": "spectrum", "spectrum_at": "spectrum", "variance": "variance"}
    return {file: measured(scale, output, file, partial(analysis, name=name)) for file, name in of_file.items()}


def findings(tables: Tables) -> list[Finding]:
    found = []
    spectrum = tables["spectrum"]
    of_layer = spectrum.groupby(["network", "method", "seed", "layer"], sort=False)["frequency"]
    highest = spectrum[spectrum["frequency"] == of_layer.transform("max")]
    variance = tables["variance"].assign(log=lambda table: np.log(table["variance"]))
    for network in dict.fromkeys(spectrum["network"]):
        by_seed = per_seed(highest[highest["network"] == network], "log_amplitude")
        for method in ("inpainting", "simmim"):
            statement = f"{network}: {method} has less high-frequency amplitude than contrastive pre-training"
            measure = "log amplitude at the highest frequency, mean over layers"
            found.append(judge(statement, by_seed, method, "mocov3", measure=measure, expected=-1))
        by_seed = per_seed(variance[variance["network"] == network], "log")
        for method in ("simmim", "a2mim"):
            for than in ("supervised", "inpainting", "mocov3"):
                statement = f"{network}: the feature maps of {method} have less variance than those of {than}"
                measure = "ln of the variance, mean over layers"
                found.append(judge(statement, by_seed, method, than, measure=measure, expected=-1))
    return found


CLAIM = Claim(
    __doc__,
    "section 3.3, Figure 3",
    ("spectrum", "spectrum_at", "variance"),
    stages,
    collect,
    findings,
    drawn=("3",),
)

if __name__ == "__main__":
    main(CLAIM)
