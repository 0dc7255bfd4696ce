"""A2MIM against each rival end to end; below MoCo v3 and above SimMIM with a linear classifier."""

import pandas as pd
from claim_tables import rows, verdicts

from a2mim.experiments.classification import findings, networks_of, stages
from a2mim.experiments.findings import OPPOSED, SUPPORTED
from a2mim.experiments.trainings import DEMO, PAPER

TOP1 = {"scratch": 70.0, "inpainting": 71.0, "simmim": 72.0, "mocov3": 74.0, "a2mim": 73.0}


def test_verdicts_follow_the_table():
    table = pd.concat([rows(TOP1, "top1", evaluation=evaluation) for evaluation in ("end to end", "linear")])
    found = findings({"classification": table})
    assert len(found) == 2 * (4 + 2)
    said = verdicts(found)
    assert said["small ViT, end to end: a2mim is better than simmim"] == SUPPORTED
    assert said["small ViT, end to end: a2mim is better than mocov3"] == OPPOSED
    assert said["small ResNet, linear: a2mim is below contrastive pre-training"] == SUPPORTED
    assert said["small ResNet, linear: a2mim is better than simmim"] == SUPPORTED


def test_the_papers_tables_are_of_imagenet_1k():
    assert {stage.command.split()[2] for stage in stages(PAPER) for stage in stage.needs} == {
        *("paper-vit-small", "simmim-vit-small", "mocov3-vit-small"),
        *("paper-resnet50", "simmim-resnet50", "mocov3-resnet50", "inpainting-resnet50"),
    }
    assert networks_of(DEMO) == DEMO
    assert any("-c rsb-a2" in stage.command for stage in stages(PAPER))
