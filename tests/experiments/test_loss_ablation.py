"""Each row of Table 5 is compared with the one before."""

from claim_tables import rows, verdicts

from a2mim.experiments.findings import OPPOSED, SUPPORTED
from a2mim.experiments.loss_ablation import ROWS, findings


def test_verdicts_follow_the_rows():
    table = rows(dict(zip(ROWS.values(), (70.0, 72.0, 71.0, 74.0), strict=True)), "top1", methods_in="row")
    said = verdicts(findings({"loss_ablation": table}))
    assert len(said) == 2 * 3
    assert said["small ViT: '+ L_freq without ω' is better than 'L_spa'"] == SUPPORTED
    assert said["small ViT: '+ L_freq' is better than '+ L_freq without ω'"] == OPPOSED
    assert said["small ResNet: '+ L_freq + token inside' is better than '+ L_freq'"] == SUPPORTED
