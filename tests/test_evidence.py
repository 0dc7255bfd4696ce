"""The page of evidence: how findings are counted and marked. (``test_claims`` makes it from real runs.)"""

import json

import pandas as pd
import pytest
from claim_tables import rows

from a2mim.experiments import evidence
from a2mim.experiments.loss_ablation import ROWS


@pytest.fixture
def results(tmp_path):
    about = dict(scale="small", seeds=[0, 1, 2], versions={"torch": "2.0"}, machine={"architecture": "x86_64"})
    about |= dict(created="2026-01-02T03:04:05", stages={"a": dict(command="a2mim-pretrain -c b", seconds=3600.0)})
    (tmp_path / "about.json").write_text(json.dumps(about))
    table = rows(dict(zip(ROWS.values(), (70.0, 72.0, 71.0, 74.0), strict=True)), "top1", methods_in="row")
    table.to_csv(tmp_path / "loss_ablation.csv", index=False)
    return tmp_path


def test_findings_are_counted_and_decided_ones_stand_out(results):
    text = evidence.text(results)
    assert "**Of 6 statements: 4 supported, 2 not supported, 0 undecided at this scale.**" in text
    assert text.count("| **supported** |") == 4
    assert text.count("| **not supported** |") == 2


def test_setting_and_commands_are_said(results):
    text = evidence.text(results)
    assert "seeds 0, 1, 2" in text
    assert "1 commands, 1.0 hours" in text
    assert "| a | `a2mim-pretrain -c b` | 3600 |" in text


def test_a_table_that_lacks_a_row_is_said_not_judged(results):
    table = pd.read_csv(results / "loss_ablation.csv")
    table[table["row"] != "+ L_freq"].to_csv(results / "loss_ablation.csv", index=False)
    assert "no runs of + L_freq" in evidence.text(results)
