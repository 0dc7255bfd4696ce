"""Masked image modelling makes ViTs and CNNs more robust to hidden patches than training from scratch and contrastive
pre-training do.

Paper: section 3.1, Figure 1 (a)-(d); Figure A1 (a)-(b) for ResNet-50 on ImageNet-1K.
Command: python -m a2mim.experiments.occlusion_robustness --scale demo
Cost: the trainings that it shares with ``classification``, and seconds (small networks) to minutes per classifier.
Supported if: fine-tuned classifiers pre-trained by MIM keep a larger share of their accuracy, averaged over the
occlusion ratios, than those trained from scratch or pre-trained by MoCo v3. The measure is the share, not the accuracy:
a more accurate classifier is not necessarily more robust.
Opposed if: the share is smaller, and the interval over seeds excludes 0.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from a2mim.analysis.occlusion.robustness import area

from .claims import Claim, Tables, main, measured
from .findings import Finding, judge, per_seed
from .stages import Stage
from .trainings import SCRATCH, Scale


def analysis(scale: Scale, network: str, seed: int) -> Stage:
    return scale.analysis("occlusion", network, seed, scale.classifiers(network, seed))


def stages(scale: Scale) -> list[Stage]:
    return [analysis(scale, network, seed) for network, seed in scale.each()]


def collect(scale: Scale, output: Path) -> dict[str, pd.DataFrame]:
    return {"occlusion": measured(scale, output, "occlusion", analysis)}


def kept(table: pd.DataFrame) -> pd.DataFrame:
    """Share of accuracy kept under occlusion, averaged over the ratios (%): one row per network, method and seed."""
    curves = table.pivot_table(index=["network", "method", "seed"], columns="ratio", values="accuracy", sort=False)
    curves = curves.sort_index(axis=1)
    ratios = [float(ratio) for ratio in curves.columns]
    share = 100 * area(curves.to_numpy(), ratios) / curves.to_numpy()[:, 0]
    return curves.index.to_frame(index=False).assign(kept=share)


def findings(tables: Tables) -> list[Finding]:
    found = []
    for network, rows in kept(tables["occlusion"]).groupby("network", sort=False):
        by_seed = per_seed(rows, "kept")
        for better in ("simmim", "a2mim"):
            for than, called in ((SCRATCH, "random weights"), ("mocov3", "contrastive pre-training")):
                statement = f"{network}: {better} is more robust to occlusion than {called}"
                found.append(judge(statement, by_seed, better, than, measure="share of accuracy kept (%)"))
    return found


CLAIM = Claim(
    __doc__, "section 3.1, Figure 1 a-d, Figure A1 a-b", ("occlusion",), stages, collect, findings, drawn=("1", "A1")
)

if __name__ == "__main__":
    main(CLAIM)
