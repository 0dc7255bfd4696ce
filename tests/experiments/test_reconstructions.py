"""Steps from SimMIM to A2MIM, the upper half of the frequencies, and what the token is worth to each network."""

import numpy as np
import pandas as pd
from claim_tables import rows, verdicts

from a2mim.experiments.findings import OPEN, OPPOSED, SUPPORTED
from a2mim.experiments.reconstructions import findings, steps
from a2mim.experiments.trainings import DEMO

PSNR = {"simmim": 15.0, "mean-fill": 16.0, "add-stage3": 15.5, "a2mim": 17.0}


def tables(without):
    """``without``: L1 of A2MIM without its token, for each network; with it 0.1."""
    error = rows({"a2mim": 0.1}, "value", measure="l1", token="with")
    lost = error.assign(
        token="without",
        value=[without[network] + 0.01 * seed for network, seed in zip(error["network"], error["seed"], strict=True)],
    )
    summary = pd.concat([rows(PSNR, "value", measure="psnr", token="with"), error, lost])
    low = rows({"add-stage3": 0.1, "a2mim": 9.0}, "error", low=0.0, token="with")
    high = rows({"add-stage3": 0.4, "a2mim": 0.2}, "error", low=0.5, token="with")
    return {"reconstruct_summary": summary, "reconstruct_bands": pd.concat([low, high])}


def test_verdicts_follow_the_steps():
    said = verdicts(findings(tables({"small ViT": 0.5, "small ResNet": 0.2})))
    assert said["small ViT: filling with the mean colour improves on SimMIM"] == SUPPORTED
    assert said["small ViT: adding the token inside improves on the mean colour alone"] == OPPOSED
    assert said["small ResNet: the frequency loss improves the reconstruction"] == SUPPORTED
    assert said["small ResNet: the frequency loss lowers the error of high frequencies"] == SUPPORTED
    assert said["without its token a ViT's reconstruction suffers more than a CNN's"] == SUPPORTED


def test_what_the_token_is_worth_is_a_factor():
    found = findings(tables({"small ViT": 0.2, "small ResNet": 0.2}))[-1]
    factors = [(0.2 + 0.01 * seed) / (0.1 + 0.01 * seed * 1.05) for seed in range(3)]
    assert f"small ViT {np.mean(factors):.2f}" in found.measured
    assert found.verdict == OPEN


def test_one_component_is_added_at_a_time():
    assert steps(DEMO, "resnet") == ("simmim", "mean-fill", "add-stage3", "a2mim")
    assert steps(DEMO, "vit") == ("simmim", "mean-fill", "add-block2", "a2mim")
