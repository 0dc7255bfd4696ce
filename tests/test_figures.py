"""Figures by the data they draw, not by their pixels."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from a2mim.figures import occlusion, reconstruction, style, training


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
    with pytest.raises(ValueError, match="no models"):
        reconstruction.plot({})
    with pytest.raises(ValueError, match="lacks pasted"):
        reconstruction.plot({"a": {name: np.zeros((1, 4, 4, 3)) for name in ("original", "masked", "prediction")}})


def test_reconstruction_shows_every_panel_once_and_in_order():
    generator = np.random.default_rng(0)
    models = {title: {name: generator.random((2, 8, 8, 3)) for name in reconstruction.COLUMNS} for title in ("a", "b")}
    axes = reconstruction.plot(models).axes
    assert len(axes) == 2 * 2 * 4
    shown = [ax.images[0].get_array() for ax in axes]
    wanted = [image for panels in models.values() for name in reconstruction.COLUMNS for image in panels[name]]
    assert all(np.allclose(a, b) for a, b in zip(shown, wanted, strict=True))
    lefts = [round(ax.get_position().x0, 3) for ax in axes]
    assert len(set(lefts)) == 8


def test_learning_curve_draws_what_the_run_has():
    summary = pd.DataFrame({"epoch": [1, 2], "loss": [2.0, 1.0], "val_loss": [2.1, 1.2], "top1": [50.0, 60.0]})
    loss, accuracy = training.plot(summary).axes
    assert [line.get_ydata().tolist() for line in loss.lines] == [[2, 1], [2.1, 1.2]]
    assert accuracy.lines[0].get_ydata().tolist() == [50, 60]
    assert len(training.plot(summary[["epoch", "loss"]]).axes) == 1
    with pytest.raises(ValueError, match="columns missing: epoch"):
        training.plot(pd.DataFrame({"loss": [1]}))


def test_a_name_keeps_its_colour_and_no_two_share_one():
    alone = style.palette(["a2mim"])["a2mim"]
    assert style.palette(["a2mim", "scratch", "simmim"])["a2mim"] == alone
    many = style.palette([f"m{k}" for k in range(9)])
    assert len(set(many.values())) == 9
    axes = occlusion.plot(occlusion_table(["a2mim"])).axes[0]
    assert to_hex(axes.lines[0].get_color()) == alone.lower()


def test_short_names_keep_both_ends():
    assert style.short_name("short") == "short"
    shortened = style.short_name("begin" + "x" * 100 + "end", limit=20)
    assert len(shortened) == 20
    assert shortened.startswith("begin")
    assert shortened.endswith("end")


def test_figures_need_no_torch():
    code = (
        "import sys, a2mim.figures.interactions, a2mim.figures.occlusion, a2mim.figures.reconstruction, "
        "a2mim.figures.training; assert 'torch' not in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
