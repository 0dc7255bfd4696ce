"""The numbers of interactions on the page, compared with what the tables hold."""

import page_results
import pandas as pd
from page_results import texts

from a2mim.analysis.interactions import numbers


def test_interactions_by_order_and_their_differences(tmp_path):
    found = numbers.interactions(page_results.tables(page_results.interactions(tmp_path)))
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
    found = numbers.interactions(page_results.tables(path))
    assert found.tables[1].columns == ("Checkpoint", "J at 0", "J at 0.5n", "J at n")
    assert len(found.tables[1].rows) == 8
