"""The example notebook: valid, without stored outputs, and its cells run in order, here with less of everything."""

import json
import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "analyse_your_network.ipynb"
TINY = {"IMAGES": 8, "RUNS": 1, "GRID": (4, 4), "GAMES": 2, "PAIRS": 2, "CONTEXTS": 2}


@pytest.fixture(scope="module")
def notebook():
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def names(notebook):
    """What the cells leave behind."""
    found: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            lines = [line for line in cell["source"] if not line.startswith("%")]  # what is meant for Jupyter alone
            exec(compile("".join(lines), cell["id"], "exec"), found)
            if "parameters" in cell["metadata"].get("tags", ()):
                assert found.keys() >= TINY.keys()
                found.update(TINY)
    return found


def test_it_is_a_notebook_of_version_4_5(notebook):
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert notebook.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    assert notebook["metadata"]["kernelspec"].keys() >= {"name", "display_name"}
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", one) for one in ids)
    for cell in notebook["cells"]:
        own = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert cell.keys() == {"cell_type", "id", "metadata", "source"} | own
        assert all(line.endswith("\n") for line in cell["source"][:-1])
        assert (cell.get("outputs", []), cell.get("execution_count")) == ([], None)
    assert [cell["id"] for cell in notebook["cells"] if cell["metadata"].get("tags")] == ["parameters"]


def test_the_loader_reports_on_each_network(names):
    assert list(names["reports"]) == list(names["CHECKPOINTS"]) == ["ViT", "ResNet"]
    assert all(report.coverage == 1.0 for report in names["reports"].values())


def test_tables_have_every_network_and_point(names):
    table = names["occlusion_table"]
    assert table.groupby("checkpoint").size().to_dict() == {"ViT": 11, "ResNet": 11}
    assert table["n_images"].unique().tolist() == [8]
    assert table[table["ratio"] == 0]["accuracy"].min() > 0.5
    table = names["interactions_table"]
    assert table.groupby("checkpoint")["J"].mean().round(6).to_dict() == {"ViT": 1.0, "ResNet": 1.0}
    assert table["n_images"].unique().tolist() == [2]
    assert set(names["amplitude"]) >= {"patch_embed", "blocks.0", "blocks.5"}
    assert max(names["amplitude"].values()) < 0


def test_figures_show_what_the_tables_say(names):
    lines = {line.get_label(): line for line in names["figure_1a"].axes[0].lines}
    accuracy = names["occlusion_table"].query("checkpoint == 'ViT'")["accuracy"].to_numpy()
    drawn = lines["ViT"].get_ydata()
    assert (drawn / drawn[0]).tolist() == pytest.approx((accuracy / accuracy[0]).tolist())  # drawn in per cent
    strength = names["interactions_table"].query("checkpoint == 'ResNet'")["J"].tolist()
    lines = {line.get_label(): line for line in names["figure_1e"].axes[0].lines}
    assert lines["ResNet"].get_ydata().tolist() == pytest.approx(strength)
    lines = {line.get_label(): line for line in names["figure_3a"].axes[0].lines}
    assert lines.keys() >= {"ViT", "ResNet"}
