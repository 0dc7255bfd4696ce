import math

import numpy as np
import pandas as pd
import pytest
import small_results

from a2mim.analysis.report import gallery
from a2mim.figures import tables

T = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom


def paper(number):
    table = pd.read_csv(gallery.RESULTS / "paper.csv")
    return table[table["table"] == number]


def row(grid, label):
    return next(cells for name, cells in grid.rows if name == label)


def test_means_and_deviations_over_seeds():
    found = tables.classification(small_results.classification(), "cnn").set_index(["method", "evaluation"])
    cell = found.loc[("mocov3", "end to end")]
    assert (cell.top1, cell.deviation, cell.seeds, cell.epochs) == pytest.approx((78, 0.5, 3, 20))
    assert set(found.network) == {"ResNet-50"}
    assert list(dict.fromkeys(found.index.get_level_values("method")))[-1] == "a2mim"


def test_the_lead_is_paired_over_seeds():
    data = small_results.classification()
    data = data[(data.network == "ResNet-50") & (data.evaluation == "linear")]
    cell = (data.method == "simmim") & (data.seed == 2)
    data.loc[cell, "top1"] -= 3
    found = tables.classification(data).set_index("method")
    leads = np.array([3, 3, 6])  # 50 - 47 for each seed, and three more for the last
    half = T * leads.std(ddof=1) / math.sqrt(3)
    assert found.loc["simmim", ["lead", "lead_low", "lead_high"]].tolist() == pytest.approx([4, 4 - half, 4 + half])
    assert found.loc["mocov3", ["lead", "lead_low", "lead_high"]].tolist() == pytest.approx([1, 1, 1])
    assert np.isnan(found.loc["a2mim", "lead"])


def test_seeds_that_one_method_lacks_are_left_out_of_the_lead():
    data = small_results.classification()
    data = data[~((data.method == "simmim") & (data.seed > 0))]
    found = tables.classification(data, "cnn").set_index(["method", "evaluation"])
    cell = found.loc[("simmim", "linear")]
    assert (cell.lead, cell.lead_seeds) == (3, 1)
    assert np.isnan(cell.lead_low)


def test_the_papers_numbers_stand_beside_ours_in_columns_of_their_own():
    (grid,) = tables.classification_grid(tables.classification(small_results.classification(), "cnn"), paper(1), 1)
    assert [header for group, header in grid.columns if group == "ours"] == [
        *("epochs", "end to end", "A²MIM's lead, end to end", "linear", "A²MIM's lead, linear")
    ]
    assert {group for group, _ in grid.columns} == {"ours", "paper: ResNet-50, ImageNet-1K"}
    texts = [cell.text for cell in row(grid, "A²MIM")]
    assert texts == [
        *("20", "80.00 ± 0.50", "–", "50.00 ± 0.50", "–"),
        *("48.1 (100)", "78.8 (100)", "79.0 (300)", "80.5 (300)"),
    ]
    assert [cell.text for cell in row(grid, "Supervised")][-4:] == [
        "76.6 (90)",
        "78.8 (90)",
        "78.9 (300)",
        "79.8 (300)",
    ]
    assert [cell.text for cell in row(grid, "BYOL")][:5] == ["–"] * 5
    assert row(grid, "MoCo v3")[2].text == "+2.00 [2.00, 2.00]"


def test_best_and_second_of_each_column():
    (grid,) = tables.classification_grid(tables.classification(small_results.classification(), "cnn"), paper(1), 1)
    by_name = {name: [cell.rank for cell in cells] for name, cells in grid.rows}
    assert by_name["A²MIM"][1] == 1
    assert by_name["MoCo v3"][1] == 2
    assert by_name["From scratch"][1] == 0
    third = len(grid.columns) - 2  # the paper's longer FT (A3): three have 79.0
    assert {name for name, ranks in by_name.items() if ranks[third] == 1} == {"SwAV", "MoCo v3", "A²MIM"}
    assert {name for name, ranks in by_name.items() if ranks[third] == 2} == {"BYOL", "Supervised"}


def test_equal_values_share_a_rank_and_a_single_one_has_none():
    def ranks(**top1):
        data = pd.DataFrame({"method": list(top1), "top1": list(top1.values())})
        (grid,) = tables.classification_grid(tables.classification(data), paper(1), 1)
        return {name: cells[0].rank for name, cells in grid.rows[: len(top1)]}

    assert ranks(a=80.001, b=80.002, c=79.0) == {"a": 1, "b": 1, "c": 2}  # alike in the figures that are shown
    assert ranks(a=80.0) == {"a": 0}
    assert ranks(a=80.0, b=90.0) == {"a": 2, "b": 1}


def test_families_have_tables_of_their_own():
    data = small_results.classification()
    assert set(tables.classification(data, "transformer").network) == {"small ViT"}
    own = tables.classification(data.assign(network="mine"), "cnn")
    assert set(own.network) == {"mine"}
    with pytest.raises(ValueError, match="no row of a transformer"):
        tables.classification(data.assign(network="mine"), "transformer")


def test_the_ablation_in_the_papers_order():
    found = tables.ablation(small_results.loss_ablation().sample(frac=1, random_state=0))
    grid = tables.ablation_grid(found, paper(5))
    assert [name for name, _ in grid.rows] == list(tables.ABLATION_ROWS)
    assert [header for _, header in grid.columns] == ["small ViT", "ResNet-50", "ResNet-50", "ViT-S"]
    assert [cell.text for cell in row(grid, "+ L_freq")] == ["80.00 ± 1.00", "82.00 ± 1.00", "88.73", "86.41"]
    assert [cell.rank for cell in row(grid, "+ L_freq + token inside")] == [1, 1, 1, 1]
    assert [cell.rank for cell in row(grid, "+ L_freq")] == [2, 2, 2, 2]


def test_tables_of_the_paper_alone_say_so():
    grid = tables.paper_grid(paper(3), 3)
    assert grid.notes[0] == "Not run here: all numbers are from the paper."
    assert [cell.text for cell in row(grid, "CIM")] == ["–", "–", "38.0 (300)"]


def test_what_cannot_be_used_is_named():
    with pytest.raises(ValueError, match="classification table: columns missing: top1"):
        tables.classification(small_results.classification().drop(columns="top1"))
    with pytest.raises(ValueError, match="loss ablation table: columns missing: row"):
        tables.ablation(small_results.loss_ablation().drop(columns="row").assign(method="m"))
