"""All figures and tables from folders of results, whole, poor and broken."""

import numpy as np
import pandas as pd
import pytest
import small_results
from click.testing import CliRunner

from a2mim.analysis.report import gallery
from a2mim.commands import analyze
from a2mim.errors import InputError


def build(names, folder, tmp_path):
    said = []
    written = gallery.build(names, folder, tmp_path / "out", said.append)
    return {path.name for path in written}, said


def test_the_papers_numbers():
    table = pd.read_csv(gallery.RESULTS / "paper.csv")
    assert list(table.columns) == ["table", "method", "column", "value", "epochs", "note", "source"]
    assert table.groupby("table").size().to_dict() == {1: 44, 2: 20, 3: 25, 4: 27, 5: 8}
    assert not table.duplicated(["table", "method", "column"]).any()
    value = table.set_index(["table", "method", "column"])["value"]
    assert value[1, "A2MIM", "longer FT (A2)"] == 80.5
    assert value[1, "Rotation", "fast Lin."] == 48.1
    assert value[2, "PeCo", "ViT-B FT"] == 84.5
    assert value[2, "A2MIM", "ViT-S FT"] == 82.2
    assert value[3, "CIM", "ADE-20K mIoU"] == 38.0
    assert value[4, "MAE", "COCO AP box"] == 48.5
    assert value[5, "+ L_freq without ω", "ViT-S"] == 86.05
    epochs = table.set_index(["table", "method", "column"])["epochs"]
    assert epochs[2, "iBOT", "ViT-B FT"] == 400
    assert set(table.source) == {f"Li et al. 2022, arXiv v1, Table {number}" for number in range(1, 6)}


def test_every_figure_and_table_of_a_full_folder(tmp_path):
    folder = small_results.write(tmp_path / "in")
    for ending in ("vit", "resnet"):
        np.savez(folder / f"reconstruct_pixels_{ending}.npz", **small_results.pixels())
    written, said = build([], folder, tmp_path)
    pictures = [f"figure{name}" for name in ("1", "3", "5", "6", "A1", "A2", "A3", "5_bands", "A2_bands", "A3_bands")]
    expected = {f"{name}.{ending}" for name in pictures for ending in ("pdf", "png")}
    expected |= {f"table{number}.{ending}" for number in range(1, 6) for ending in ("csv", "md", "tex")}
    assert written == expected
    assert "table 3: not run here, the paper's numbers alone" in said
    table = pd.read_csv(tmp_path / "out" / "table1.csv").set_index(["method", "evaluation"])
    assert table.loc[("a2mim", "end to end"), "top1"] == pytest.approx(80)


def test_what_a_folder_lacks_is_said_and_the_rest_is_built(tmp_path):
    folder = small_results.write(tmp_path / "in", "occlusion")
    written, said = build(["1", "6", "table1"], folder, tmp_path)
    assert written == {"figure1.pdf", "figure1.png"}
    assert said[0].startswith("left out: figure 6 needs token_place.csv, which ")
    assert said[1].startswith("left out: table 1 needs classification.csv, which ")
    assert said[2].startswith("figure 1 lacks a part: ")
    assert said[2].endswith("has no interactions.csv")


def test_nothing_at_all_lists_what_is_needed(tmp_path):
    with pytest.raises(InputError, match=r"figure 1 needs occlusion.csv or interactions.csv; .*table 5 needs loss_abl"):
        build([], tmp_path, tmp_path)
    with pytest.raises(InputError, match="no folder"):
        build([], tmp_path / "none", tmp_path)
    assert not (tmp_path / "out").exists()
    written, _ = build(["t3"], tmp_path, tmp_path)
    assert written == {"table3.csv", "table3.md", "table3.tex"}


@pytest.mark.parametrize(
    ("given", "name"),
    [("1", "1"), ("a1", "A1"), ("Figure3", "3"), ("fig-6", "6"), ("table1", "table1"), ("t5", "table5"), ("fA2", "A2")],
)
def test_names_as_a_person_writes_them(given, name):
    assert gallery.find(given) == name


@pytest.mark.parametrize("given", ["2", "table6", "A4", "x", "ta1"])
def test_names_that_are_none(given):
    with pytest.raises(InputError, match="there are 1, 3, 5, 6, A1"):
        gallery.find(given)


def test_a_users_own_results(tmp_path):
    table = small_results.occlusion().drop(columns=["network", "method", "seed"])
    (tmp_path / "in").mkdir()
    table.assign(foreign="x").to_csv(tmp_path / "in" / "occlusion.csv", index=False)
    written, said = build(["1", "A1"], tmp_path / "in", tmp_path)
    assert written == {"figure1.pdf", "figure1.png"}
    assert any("occlusion.csv has no column network" in line for line in said)


@pytest.mark.parametrize("name", ["x" * 200, r"$\frac{a_%#\\", "<b>a</b> | *b*", "_a", "a\nb", "ünïcode & co"])
def test_odd_names_give_sound_figures_and_tables(name, tmp_path):
    (tmp_path / "in").mkdir()
    for file in ("occlusion", "spectrum", "classification", "token_place"):
        table = small_results.TABLES[file]()
        odd = {column: name + table[column] for column in ("method", "network", "site", "fill") if column in table}
        table.assign(**odd).to_csv(tmp_path / "in" / f"{file}.csv", index=False)
    written, said = build(["1", "3", "6", "t1"], tmp_path / "in", tmp_path)
    assert {"figure1.png", "figure3.pdf", "figure6.png", "table1.tex"} <= written
    assert not [line for line in said if "left out" in line]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "occlusion.csv is empty"),
        ("a,b\n1,2\n", "occlusion table: columns missing: ratio, accuracy"),
        ("checkpoint,ratio,accuracy\n", "occlusion table: no rows"),
        ("checkpoint,ratio,accuracy\na,0.5,\n", "no number in column accuracy"),
        ('a,b\n1,"2\n', "occlusion.csv is not a table of comma-separated values"),
        (b"\xff\xfe\x00\xd8", "occlusion.csv is not a table of comma-separated values"),
    ],
)
def test_a_broken_table_is_one_line(text, message, tmp_path):
    (tmp_path / "occlusion.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = CliRunner().invoke(
        analyze.main, ["figures", "1", "--results", str(tmp_path), "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert message in result.output.splitlines()[-1]


def test_the_command(tmp_path):
    folder = small_results.write(tmp_path / "in", "variance", "loss_ablation")
    arguments = ["figures", "3", "--table", "5", "--results", str(folder), "--output", str(tmp_path / "out")]
    result = CliRunner().invoke(analyze.main, arguments)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "table5.tex").is_file()
    assert str(tmp_path / "out" / "figure3.pdf") in result.output
    assert not (tmp_path / "out" / "table1.md").exists()
