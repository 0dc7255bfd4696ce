"""The page of evidence: how findings are counted and marked. (``test_claims`` makes it from real runs.)"""

import json

import pandas as pd
import pytest
from claim_tables import rows

from a2mim.analysis.report import gallery
from a2mim.experiments import evidence
from a2mim.experiments.loss_ablation import ROWS


@pytest.fixture
def results(tmp_path):
    about = dict(
        scale="small",
        data="--data-dir images",
        seeds=[0, 1, 2],
        versions={"torch": "2.0"},
        machine={"architecture": "x86_64"},
    )
    about |= dict(created="2026-01-02T03:04:05", stages={"a": dict(command="a2mim-pretrain -c b", seconds=3600.0)})
    (tmp_path / "about.json").write_text(json.dumps(about))
    table = rows(dict(zip(ROWS.values(), (70.0, 72.0, 71.0, 74.0), strict=True)), "top1", methods_in="row")
    table.to_csv(tmp_path / "loss_ablation.csv", index=False)
    return tmp_path


def test_findings_are_counted_and_decided_ones_stand_out(results):
    text = evidence.text(results)
    assert "**Of 6 statements: 4 supported, 2 not supported, 0 undecided at this scale, 0 not run.**" in text
    assert text.count("| **supported** |") == 4
    assert text.count("| **not supported** |") == 2


def test_setting_and_commands_are_said(results):
    text = evidence.text(results)
    assert "seeds 0, 1, 2" in text
    assert "1 commands took 1.0 hours" in text
    assert "| a | `a2mim-pretrain -c b` | 3600 |" in text


def test_figures_and_tables_of_a_claim_stand_below_it_once(results, tmp_path):
    (results / "figures").mkdir()
    (results / "figures" / "table5.md").write_text("| our table |")
    for name in ("figure1.png", "figureA1.png"):
        (results / "figures" / name).touch()
    text = evidence.text(results, tmp_path / "elsewhere")
    assert text.count("| our table |") == 1
    assert text.count("![Figure 1](../figures/figure1.png)") == 1  # two claims have it
    assert text.count("figureA1.png") == 1
    assert "figure3" not in text


def test_all_that_claims_draw_can_be_drawn():
    assert {name for claim in evidence.CLAIMS for name in claim.drawn} == set(gallery.ITEMS)


def test_a_table_that_lacks_a_row_is_said_not_judged(results):
    table = pd.read_csv(results / "loss_ablation.csv")
    table[table["row"] != "+ L_freq"].to_csv(results / "loss_ablation.csv", index=False)
    assert "no runs of + L_freq" in evidence.text(results)
