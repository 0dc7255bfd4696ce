"""The frequency loss improves fine-tuning; its adaptive weight improves it further, and the token inside the network
most.

Paper: section 5.4, Table 5 (fine-tuning on ImageNet-100; SimMIM with the mean colour is the baseline).
Command: python -m a2mim.experiments.loss_ablation --scale demo
Cost: a pre-training and a fine-tuning per row; two rows are shared with other claims; ``--plan`` lists them.
Supported if: top-1 after fine-tuning rises from each row of the table to the next (88.19, 88.47, 88.73, 88.86 in the
paper's ResNet-50; 85.17, 86.05, 86.41, 86.62 in its ViT-S).
Opposed if: a row is worse than the row before, and the interval over seeds excludes 0.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pandas as pd

from .claims import Claim, Tables, accuracies, main
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import Scale

ROWS = {
    "replace-stem": "L_spa",
    "freq-plain": "+ L_freq without ω",
    "freq-focal": "+ L_freq",
    "a2mim": "+ L_freq + token inside",
}


def stages(scale: Scale) -> list[Stage]:
    return [scale.classifier(network, variant, seed) for network, seed in scale.each() for variant in ROWS]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    rows = [
        ({"network": net.label, "row": row, "seed": seed}, scale.classifier(network, variant, seed))
        for network, net in scale.networks.items()
        for variant, row in ROWS.items()
        for seed in scale.seeds
    ]
    return {"loss_ablation": accuracies(scale, output, rows)}


def findings(tables: Tables) -> list[Finding]:
    found = []
    for network, rows in tables["loss_ablation"].groupby("network", sort=False):
        by_seed = per_seed(rows, "top1", "row")
        for before, after in pairwise(ROWS.values()):
            statement = f"{network}: '{after}' is better than '{before}'"
            found.append(judge(statement, by_seed, after, before, measure="top-1 (%)"))
    return found


CLAIM = Claim(__doc__, "section 5.4, Table 5", ("loss_ablation",), stages, collect, findings, drawn=("table5",))

if __name__ == "__main__":
    main(CLAIM)
