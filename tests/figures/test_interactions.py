import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from a2mim.figures import style
from a2mim.figures.interactions import plot

RATIOS = np.array([0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1])


def table(*names):
    parts = []
    for k, name in enumerate(names):
        strength = 0.1 + (1 + k) * (RATIOS - 0.4) ** 2
        J = strength / strength.mean()
        floor = np.where((RATIOS > 0) & (RATIOS < 1), 0.05, 0.0)
        columns = dict(strength=strength, J=J, J_ci_low=0.9 * J, J_ci_high=1.2 * J, noise_floor=floor)
        parts.append(pd.DataFrame(dict(checkpoint=name, ratio=RATIOS) | columns))
    return pd.concat(parts, ignore_index=True)


def test_one_line_and_one_band_for_each_checkpoint():
    data = table("vit", "resnet")
    axes = plot(data, noise_floor=False).axes[0]
    assert len(axes.lines) == len(axes.collections) == 2
    for line, name in zip(axes.lines, ("vit", "resnet"), strict=True):
        rows = data[data.checkpoint == name]
        np.testing.assert_array_equal(line.get_xdata(), rows.ratio)
        np.testing.assert_array_equal(line.get_ydata(), rows.J)
        assert line.get_color() == style.palette(["vit", "resnet"])[name]
    edges = axes.collections[0].get_paths()[0].vertices[:, 1]
    rows = data[data.checkpoint == "vit"]
    assert (edges.min(), edges.max()) == pytest.approx((rows.J_ci_low.min(), rows.J_ci_high.max()))


def test_noise_floor_is_drawn_on_the_scale_of_the_curve():
    data = table("vit")
    floor = plot(data).axes[0].lines[1]
    np.testing.assert_array_equal(floor.get_xdata(), RATIOS[1:-1])
    np.testing.assert_allclose(floor.get_ydata(), 0.05 / data.strength.mean())
    assert floor.get_linestyle() == ":"


def test_ticks_are_the_papers():
    axes = plot(table("vit")).axes[0]
    assert axes.get_xticks() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert [tick.get_text().strip("$") for tick in axes.get_xticklabels()] == ["0", "0.2n", "0.4n", "0.6n", "0.8n", "n"]
    assert axes.get_ylim()[0] == 0


def test_rows_in_any_order_and_unknown_noise_are_drawn(tmp_path):
    data = table("vit").sample(frac=1, random_state=0).assign(noise_floor=np.nan)
    figure = plot(data)
    assert (np.diff(figure.axes[0].lines[0].get_xdata()) > 0).all()
    figure.savefig(tmp_path / "a.png")


def test_a_curve_without_strength_is_left_out_not_an_error(tmp_path, recwarn):
    flat = table("additive").assign(strength=0.0, J=np.nan, J_ci_low=np.nan, J_ci_high=np.nan, noise_floor=0.0)
    plot(pd.concat([flat, table("vit")])).savefig(tmp_path / "a.png")
    plot(flat).savefig(tmp_path / "b.png")
    assert not recwarn.list


def test_long_and_odd_names_are_shortened_and_fit(tmp_path):
    names = ["run/" + "very-long-" * 20 + "end", "a$b_c^d$", *(f"checkpoint-{k}" for k in range(8))]
    figure = plot(table(*names))
    figure.savefig(tmp_path / "a.pdf")
    texts = figure.legends[0].get_texts()
    assert [text.get_text() for text in texts] == [style.short_name(name) for name in names] + [
        "95 % interval",
        "noise floor",
    ]
    edge = figure.bbox
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= edge.x0
        assert box.x1 <= edge.x1
    assert figure.axes[0].get_window_extent().height > 0.3 * edge.height  # the legend leaves room for the curves


def test_the_figure_comes_from_the_file_alone(tmp_path):
    table("vit").to_csv(tmp_path / "interactions.csv", index=False)
    read = pd.read_csv(tmp_path / "interactions.csv")
    np.testing.assert_allclose(plot(read).axes[0].lines[0].get_ydata(), table("vit").J)
    assert not plt.get_fignums()  # no window is left open


def test_missing_columns_and_empty_tables_are_named():
    with pytest.raises(ValueError, match="columns missing: J, noise_floor"):
        plot(table("vit").drop(columns=["J", "noise_floor"]))
    with pytest.raises(ValueError, match="no rows"):
        plot(table("vit").iloc[:0])
