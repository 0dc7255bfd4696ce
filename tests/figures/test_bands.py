import pytest
import small_results

from a2mim.figures import bands, methods

HALF = 4.302652729911275 * 0.01 / 3**0.5


def one_network():
    table = small_results.bands()
    return table[table.network == "small ViT"]


def test_methods_are_means_over_seeds():
    figure = bands.plot_methods(one_network(), without_token=False)
    error, energy = figure.axes
    lines = {line.get_label(): line for line in error.lines if not line.get_label().startswith("_")}
    assert list(lines) == ["SimMIM", "A²MIM"]
    assert lines["SimMIM"].get_color() == methods.KNOWN["simmim"].colour
    assert lines["A²MIM"].get_xydata()[0].tolist() == pytest.approx([1 / 16, 0.5])
    corners = error.collections[1].get_paths()[0].vertices
    assert corners[:, 1].min() == pytest.approx(0.5 - HALF)
    assert energy.lines[0].get_ydata()[0] == pytest.approx(0.8)
    assert figure.get_supxlabel() == "Mean over 3 seeds with its 95 % Student-t interval."


def test_without_the_token_and_several_networks():
    figure = bands.plot_methods(small_results.bands(), without_token=True)
    lines = [line for line in figure.axes[0].lines if not line.get_label().startswith("_")]
    assert len(lines) == 8
    by_label = {line.get_label(): line for line in lines}
    without = by_label["A²MIM, ResNet-50, without token"]
    assert without.get_ydata()[0] == pytest.approx(0.8)
    assert (without.get_linestyle(), without.get_markerfacecolor()) == ("--", "white")


def test_checkpoints_have_a_line_each():
    figure = bands.plot(one_network())
    assert len([line for line in figure.axes[0].lines if not line.get_label().startswith("_")]) == 12


def test_tables_that_cannot_be_drawn_are_named():
    with pytest.raises(ValueError, match="bands table: columns missing: energy"):
        bands.plot_methods(one_network().drop(columns="energy"), without_token=False)
    with pytest.raises(ValueError, match="bands table: columns missing: checkpoint"):
        bands.plot(one_network().drop(columns="checkpoint"))
