"""Middle orders are those that the paper names for each network."""

import pandas as pd
from claim_tables import rows, verdicts

from a2mim.experiments.findings import OPPOSED, SUPPORTED
from a2mim.experiments.interaction_orders import findings


def test_only_middle_orders_count():
    low = rows({"scratch": 9.0, "simmim": 0.0, "mocov3": 9.0, "a2mim": 0.0}, "J", ratio=0.0)
    middle = rows({"scratch": 1.0, "simmim": 2.0, "mocov3": 1.5, "a2mim": 0.5}, "J", ratio=0.3)
    said = verdicts(findings({"interactions": pd.concat([low, middle])}))
    assert said["small ViT: simmim has stronger middle-order interactions than random weights"] == SUPPORTED
    assert (
        said["small ResNet: simmim has stronger middle-order interactions than contrastive pre-training"] == SUPPORTED
    )
    assert said["small ResNet: a2mim has stronger middle-order interactions than random weights"] == OPPOSED


def test_the_span_differs_between_the_families():
    edge = rows({"scratch": 1.0, "simmim": 2.0, "mocov3": 1.0, "a2mim": 2.0}, "J", ratio=0.05)
    inside = rows({"scratch": 5.0, "simmim": 1.0, "mocov3": 5.0, "a2mim": 1.0}, "J", ratio=0.55)
    said = verdicts(findings({"interactions": pd.concat([edge, inside])}))
    assert said["small ViT: simmim has stronger middle-order interactions than random weights"] == SUPPORTED
    assert said["small ResNet: simmim has stronger middle-order interactions than random weights"] == OPPOSED
