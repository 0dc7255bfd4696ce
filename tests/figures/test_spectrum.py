import numpy as np
import pandas as pd
import pytest

from a2mim.figures import style
from a2mim.figures.spectrum import plot, plot_full


def table(**networks):
    """Sides of the maps of each network's layers -> spectrum.csv."""
    parts = []
    for number, (name, sides) in enumerate(networks.items()):
        for place, side in enumerate(sides):
            frequency = 2 * np.arange((side + 1) // 2) / side
            mean = -frequency * (1 + place + number)
            columns = dict(checkpoint=name, layer=f"block{place}", depth=place / max(len(sides) - 1, 1))
            columns |= dict(frequency=frequency, log_amplitude=mean, ci_low=mean - 0.1, ci_high=mean + 0.2)
            parts.append(pd.DataFrame(columns | dict(height=side, width=side, n_images=9)))
    return pd.concat(parts, ignore_index=True)


def at(data, frequency):
    return data[data.frequency == frequency]


def test_the_highest_frequency_of_each_layer_by_depth():
    data = table(resnet=[14, 14, 8], vit=[8, 8]).sample(frac=1, random_state=0)
    figure = plot(data)
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_allclose(lines["resnet"].get_xdata(), [0, 0.5, 1])
    np.testing.assert_allclose(lines["resnet"].get_ydata(), [-12 / 14 * (1 + k) for k in (0, 1)] + [-0.75 * 3])
    assert axes.get_title() == "highest of each layer (0.75π to 0.86π)"
    assert [round(patch.get_x(), 6) for patch in axes.patches] == [0.75]
    names = list(dict.fromkeys(data.checkpoint))
    assert all(line.get_color() == style.palette(names)[name] for name, line in lines.items())


def test_tables_joined_from_several_files_are_drawn_alike():
    parts = [table(a=[8, 8]), table(b=[8, 4])]
    for line, same in zip(
        plot(pd.concat(parts)).axes[0].lines, plot(pd.concat(parts, ignore_index=True)).axes[0].lines, strict=True
    ):
        np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())


def test_one_frequency_for_all_has_a_panel_of_its_own():
    data = table(resnet=[16, 8], vit=[8, 8])
    figure = plot(data, at(data, 0.5))
    assert [axes.get_title() for axes in figure.axes] == [
        "highest of each layer (0.75π to 0.88π)",
        "all layers at 0.5π",
    ]
    for line, rows in zip(figure.axes[1].lines, (at(data, 0.5).groupby("checkpoint", sort=False)), strict=True):
        np.testing.assert_allclose(line.get_ydata(), rows[1].log_amplitude)
    assert len(figure.legends) == 1


def test_a_network_without_that_frequency_has_no_line_in_its_panel(tmp_path):
    data = table(resnet=[16, 8], vit=[4, 4])
    figure = plot(data, at(data, 0.75))
    assert len(figure.axes[1].lines[1].get_xdata()) == 0
    figure.savefig(tmp_path / "a.png")


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7])
def test_the_full_spectrum_has_a_panel_for_each_checkpoint(tmp_path, count):
    data = table(**{f"net{k}": [8, 8, 4] for k in range(count)})
    figure = plot_full(data)
    figure.savefig(tmp_path / "a.png")
    *panels, bar = figure.axes
    shown = [axes for axes in panels if axes.axison]
    assert [axes.get_title() for axes in shown] == [f"net{k}" for k in range(count)]
    for axes, (_, rows) in zip(shown, data.groupby("checkpoint", sort=False), strict=True):
        for line, (_, layer) in zip(axes.lines, rows.groupby("layer", sort=False), strict=True):
            np.testing.assert_allclose(line.get_xdata(), layer.frequency)
            np.testing.assert_allclose(line.get_ydata(), layer.log_amplitude)
    assert len({line.get_color() for line in shown[0].lines}) == 3
    assert bar.get_ylabel() == "Normalised depth"


def test_long_and_odd_names_fit(tmp_path):
    data = table(**{"run/" + "very-long-" * 20 + "end": [8, 8], "a$b_c^d$": [8, 4]})
    for figure in (plot(data, at(data, 0.5)), plot_full(data)):
        figure.savefig(tmp_path / "a.pdf")
    text = plot(data).legends[0].get_texts()[0].get_text()
    assert len(text) <= 40


def test_the_figure_comes_from_the_file_alone(tmp_path):
    table(vit=[8, 8]).to_csv(tmp_path / "spectrum.csv", index=False)
    read = pd.read_csv(tmp_path / "spectrum.csv")
    np.testing.assert_allclose(plot(read).axes[0].lines[0].get_ydata(), [-0.75, -1.5])
    assert len(plot_full(read).axes[0].lines) == 2


def test_missing_columns_and_empty_tables_are_named():
    for draw in (plot, plot_full):
        with pytest.raises(ValueError, match="spectrum table: columns missing: frequency"):
            draw(table(vit=[8]).drop(columns="frequency"))
        with pytest.raises(ValueError, match="no rows"):
            draw(table(vit=[8]).iloc[:0])
