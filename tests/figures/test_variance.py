import numpy as np
import pandas as pd
import pytest

from a2mim.figures import style
from a2mim.figures.variance import plot


def table(**networks):
    """Sides of the maps of each network's layers -> variance.csv."""
    parts = []
    for number, (name, sides) in enumerate(networks.items()):
        mean = 1.0 + number + np.arange(len(sides))
        columns = dict(checkpoint=name, layer=[f"block{k}" for k in range(len(sides))])
        columns |= dict(depth=np.linspace(0, 1, len(sides)), variance=mean, ci_low=0.9 * mean, ci_high=1.2 * mean)
        parts.append(pd.DataFrame(columns | dict(height=sides, width=sides, n_images=9)))
    return pd.concat(parts, ignore_index=True)


def shaded(axes):
    return sorted((round(patch.get_x(), 6), round(patch.get_x() + patch.get_width(), 6)) for patch in axes.patches)


def test_one_line_and_one_band_for_each_checkpoint():
    data = table(resnet=[8, 8, 4], vit=[8, 8, 8])
    axes = plot(data).axes[0]
    assert len(axes.lines) == len(axes.collections) == 2
    for line, name in zip(axes.lines, ("resnet", "vit"), strict=True):
        rows = data[data.checkpoint == name]
        np.testing.assert_array_equal(line.get_xdata(), rows.depth)
        np.testing.assert_array_equal(line.get_ydata(), rows.variance)
        assert line.get_color() == style.palette(["resnet", "vit"])[name]
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (edges.min(), edges.max()) == pytest.approx((0.9, 3.6))
    assert axes.get_ylim()[0] == 0


def test_pooling_is_shaded_once_where_all_agree_and_in_tints_where_not():
    axes = plot(table(a=[8, 8, 4], b=[8, 8, 4], vit=[8, 8, 8])).axes[0]
    assert shaded(axes) == [(0.75, 1.25)]
    figure = plot(table(a=[8, 8, 4], b=[8, 4, 4]))
    assert shaded(figure.axes[0]) == [(0.25, 0.75), (0.75, 1.25)]
    assert len({patch.get_facecolor() for patch in figure.axes[0].patches}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b", "95 % interval", "pooling"]
    figure = plot(table(vit=[8, 8]))
    assert not figure.axes[0].patches
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["vit", "95 % interval"]


def test_values_that_span_much_are_drawn_on_a_scale_of_logarithms():
    data = table(vit=[8, 8, 8])
    data.loc[2, ["variance", "ci_high"]] = 400.0
    assert plot(data).axes[0].get_yscale() == "log"
    assert plot(table(vit=[8, 8, 8])).axes[0].get_yscale() == "linear"


def test_standard_deviations_say_so(tmp_path):
    figure = plot(table(vit=[8, 8]).rename(columns={"variance": "std"}))
    assert figure.axes[0].get_ylabel() == "Feature map standard deviation"
    figure.savefig(tmp_path / "a.png")


def test_without_intervals_and_from_the_file_alone(tmp_path):
    table(vit=[8, 8]).assign(ci_low=np.nan, ci_high=np.nan).to_csv(tmp_path / "variance.csv", index=False)
    figure = plot(pd.read_csv(tmp_path / "variance.csv"))
    figure.savefig(tmp_path / "a.pdf")
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [1, 2])


def test_missing_columns_and_empty_tables_are_named():
    with pytest.raises(ValueError, match="variance table: columns missing: variance"):
        plot(table(vit=[8]).drop(columns="variance"))
    with pytest.raises(ValueError, match="no rows"):
        plot(table(vit=[8]).iloc[:0])
