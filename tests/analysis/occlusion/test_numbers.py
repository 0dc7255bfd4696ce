"""The numbers of occlusion and shuffle on the page, compared with what the tables hold."""

import numpy as np
import page_results
import pandas as pd
import pytest
from page_results import texts

from a2mim.analysis.occlusion import numbers, robustness


def occlusion(path):
    return numbers.occlusion(page_results.tables(path))


def test_occlusion_without_a_summary_gives_the_shape_of_its_curve(tmp_path):
    found = occlusion(page_results.occlusion(tmp_path))
    shape = found.tables[1]
    assert shape.columns == ("Checkpoint", "Area", "Kept at 50%", "Kept at 80%", "Convexity")
    values = robustness.measures(np.array([0.8, 0.6, 0.1]), page_results.RATIOS)
    assert [cell.value for cell in shape.rows[0][1:]] == pytest.approx([float(one) for one in values.values()])
    assert found.gist == "with the fewest patches hidden, net-a has 80.0 %, net-b has 90.0 %"
    assert found.findings == found.unlike == []


def test_occlusion_with_its_summary_tells_differences_and_refuses_one_of_another_table(tmp_path):
    path = page_results.occlusion(tmp_path)
    rng = np.random.default_rng(0)
    correct = {name: rng.random((50, 2, 3)) < np.array(one) for name, one in page_results.ACCURACY.items()}
    summary = robustness.summary(correct, page_results.RATIOS, 0).assign(fill="black")
    summary.to_csv(tmp_path / "occlusion_summary.csv", index=False)
    found = occlusion(path)
    assert (found.unlike, len(found.tables)) == (["summary"], 2)
    accuracy = {name: one.mean(axis=(0, 1)) for name, one in correct.items()}
    found = occlusion(page_results.occlusion(tmp_path, accuracy))
    assert found.unlike == []
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
    accuracy = occlusion(path).tables[0]
    assert accuracy.columns[:6] == ("Checkpoint", "Network", "Method", "Seed", "Fill", "Images")
    assert [row[:5] for row in texts(accuracy)][::2] == [
        ["net-a", "small ViT", "a2mim", "2", "black"],
        ["net-a", "small ViT", "a2mim", "2", "blur"],
    ]


def test_a_shuffled_grid_by_its_sides(tmp_path):
    rows = [dict(checkpoint="a", run=0, side=side, accuracy=1 / side, n_images=9) for side in (1, 2, 4)]
    found = numbers.shuffle(page_results.tables(page_results.write(tmp_path, "shuffle", rows))).tables[0]
    assert found.columns == ("Checkpoint", "Images", "1×1", "2×2", "4×4")
    assert texts(found) == [["a", "9", "100.0", "50.0", "25.0"]]
