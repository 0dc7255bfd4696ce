"""Figures by the data they draw, not by their pixels."""

import itertools
import subprocess
import sys

import matplotlib
import matplotlib.style
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb

from a2mim.figures import occlusion, style, training


def occlusion_table(names=("vit", "resnet")):
    rows = [
        dict(checkpoint=name, run=run, ratio=ratio, accuracy=0.9 - 0.5 * ratio - 0.01 * run, n_images=100)
        for name in names for run in range(3) for ratio in (0.0, 0.5, 1.0)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_occlusion_draws_the_mean_over_runs_in_per_cent():
    table = occlusion_table()
    axes = occlusion.plot(table).axes[0]
    assert [line.get_label() for line in axes.lines] == ["vit", "resnet"]
    for line in axes.lines:
        assert np.allclose(line.get_xdata(), [0, 0.5, 1])
        assert np.allclose(line.get_ydata(), [89, 64, 39])
    band = axes.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(90)
    assert band[:, 1].min() == pytest.approx(38)


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_legend_says_what_the_band_is_where_there_is_one():
    table = occlusion_table()
    assert legend(occlusion.plot(table)) == ["vit", "resnet", "range over runs"]
    assert legend(occlusion.plot(table[table.run == 0])) == ["vit", "resnet"]


def test_names_that_matplotlib_would_hide_are_in_the_legend():
    assert legend(occlusion.plot(occlusion_table(["_old", "new"])))[0].endswith("_old")


def test_many_checkpoints_are_told_apart_by_colour_and_dashes():
    lines = occlusion.plot(occlusion_table([f"checkpoint-{k}" for k in range(27)])).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 27


@pytest.mark.parametrize("name", ["x" * 200, "a $broken_{math", "<b>markup</b>", "ünïcode"])
def test_odd_names_still_give_a_figure(name, tmp_path):
    figure = occlusion.plot(occlusion_table([name]))
    figure.savefig(tmp_path / "f.png")
    assert len(figure.axes[0].lines[0].get_label()) <= 42


def test_missing_columns_and_empty_tables_are_named():
    with pytest.raises(ValueError, match="columns missing: accuracy"):
        occlusion.plot(occlusion_table().drop(columns="accuracy"))
    with pytest.raises(ValueError, match="no rows"):
        occlusion.plot(occlusion_table().iloc[:0])


def test_learning_curve_draws_what_the_run_has():
    summary = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [2.1, 1.2], "top1": [50.0, 60.0]})
    loss, accuracy = training.plot(summary).axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[2, 1], [2.1, 1.2]]
    assert accuracy.lines[0].get_ydata().tolist() == [50, 60]
    assert len(training.plot(summary[["epoch", "loss"]]).axes) == 1
    with pytest.raises(ValueError, match="columns missing: epoch"):
        training.plot(pd.DataFrame({"loss": [1]}))


def test_learning_curve_counts_epochs_in_whole_numbers_and_shows_averaged_weights():
    summary = pd.DataFrame({"epoch": [1], "loss": [1.0], "top1": [50.0], "top1_ema": [60.0]})
    loss, accuracy = training.plot(summary).axes
    low, high = loss.get_xlim()
    assert [tick for tick in loss.get_xticks() if low <= tick <= high] == [1]
    assert [line.get_label() for line in accuracy.lines] == ["validation", "validation, averaged weights"]


def test_a_name_keeps_its_colour_and_no_two_share_one():
    alone = style.palette(["a2mim"])["a2mim"]
    assert style.palette(["a2mim", "scratch", "simmim"])["a2mim"] == alone
    many = style.palette([f"m{k}" for k in range(9)])
    assert len(set(many.values())) == 9
    axes = occlusion.plot(occlusion_table(["a2mim"])).axes[0]
    assert to_hex(axes.lines[0].get_color()) == alone.lower()


# how linear sRGB looks without the cones for red, green or blue (Machado et al. 2009, severity 1), and with all
EYES = [
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    np.eye(3),
]


def cie_lab(colour, eye):
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(to_xyz) @ np.clip(eye @ linear, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_colours_differ_for_colour_blind_readers_too():
    colours = style.palette(map(str, range(9))).values()
    for eye in np.array(EYES):
        for a, b in itertools.combinations(colours, 2):
            assert np.linalg.norm(cie_lab(a, eye) - cie_lab(b, eye)) > 15, (a, b)


def test_short_names_keep_both_ends():
    assert style.short_name("short") == "short"
    shortened = style.short_name("begin" + "x" * 100 + "end", limit=20)
    assert len(shortened) == 20
    assert shortened.startswith("begin")
    assert shortened.endswith("end")


def test_figures_need_no_torch_and_leave_nothing_in_pyplot():
    code = (
        "import sys, pandas, a2mim.figures.bands, a2mim.figures.figure1, a2mim.figures.figure3, a2mim.figures.figure6, "
        "a2mim.figures.interactions, a2mim.figures.occlusion, a2mim.figures.table_text, "
        "a2mim.figures.reconstruction, a2mim.figures.training; "
        "a2mim.figures.training.plot(pandas.DataFrame({'epoch': [1], 'loss': [1.0]})); "
        "assert 'torch' not in sys.modules and not sys.modules['matplotlib.pyplot'].get_fignums()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_users_own_style_does_not_reach_the_figures():
    with matplotlib.rc_context():
        matplotlib.style.use("dark_background")
        figure = occlusion.plot(occlusion_table())
        assert matplotlib.rcParams["figure.facecolor"] == "black"
    assert to_hex(figure.get_facecolor()) == to_hex(figure.axes[0].get_facecolor()) == "#ffffff"
