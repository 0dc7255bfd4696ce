"""Figure 6 by what it draws: the table in reference/figures was checked by hand against the rules of small_results."""

import itertools
from pathlib import Path

import drawn
import pandas as pd
import pytest
import small_results
from pandas.testing import assert_frame_equal

from a2mim.figures import figure6

REFERENCE = Path(__file__).parents[1] / "reference" / "figures" / "figure6.csv"
HALF = 4.302652729911275 * 0.5 / 3**0.5


@pytest.fixture(scope="module")
def figure():
    return figure6.plot(small_results.token_place())


def test_all_bars_are_as_stored(figure):
    assert_frame_equal(drawn.bars(figure), pd.read_csv(REFERENCE), atol=1e-9, rtol=0, check_dtype=False)


def test_addition_by_place_and_replacing_at_its_own(figure):
    found = drawn.bars(figure).set_index(["panel", "series", "x"])
    added = found.loc[("ResNet-50", "Addition (image-mean)", 0.75)]
    assert (added.y, added.low, added.high) == pytest.approx((83, 83 - HALF, 83 + HALF))
    assert found.loc[("small ViT", "Replacing (zero)", 0.0)].y == pytest.approx(81)


def test_no_token_is_a_line_across_with_its_interval(figure):
    for axes in figure.axes:
        (line,) = [line for line in axes.lines if line.get_label() == "No token (image-mean)"]
        assert list(line.get_ydata()) == pytest.approx([79, 79])
        (band,) = axes.patches
        assert (band.get_y(), band.get_height()) == pytest.approx((79 - HALF, 2 * HALF))


def test_places_have_the_names_of_their_sites(figure):
    assert [axes.get_title() for axes in figure.axes] == ["small ViT", "ResNet-50"]
    labels = [[tick.get_text() for tick in axes.get_xticklabels()] for axes in figure.axes]
    assert labels == [["input", "block2", "block4"], ["stem", "stage1", "stage2", "stage3", "stage4"]]
    assert drawn.legend(figure) == ["Addition (image-mean)", "Replacing (zero)", "No token (image-mean)"]
    assert drawn.caption(figure) == "Mean over 3 seeds; bars are 95 % Student-t intervals."


def test_one_seed_has_no_bars_and_says_so():
    table = small_results.token_place()
    figure = figure6.plot(table[table.seed == 1].drop(columns="seed"))
    found = drawn.bars(figure)
    assert (found.low == found.high).all()
    assert drawn.caption(figure) == "One seed."


def test_a_users_own_with_the_least_columns(tmp_path):
    table = pd.DataFrame({"token": ["add", "mine", "none"], "top1": [80.0, 81.0, 79.0], "place": [0.5, 0.6, None]})
    figure = figure6.plot(table)
    assert drawn.legend(figure) == ["Addition", "No token", "mine"]
    figure.savefig(tmp_path / "a.png", dpi=30)
    figure6.plot(table.drop(columns="place")).savefig(tmp_path / "b.png", dpi=30)


def test_many_places_have_as_many_names_as_there_is_room_for():
    rows = [("add", f"block{k}", k / 24, 80.0) for k in range(25)]
    (axes,) = figure6.plot(pd.DataFrame(rows, columns=["token", "site", "place", "top1"])).axes
    places = list(axes.get_xticks())
    assert len(places) == 13
    assert min(b - a for a, b in itertools.pairwise(places)) >= figure6.FEWEST


def test_tables_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="token place table: columns missing: token"):
        figure6.plot(small_results.token_place().drop(columns="token"))
    with pytest.raises(ValueError, match="no number in column top1"):
        figure6.plot(small_results.token_place().assign(top1="good"))


def test_a_fill_has_one_label_and_one_look_in_all_panels():
    table = pd.DataFrame(
        [("ViT", "replace", 0.0, "zero", 50.0), ("ResNet", "replace", 0.0, "image-mean", 79.0)],
        columns=["network", "token", "place", "fill", "top1"],
    )
    figure = figure6.plot(table)
    assert drawn.legend(figure) == ["Replacing (zero)", "Replacing (image-mean)"]
    faces = [axes.containers[0].lines[0].get_markerfacecolor() for axes in figure.axes]
    assert faces == [figure6.COLOURS["replace"], "white"]
