"""The tables of the claims on the page."""

import numpy as np
import page_results
from page_results import texts

from a2mim.analysis.report import claims


def test_claims_are_means_over_seeds_with_an_interval(tmp_path):
    rows = [
        dict(network="ViT", row=row, seed=seed, top1=top1 + seed)
        for row, top1 in (("L_spa", 50), ("+ L_freq", 60))
        for seed in range(3)
    ]
    found = claims.numbers(page_results.tables(page_results.write(tmp_path, "loss_ablation", rows))).tables[0]
    assert found.columns == ("Network", "Row", "Seeds", "Top-1 (%)")
    half = 4.302652729749464 / np.sqrt(3)  # t of two degrees times sd/√n
    assert texts(found)[1] == ["ViT", "+ L_freq", "3", f"61.00 ({61 - half:.2f} to {61 + half:.2f})"]
