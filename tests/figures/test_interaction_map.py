import numpy as np
import pytest
from matplotlib.figure import Figure

from a2mim.figures.interaction_map import STRONGEST, Maps, heat, plot

RATIOS = np.array([0.0, 3 / 62, 0.5, 1.0])


def maps(n_images=2, n_pairs=30, seed=0):
    rng = np.random.default_rng(seed)
    pairs = np.stack([[rng.choice(64, 2, replace=False) for _ in range(n_pairs)] for _ in range(n_images)])
    return Maps(RATIOS, (8, 8), pairs, rng.gamma(1.0, size=(n_images, len(RATIOS), n_pairs)))


def images(n=2):
    return [np.random.default_rng(k).random((32, 32, 3)) for k in range(n)]


def test_heat_is_the_mean_strength_of_a_cells_pairs():
    found = heat((2, 2), np.array([(0, 1), (0, 2)]), np.array([1.0, 3.0]))
    np.testing.assert_array_equal(found, [[2, 1], [3, np.nan]])
    assert heat((1, 2), np.array([(0, 1)]), np.array([-0.5])).tolist() == [[0, 0]]


def test_a_row_for_each_image_and_a_panel_for_each_order_and_network():
    figure = plot(images(), {"vit": maps(), "resnet": maps(seed=1)})
    assert len(figure.axes) == 2 * (1 + 2 * 3)
    titles = [axes.get_title() for axes in figure.axes[1:7]]
    assert titles == [
        "\n$m$ = 0.048$n$",
        "vit\n$m$ = 0.5$n$",
        "\n$m$ = $n$",
        "\n$m$ = 0.048$n$",
        "resnet\n$m$ = 0.5$n$",
        "\n$m$ = $n$",
    ]
    assert not any(axes.get_title() for axes in figure.axes[7:])


def test_lines_join_the_strongest_pairs_and_none_that_do_not_interact():
    one = maps(n_images=1)
    axes = plot(images(1), {"vit": one}, ratios=(0.5,)).axes[1]
    assert len(axes.lines) == STRONGEST
    best = one.values[0, 2].argmax()
    rows, cols = np.divmod(one.pairs[0, best], 8)
    np.testing.assert_allclose(axes.lines[0].get_xdata(), (cols + 0.5) * 4 - 0.5)
    np.testing.assert_allclose(axes.lines[0].get_ydata(), (rows + 0.5) * 4 - 0.5)
    assert axes.lines[0].get_linewidth() == max(line.get_linewidth() for line in axes.lines)
    none = one._replace(values=np.zeros_like(one.values))
    assert not plot(images(1), {"vit": none}, ratios=(0.5,)).axes[1].lines


def test_cells_without_a_pair_show_the_image_alone(tmp_path):
    one = Maps(RATIOS, (2, 2), np.array([[(0, 1)]]), np.ones((1, 4, 1)))
    figure = plot(images(1), {"vit": one}, ratios=(0.5,))
    cover = figure.axes[1].images[1].get_array()[..., 3]
    np.testing.assert_allclose(cover, [[0.9, 0.9], [0, 0]])
    figure.savefig(tmp_path / "map.png")
    assert isinstance(figure, Figure)


def test_nothing_to_draw_and_other_numbers_of_images_are_named():
    with pytest.raises(ValueError, match="no images or no networks"):
        plot([], {"vit": maps()})
    with pytest.raises(ValueError, match="'vit' has 2 images, not 1"):
        plot(images(1), {"vit": maps()})
