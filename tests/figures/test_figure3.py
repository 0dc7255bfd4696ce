"""Figure 3 by what it draws: the table in reference/figures was checked by hand against the rules of small_results."""

from pathlib import Path

import drawn
import pandas as pd
import pytest
import small_results
from pandas.testing import assert_frame_equal

from a2mim.figures import figure3

REFERENCE = Path(__file__).parents[1] / "reference" / "figures" / "figure3.csv"
HALF = 4.302652729911275 * 0.1 / 3**0.5


@pytest.fixture(scope="module")
def figure():
    return figure3.plot(small_results.spectrum(), small_results.variance())


def few(table):
    return table[table.method.isin(["a2mim", "simmim"])]


def test_all_that_is_drawn_is_as_stored(figure):
    found = drawn.curves(figure)
    assert_frame_equal(found, pd.read_csv(REFERENCE), atol=1e-9, rtol=0, check_dtype=False)


def test_values_are_means_over_seeds_of_the_highest_frequency_and_the_variance(figure):
    found = drawn.curves(figure).set_index(["panel", "line", "x"])
    last = found.loc[("(a) ResNet-50", "MoCo v3", 1.0)]
    assert (last.y, last.low, last.high) == pytest.approx((-3.1, -3.1 - HALF, -3.1 + HALF))
    last = found.loc[("(b) ResNet-50", "MoCo v3", 1.0)]
    assert (last.y, last.low, last.high) == pytest.approx((3.0, 3.0 - HALF, 3.0 + HALF))


def test_many_lines_have_a_row_for_each_network(figure):
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["(a) small ViT", "(b) small ViT", "(a) ResNet-50", "(b) ResNet-50"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["", "", "Normalised depth", "Normalised depth"]
    shaded = [[round(patch.get_x(), 3) for patch in axes.patches] for axes in figure.axes]
    assert shaded == [[], [], [0.167, 0.833], [0.167, 0.833]]
    assert drawn.legend(figure)[-2:] == ["95 % interval", "pooling"]


def test_few_lines_share_the_panels_whole_for_transformers_and_dashed_for_cnns():
    figure = figure3.plot(few(small_results.spectrum()), few(small_results.variance()))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["(a)", "(b)"]
    for axes in figure.axes:
        assert [line.get_linestyle() for line in axes.lines] == ["-", "-", "--", "--"]
        assert len({line.get_color() for line in axes.lines}) == 2
    words = ["SimMIM", "A²MIM", "small ViT", "ResNet-50", "95 % interval", "pooling"]
    assert drawn.legend(figure) == words


def test_the_caption_says_seeds_images_and_frequency(figure):
    assert drawn.caption(figure) == (
        "Mean over 3 seeds with its 95 % Student-t interval; 300 images. Amplitude at the highest frequency of each "
        "layer (0.75π), relative to that of frequency 0."
    )


def test_either_table_alone_and_a_users_own(tmp_path):
    own = small_results.variance().drop(columns=["network", "method", "seed"]).rename(columns={"variance": "std"})
    figure = figure3.plot(variance=own[own.checkpoint == "small ViT simmim 0"])
    (axes,) = figure.axes
    assert axes.get_ylabel() == "Feature map standard deviation"
    assert axes.lines[0].get_ydata().tolist() == pytest.approx([3.4, 3.4 + 2.5 / 3, 3.4 + 5 / 3, 5.9])
    assert len(figure3.plot(spectrum=small_results.spectrum()).axes) == 2
    figure.savefig(tmp_path / "a.pdf")


def test_tables_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="neither a spectrum nor a variance table"):
        figure3.plot()
    with pytest.raises(ValueError, match="spectrum table: columns missing: frequency"):
        figure3.plot(small_results.spectrum().drop(columns="frequency"))
    with pytest.raises(ValueError, match="variance table: no rows"):
        figure3.plot(None, small_results.variance().iloc[:0])
