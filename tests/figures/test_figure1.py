"""Figure 1 by what it draws: the table in reference/figures was checked by hand against the rules of small_results."""

from pathlib import Path

import drawn
import numpy as np
import pandas as pd
import pytest
import small_results
from pandas.testing import assert_frame_equal

from a2mim.figures import figure1, methods

REFERENCE = Path(__file__).parents[1] / "reference" / "figures" / "figure1.csv"
T = 4.302652729911275  # 97.5 % quantile of Student's t with 2 degrees of freedom


@pytest.fixture(scope="module")
def figure():
    return figure1.plot(small_results.occlusion(), small_results.interactions())


def test_all_that_is_drawn_is_as_stored(figure):
    found = drawn.curves(figure)
    assert_frame_equal(found, pd.read_csv(REFERENCE, keep_default_na=False), atol=1e-9, rtol=0, check_dtype=False)


def test_panels_are_the_papers(figure):
    found = drawn.curves(figure)
    lines = found.groupby("panel", sort=False)["line"].unique().map(list).to_dict()
    left, right = ["From scratch", "Supervised", "SimMIM", "A²MIM"], ["Supervised", "SimMIM", "MoCo v3", "A²MIM"]
    assert lines == {
        "(a) small ViT": left,
        "(b) small ViT": right,
        "(c) ResNet-50": left,
        "(d) ResNet-50": right,
        "(e) small ViT": left,
        "(f) small ViT": right,
        "(g) ResNet-50": left,
        "(h) ResNet-50": right,
    }
    upper, lower = figure.axes[:4], figure.axes[4:]
    for row in (upper, lower):
        assert len({axes.get_ylim() for axes in row}) == 1
        assert row[0].get_ylim()[0] == 0
    assert {axes.get_xlabel() for axes in upper} == {"Occlusion ratio"}
    assert {axes.get_xlabel() for axes in lower} == {"Order $m$"}


def test_a_line_is_the_mean_over_seeds_and_its_band_the_interval_of_that_mean(figure):
    found = drawn.curves(figure)
    half_hidden = found[(found.panel == "(c) ResNet-50") & (found.line == "From scratch") & (found.x == 0.5)].iloc[0]
    assert half_hidden.y == pytest.approx(90 - 5 * 2 - 30)
    assert half_hidden.high - half_hidden.y == pytest.approx(T * 2 / np.sqrt(3))
    assert half_hidden.y - half_hidden.low == pytest.approx(T * 2 / np.sqrt(3))


def test_one_legend_and_a_caption_for_all(figure):
    assert drawn.legend(figure) == ["From scratch", "Supervised", "SimMIM", "MoCo v3", "A²MIM", "95 % interval"]
    assert drawn.caption(figure) == (
        "Mean over 3 seeds with its 95 % Student-t interval; occlusion: 500 images, interactions: 20 images. "
        "Hidden patches are filled with: dataset-mean."
    )
    colours = {line.get_label(): line.get_color() for axes in figure.axes for line in axes.lines}
    assert colours["A²MIM"] == methods.KNOWN["a2mim"].colour


def test_one_seed_has_the_tables_own_interval():
    table = small_results.occlusion()
    figure = figure1.plot(table[(table.seed == 1) & (table.network == "ResNet-50")])
    found = drawn.curves(figure)
    first = found[(found.line == "A²MIM") & (found.x == 0)].iloc[0]
    assert (first.y, first.low, first.high) == pytest.approx((90, 88, 93))
    assert "One seed; the interval is that of the table; 500 images." in drawn.caption(figure)


def test_one_seed_without_intervals_has_no_band_and_none_is_spoken_of():
    table = small_results.occlusion().drop(columns=["ci_low", "ci_high"])
    figure = figure1.plot(table[table.seed == 1])
    assert not [text for text in (*figure.texts, *figure.legends[0].get_texts()) if "interval" in text.get_text()]
    found = drawn.curves(figure)
    first = found[(found.panel == "(c) ResNet-50") & (found.line == "A²MIM") & (found.x == 0)].iloc[0]
    assert first.y == pytest.approx(90)
    assert np.isnan([first.low, first.high]).all()


def test_a_cnn_alone_is_figure_a1_in_one_row():
    tables = [
        table[table.network == "ResNet-50"] for table in (small_results.occlusion(), small_results.interactions())
    ]
    figure = figure1.plot(*tables)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [f"({letter}) ResNet-50" for letter in "abcd"]
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 1


def test_a_users_own_table_has_one_panel_with_each_checkpoint():
    table = small_results.occlusion().drop(columns=["network", "method", "seed"])
    (axes,) = figure1.plot(table).axes
    assert len(axes.lines) == 30
    assert axes.get_title(loc="left") == ""
    pair = figure1.plot(table, small_results.interactions().drop(columns=["network", "method", "seed"])).axes
    assert [axes.get_title(loc="left") for axes in pair] == ["(a)", "(b)"]


def test_panels_follow_from_the_methods():
    def panels(*names, network="ResNet-50"):
        return [found for _, found in figure1.columns(pd.DataFrame({"network": network, "method": names}))]

    assert panels("simmim", "scratch") == [["scratch", "simmim"]]
    assert panels("mocov3", "scratch") == [["scratch", "mocov3"]]  # nothing to compare but these two
    assert panels("dino", "byol") == [["dino", "byol"]]
    assert panels("my MoCo", "mine", "random") == [["random", "mine"], ["my MoCo", "mine"]]
    assert panels("mocov3", "a2mim", network="") == [["mocov3", "a2mim"]]


def test_many_networks_wrap_and_every_panel_has_a_letter(tmp_path):
    parts = [small_results.occlusion().assign(network=f"ResNet-{k}") for k in range(14)]
    figure = figure1.plot(pd.concat(parts))
    assert len(figure.axes) == 28
    assert figure.axes[27].get_title(loc="left") == "(ab) ResNet-13"
    figure.savefig(tmp_path / "a.png", dpi=20)


def test_a_measure_that_lacks_a_network_leaves_its_place_empty():
    table = small_results.interactions()
    figure = figure1.plot(small_results.occlusion(), table[table.network == "ResNet-50"])
    assert [axes.get_title(loc="left") for axes in figure.axes[4:]] == ["(e) ResNet-50", "(f) ResNet-50"]


def test_wide_bands_leave_the_lines_legible():
    table = small_results.interactions()
    table.loc[(table.seed == 2) & (table.ratio == 0), "J"] = 9.0
    axes = figure1.plot(None, table).axes[0]
    found = drawn.curves(figure1.plot(None, table))
    assert axes.get_ylim()[1] == pytest.approx(1.5 * found.y.max())
    assert found.high.max() > axes.get_ylim()[1]


def test_rows_without_numbers_are_left_out():
    table = small_results.occlusion()
    table.loc[(table.method == "a2mim") & (table.ratio == 0.5), "accuracy"] = np.nan
    table.loc[table.method == "simmim", "accuracy"] = np.inf
    found = drawn.curves(figure1.plot(table))
    assert sorted(found[found.line == "A²MIM"].x.unique()) == [0, 0.25, 0.75, 1]
    assert "SimMIM" not in set(found.line)


def test_tables_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="neither an occlusion nor an interactions table"):
        figure1.plot()
    with pytest.raises(ValueError, match="occlusion table: columns missing: accuracy"):
        figure1.plot(small_results.occlusion().drop(columns="accuracy"))
    with pytest.raises(ValueError, match="interactions table: no number in column J"):
        figure1.plot(None, small_results.interactions().assign(J="high"))
