import numpy as np
import pandas as pd
import pytest

from a2mim.figures import means

T2, T1 = 4.302652729911275, 12.706204736174694  # 97.5 % quantiles of Student's t, 2 degrees of freedom and 1


def table(**columns):
    return pd.DataFrame({"checkpoint": ["c"] * 4, "x": [0, 0, 0, 1], "value": [1.0, 2.0, 6.0, 5.0]} | columns)


def prepared(data):
    return means.prepare(data, "some", ("x", "value"), ("x", "value"))


def test_mean_over_seeds_and_the_interval_of_that_mean():
    found = means.over_seeds(prepared(table(seed=[0, 1, 2, 0])), ["x"], "value")
    assert found.seeds.tolist() == [3, 1]
    assert found["mean"].tolist() == [3, 5]
    half = T2 * np.sqrt(7) / np.sqrt(3)  # the variance of 1, 2, 6 is 7
    assert (found.low[0], found.high[0]) == pytest.approx((3 - half, 3 + half))
    assert np.isnan(found.low[1])


def test_one_seed_keeps_the_tables_interval_and_rows_of_a_seed_are_averaged():
    data = prepared(table(seed=[0, 0, 1, 0], ci_low=[0.0, 1, 2, 4], ci_high=[2.0, 3, 7, 6]))
    found = means.over_seeds(data, ["x"], "value")
    assert found["mean"].tolist() == [pytest.approx((1.5 + 6) / 2), 5]
    assert found.high[0] - found["mean"][0] == pytest.approx(T1 * 4.5 / 2)
    assert (found.low[1], found.high[1]) == (4, 6)


def test_without_the_three_columns_a_checkpoint_is_a_method():
    data = prepared(table(checkpoint=["a", "b", "b", "a"]))
    assert data.method.tolist() == ["a", "b", "b", "a"]
    assert set(data.network) == {""}
    assert data.groupby("method").seed.nunique().tolist() == [1, 1]


def test_checkpoints_of_a_method_are_its_seeds_where_none_are_named():
    data = prepared(table(checkpoint=["a", "b", "c", "a"], method="m"))
    assert means.over_seeds(data, ["method", "x"], "value").seeds.tolist() == [3, 1]
    data = prepared(table(checkpoint=["a", "b", "c", "a"], method="m", seed=np.nan))
    assert means.over_seeds(data, ["method", "x"], "value").seeds.tolist() == [3, 1]


def test_a_method_without_a_name_is_its_checkpoint_and_rows_without_numbers_are_left_out():
    data = prepared(table(method=["m", np.nan, "m", "m"], network=np.nan, value=["1", "2", "many", np.inf]))
    assert data.method.tolist() == ["m", "c"]
    assert data.network.tolist() == ["", ""]
    assert data.value.tolist() == [1, 2]


def test_what_cannot_be_used_is_named():
    with pytest.raises(ValueError, match="some table: columns missing: value"):
        prepared(table().drop(columns="value"))
    with pytest.raises(ValueError, match="some table: no rows"):
        prepared(table().iloc[:0])
    with pytest.raises(ValueError, match="some table: no number in column value"):
        prepared(table(value=np.nan))
    with pytest.raises(ValueError, match="no row has numbers in all of x, value"):
        prepared(table(x=[0, 0, 0, np.nan], value=[np.nan, np.nan, np.nan, 1]))
    with pytest.raises(ValueError, match="method or checkpoint"):
        prepared(table().drop(columns="checkpoint"))


def test_captions_say_seeds_and_images():
    one = prepared(table(n_images=[100, 100, 100, 500]))
    assert means.wording({"a": one}) == "One seed; the interval is that of the table; 100 to 500 images."
    three = prepared(table(seed=[0, 1, 2, 0]))
    assert means.wording({"a": three}) == "Mean over 3 seeds with its 95 % Student-t interval."
    assert means.wording({"a": one, "b": three}) == (
        "Mean over 1 to 3 seeds with its 95 % Student-t interval (of one seed, that of the table); 100 to 500 images."
    )
    other = three.assign(n_images=20)
    assert means.wording({"a": three.assign(n_images=10), "b": other}).endswith("; a: 10 images, b: 20 images.")
    assert "images" not in means.wording({"a": three.assign(n_images="many")})
