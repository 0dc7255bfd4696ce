"""The picture of confusions by the data it draws."""

import itertools

import numpy as np
import pandas as pd
import pytest

from a2mim.figures import confusion


def table(counts, names):
    rows = [
        dict(label=names[i], predicted=names[j], images=counts[i][j])
        for i, j in itertools.product(range(len(names)), repeat=2)
    ]
    return pd.DataFrame(rows)


def test_rows_are_classes_in_their_order_and_sum_to_a_hundred():
    counts = [[6, 2, 0], [0, 5, 0], [1, 1, 2]]
    axes = confusion.plot(table(counts, ["zebra", "ant", "ox"])).axes[0]
    shares = np.asarray(axes.collections[0].get_array())
    assert np.allclose(shares.reshape(3, 3), [[75, 25, 0], [0, 100, 0], [25, 25, 50]])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["zebra", "ant", "ox"]
    written = {text.get_position(): text.get_text() for text in axes.texts if text.get_text()}
    assert written == {
        **{(0.5, 0.5): "75", (1.5, 0.5): "25", (1.5, 1.5): "100"},
        **{(0.5, 2.5): "25", (1.5, 2.5): "25", (2.5, 2.5): "50"},
    }


def test_classes_without_images_and_many_classes(tmp_path):
    names = [f"class {k} $_{{" for k in range(40)]
    figure = confusion.plot(table(np.zeros((40, 40), dtype=int), names))
    assert not figure.axes[0].texts
    figure.savefig(tmp_path / "c.png")


def test_what_is_missing_is_named():
    with pytest.raises(ValueError, match="columns missing: predicted"):
        confusion.plot(pd.DataFrame({"label": ["a"], "images": [1]}))
    with pytest.raises(ValueError, match="no rows"):
        confusion.plot(table([[1]], ["a"]).iloc[:0])
