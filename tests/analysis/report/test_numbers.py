"""The numbers below each picture, compared with what the tables hold."""

import numpy as np
import page_results
import pandas as pd
import pytest

from a2mim.analysis.occlusion import robustness
from a2mim.analysis.report import numbers as page_numbers
from a2mim.analysis.report import reading


def numbers(path, kind=None):
    kind = kind or path.stem
    return page_numbers.of(kind, reading.read_table(path, kind)[0], path)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_occlusion_without_a_summary_gives_the_shape_of_its_curve(tmp_path):
    found = numbers(page_results.occlusion(tmp_path))
    shape = found.tables[1]
    assert shape.columns == ("Checkpoint", "Area", "Kept at 50%", "Kept at 80%", "Convexity")
    values = robustness.measures(np.array([0.8, 0.6, 0.1]), page_results.RATIOS)
    assert [cell.value for cell in shape.rows[0][1:]] == pytest.approx([float(one) for one in values.values()])
    assert found.gist == "with the fewest patches hidden, net-a has 80.0 %, net-b has 90.0 %"
    assert found.findings == found.notes == []


def test_occlusion_with_its_summary_tells_differences_and_refuses_one_of_another_table(tmp_path):
    path = page_results.occlusion(tmp_path)
    rng = np.random.default_rng(0)
    correct = {name: rng.random((50, 2, 3)) < np.array(one) for name, one in page_results.ACCURACY.items()}
    summary = robustness.summary(correct, page_results.RATIOS, 0).assign(fill="black")
    summary.to_csv(tmp_path / "occlusion_summary.csv", index=False)
    found = numbers(path)
    assert found.notes == ["occlusion_summary.csv does not agree with occlusion.csv and is left out."]
    accuracy = {name: one.mean(axis=(0, 1)) for name, one in correct.items()}
    found = numbers(page_results.occlusion(tmp_path, accuracy))
    assert found.notes == []
    row = summary[(summary.checkpoint == "net-b") & (summary.measure == "area")].iloc[0]
    assert found.tables[1].rows[1][1].text == f"{row.value:.2f} ({row.ci_low:.2f} to {row.ci_high:.2f})"
    assert texts(found.tables[2])[0][:3] == ["net-b", "net-a", "area"]
    assert found.tables[2].rows[0][3].value == pytest.approx(row.difference)
    assert found.findings[0].startswith("net-b against net-a: area -0.")


def test_fills_and_the_columns_of_the_claims_stand_beside_the_name(tmp_path):
    path = page_results.occlusion(tmp_path)
    table = pd.read_csv(path)
    table.insert(1, "network", "small ViT")
    table.insert(2, "method", "a2mim")
    table.insert(3, "seed", 2)
    pd.concat([table.assign(fill=fill) for fill in ("black", "blur")]).to_csv(path, index=False)
    accuracy = numbers(path).tables[0]
    assert accuracy.columns[:6] == ("Checkpoint", "Network", "Method", "Seed", "Fill", "Images")
    assert [row[:5] for row in texts(accuracy)][::2] == [
        ["net-a", "small ViT", "a2mim", "2", "black"],
        ["net-a", "small ViT", "a2mim", "2", "blur"],
    ]


def test_interactions_by_order_and_their_differences(tmp_path):
    found = numbers(page_results.interactions(tmp_path))
    bands, orders, differences = found.tables
    assert texts(bands)[0] == ["net-a", "0.50", "2.00", "0.50", "4", "12", "8"]
    assert orders.columns == ("Order", "net-a", "net-b")
    assert texts(orders)[1] == ["0.5n", "2.00 (1.80 to 2.20)", "0.50 (0.30 to 0.70)"]
    assert [row[3:] for row in texts(differences)] == [
        ["+1.00 (+0.70 to +1.30)", "higher"],
        ["−1.50 (−1.80 to −1.20)", "lower"],
        ["+0.10 (−0.20 to +0.40)", "no difference shown"],
    ]


def test_with_many_checkpoints_a_few_orders_stand_beside_each(tmp_path):
    path = page_results.interactions(tmp_path)
    one = pd.read_csv(path).iloc[:3]
    pd.concat([one.assign(checkpoint=f"net-{number}") for number in range(8)]).to_csv(path, index=False)
    found = numbers(path)
    assert found.tables[1].columns == ("Checkpoint", "J at 0", "J at 0.5n", "J at n")
    assert len(found.tables[1].rows) == 8
    assert found.notes == [
        "interactions_difference.csv speaks of other checkpoints than interactions.csv and is left out."
    ]


def test_layers_first_last_largest_smallest(tmp_path):
    variance = numbers(page_results.layers(tmp_path, "variance")).tables[0]
    assert texts(variance)[0] == [
        *("net-a", "3", "50", "0.100 (0.050 to 0.150), stem", "2.100 (2.050 to 2.150), stage2"),
        *("2.100 (2.050 to 2.150), stage2", "0.100 (0.050 to 0.150), stem"),
    ]
    highest, at = numbers(page_results.layers(tmp_path, "spectrum")).tables
    assert [cell.value for cell in highest.rows[0][3:5]] == [-1.0, -3.0]
    assert [cell.value for cell in at.rows[0][3:5]] == [-0.5, -1.5]
    assert at.caption == "Δ log amplitude at 0.5π, which all layers have"


def test_reconstructions_are_averaged_where_no_summary_is(tmp_path):
    found = numbers(page_results.reconstruct(tmp_path))
    assert [cell.value for cell in found.tables[0].rows[1][3:]] == pytest.approx([0.21, 19.0])
    assert texts(found.tables[1])[0] == ["net-a", "with", "0π to 0.5π", "0.50 (0.40 to 0.60)", "0.70 (0.60 to 0.80)"]


def test_a_shuffled_grid_by_its_sides(tmp_path):
    rows = [dict(checkpoint="a", run=0, side=side, accuracy=1 / side, n_images=9) for side in (1, 2, 4)]
    found = numbers(page_results.write(tmp_path, "shuffle", rows)).tables[0]
    assert found.columns == ("Checkpoint", "Images", "1×1", "2×2", "4×4")
    assert texts(found) == [["a", "9", "100.0", "50.0", "25.0"]]


def test_claims_are_means_over_seeds_with_an_interval(tmp_path):
    rows = [
        dict(network="ViT", row=row, seed=seed, top1=top1 + seed)
        for row, top1 in (("L_spa", 50), ("+ L_freq", 60))
        for seed in range(3)
    ]
    found = numbers(page_results.write(tmp_path, "loss_ablation", rows)).tables[0]
    assert found.columns == ("Network", "Row", "Seeds", "Top-1 (%)")
    half = 4.302652729749464 / np.sqrt(3)  # t of two degrees times sd/√n
    assert texts(found)[1] == ["ViT", "+ L_freq", "3", f"61.00 ({61 - half:.2f} to {61 + half:.2f})"]
