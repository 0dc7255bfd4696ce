"""Only the highest frequency of each layer counts, and the variance by its logarithm."""

import numpy as np
import pandas as pd
import pytest
from claim_tables import rows, verdicts

from a2mim.experiments.feature_maps import findings
from a2mim.experiments.findings import OPPOSED, SUPPORTED

METHODS = ("supervised", "inpainting", "mocov3", "simmim", "a2mim")


@pytest.fixture
def tables():
    highest = dict(zip(METHODS, (-2.0, -1.0, -3.0, -5.0, -4.0), strict=True))
    lower = dict.fromkeys(METHODS, 7.0) | {"simmim": 99.0}
    spectrum = pd.concat(
        [
            rows(highest, "log_amplitude", layer="stem", frequency=0.9),
            rows(lower, "log_amplitude", layer="stem", frequency=0.5),
            rows(highest, "log_amplitude", layer="last", frequency=0.8),
        ]
    )
    variance = rows(dict(zip(METHODS, (1.0, 4.0, 2.0, 0.5, 3.0), strict=True)), "variance", layer="stem")
    return {"spectrum": spectrum, "variance": variance, "spectrum_at": spectrum}


def test_verdicts_follow_the_tables(tables):
    said = verdicts(findings(tables))
    assert said["small ResNet: simmim has less high-frequency amplitude than contrastive pre-training"] == SUPPORTED
    assert said["small ResNet: inpainting has less high-frequency amplitude than contrastive pre-training"] == OPPOSED
    assert said["small ViT: the feature maps of simmim have less variance than those of supervised"] == SUPPORTED
    assert said["small ViT: the feature maps of a2mim have less variance than those of mocov3"] == OPPOSED


def test_the_variance_is_compared_by_its_logarithm(tables):
    measured = next(
        one.measured for one in findings(tables) if "the feature maps of simmim have less variance" in one.statement
    )
    noise = np.log([0.5, 0.5 + 0.0106, 0.5 + 0.0212]).mean()
    assert f"simmim {noise:.2f}" in measured
