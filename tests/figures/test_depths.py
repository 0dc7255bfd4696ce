import pandas as pd
import pytest

from a2mim.figures import depths


def layers(*sides):
    place = [k / max(len(sides) - 1, 1) for k in range(len(sides))]
    return pd.DataFrame(dict(layer=[f"layer{k}" for k in range(len(sides))], depth=place, height=sides, width=sides))


def test_a_network_pools_where_its_maps_become_smaller():
    assert depths.pooling(layers(8, 8, 4, 4, 2)) == [(0.375, 0.625), (0.875, 1.125)]
    assert depths.pooling(layers(8, 8, 8)) == []
    assert depths.pooling(layers(8)) == []


def test_rows_of_many_frequencies_and_in_any_order_are_one_layer():
    table = pd.concat([layers(8, 4, 4)] * 3).sample(frac=1, random_state=0)
    assert depths.pooling(table) == [(0.25, 0.75)]


def test_a_layer_that_is_left_out_does_not_widen_the_spans():
    table = layers(8, 8, 4, 4, 2).drop(index=3)
    assert depths.pooling(table)[1] == pytest.approx((0.875, 1.125))
