"""Robustness is the share of accuracy that is kept, not accuracy."""

import pandas as pd
import pytest
from claim_tables import NETWORKS, rows, verdicts

from a2mim.experiments.findings import OPPOSED, SUPPORTED
from a2mim.experiments.occlusion_robustness import findings, kept


def curves(half):
    """Accuracy 0.9 of every method with nothing hidden, 0 with all; in between what is given."""
    parts = [
        rows(dict.fromkeys(half, value), "accuracy", ratio=ratio, run=0) for ratio, value in ((0.0, 0.9), (1.0, 0.0))
    ]
    table = pd.concat([parts[0], rows(half, "accuracy", ratio=0.5, run=0), parts[1]])
    return table.assign(accuracy=table["accuracy"].clip(upper=1))


def test_the_share_is_the_area_over_the_first_accuracy():
    table = pd.DataFrame(
        {"network": "n", "method": "m", "seed": 0, "run": [0, 0, 0, 1, 1, 1], "ratio": [0, 0.5, 1] * 2}
    ).assign(accuracy=[0.8, 0.4, 0.0, 0.8, 0.8, 0.0])
    assert kept(table)["kept"].item() == pytest.approx(100 * (0.7 / 2 + 0.3 / 2) / 0.8)


def test_verdicts_follow_the_curves():
    found = findings({"occlusion": curves({"scratch": 0.2, "simmim": 0.6, "mocov3": 0.4, "a2mim": 0.3})})
    assert len(found) == 4 * len(NETWORKS)
    said = verdicts(found)
    assert said["small ViT: simmim is more robust to occlusion than random weights"] == SUPPORTED
    assert said["small ResNet: simmim is more robust to occlusion than contrastive pre-training"] == SUPPORTED
    assert said["small ViT: a2mim is more robust to occlusion than contrastive pre-training"] == OPPOSED
