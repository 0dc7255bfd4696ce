"""What a report finds in folders, and how it reads what strangers left there."""

import json

import numpy as np
import page_results
import pytest

from a2mim.analysis.core.numbers import Columns
from a2mim.analysis.report import reading
from a2mim.errors import InputError

OCCLUSION = reading.known("occlusion").columns[""]


def kinds(*sources):
    return [one.kind for one in reading.find(sources)[0]]


def test_folders_at_any_depth_give_each_thing_once(tmp_path):
    page_results.everything(tmp_path)
    for name in ("occlusion.parts/x", ".hidden", "net-a.old-1", "stages"):
        page_results.occlusion(tmp_path / "results" / name)
    (tmp_path / "about.json").write_text("{}")
    assert kinds(tmp_path) == [
        *("about", "run", "interactions", "occlusion", "spectrum", "variance", "reconstruct"),
        *("trials", "run", "run"),
    ]
    twice = (tmp_path / "results", tmp_path / "results" / "occlusion.csv", tmp_path / "net-a")
    assert kinds(*twice) == ["interactions", "occlusion", "spectrum", "variance", "reconstruct", "run"]


def test_single_files_are_told_by_name_then_by_columns(tmp_path):
    path = page_results.occlusion(tmp_path)
    assert kinds(path.rename(tmp_path / "mine.csv")) == ["occlusion"]
    page_results.layers(tmp_path, "variance").rename(tmp_path / "v.csv")
    assert kinds(tmp_path / "v.csv") == ["variance"]
    page_results.layers(tmp_path, "spectrum")
    assert [one.path.name for one in reading.find([tmp_path / "spectrum_at.csv"])[0]] == ["spectrum.csv"]
    run = page_results.run(tmp_path / "run")
    assert reading.find([run / "summary.csv"])[0] == [reading.Found("run", run)]
    (tmp_path / "odd.csv").write_text("x,y\n1,2\n")
    (odd,), _ = reading.find([tmp_path / "odd.csv"])
    assert odd.kind == "foreign"
    assert odd.why.startswith("odd.csv has the columns x, y; no analysis has these (interactions, occlusion")


def test_a_folder_without_results_is_told_with_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "images").mkdir()
    assert reading.find([tmp_path]) == ([], [f"{tmp_path}: nothing to report on among images/, notes.txt"])
    with pytest.raises(InputError, match="gone does not exist"):
        reading.find([tmp_path / "gone"])


def test_names_stay_words_and_rows_without_numbers_are_left_out(tmp_path):
    path = tmp_path / "occlusion.csv"
    path.write_text(
        "\ufeffcheckpoint,run,ratio,accuracy\nNA,0,0,0.5\n007,0,0.5,NaN\n007,0,,0.5\n007,0,1,inf\n007,0,1,.25\n"
    )
    table, notes = reading.read_table(path, OCCLUSION)
    assert list(table["checkpoint"]) == ["NA", "007"]
    assert list(table["accuracy"]) == [0.5, 0.25]
    assert notes == ["3 of the 5 rows of occlusion.csv have no number in ratio or accuracy; they are left out."]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "occlusion.csv is empty"),
        ("checkpoint,run,ratio,accuracy\n", "no rows"),
        ("a,b\n1,2\n", "lacks the columns checkpoint, run, ratio, accuracy; it has a, b"),
        ("checkpoint,run,ratio,accuracy\nx,0,0,nan\n", "no row with a number in ratio and accuracy"),
        ("checkpoint,run,ratio,accuracy\nx,0,0,high\n", "row 1: accuracy is 'high', which is not a number"),
        ("checkpoint,run,ratio,accuracy,n_images\nx,0,0,1,many\n", "row 1: n_images is 'many', which is not a number"),
        ("checkpoint,run,ratio,accuracy\nx,0,0,1,7,8\n", "cannot be read as CSV"),
        ('checkpoint,run,ratio,accuracy\nx,0,0,"1\n', "cannot be read as CSV"),
    ],
)
def test_tables_that_cannot_be_used_say_why(tmp_path, text, said):
    (tmp_path / "occlusion.csv").write_text(text)
    with pytest.raises(InputError, match=said):
        reading.read_table(tmp_path / "occlusion.csv", OCCLUSION)


def test_bytes_that_are_no_text_say_so(tmp_path):
    (tmp_path / "occlusion.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="cannot be read as CSV"):
        reading.read_table(tmp_path / "occlusion.csv", OCCLUSION)
    (tmp_path / "occlusion.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="cannot be read as JSON"):
        reading.read_json(tmp_path / "occlusion.json")
    (tmp_path / "occlusion.json").write_text("[1]")
    with pytest.raises(InputError, match="holds a list instead of settings"):
        reading.read_json(tmp_path / "occlusion.json")


def test_files_beside_a_table_are_optional(tmp_path):
    path = page_results.interactions(tmp_path)
    table, notes = reading.read_beside(path, "difference", Columns(("J_difference",)))
    assert (list(table["J_difference"]), notes) == ([1.0, -1.5, 0.1], [])
    assert reading.read_beside(path, "rms", Columns(())) == (None, [])
    table, notes = reading.read_beside(path, "difference", Columns(("other",)))
    assert (table, notes) == (None, ["interactions_difference.csv lacks other; it is left out."])


def test_a_table_of_other_checkpoints_is_left_out(tmp_path):
    path = page_results.interactions(tmp_path)
    path.write_text(path.read_text().replace("net-b", "net-c"))
    found = reading.Found("interactions", path)
    tables, notes = reading.read(found, reading.known("interactions").columns)
    assert list(tables) == [""]
    assert notes == ["interactions_difference.csv has other checkpoints than interactions.csv and is left out."]


def test_std_stands_for_variance(tmp_path):
    path = page_results.layers(tmp_path, "variance")
    path.write_text(path.read_text().replace(",variance,", ",std,"))
    table, _ = reading.read_table(path, reading.known("variance").columns[""])
    assert np.allclose(table["std"][:3], [0.1, 1.1, 2.1])


def test_what_is_no_mapping_counts_as_nothing():
    assert reading.mapping(json.loads('{"1": 2}')) == {"1": 2}
    assert reading.mapping([1]) == reading.mapping(None) == {}
