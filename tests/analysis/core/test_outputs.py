"""What an analysis writes."""

import json

import pandas as pd
import pytest
from matplotlib.figure import Figure

from a2mim.analysis.core import outputs

TABLE = pd.DataFrame({"checkpoint": ["a", "b"], "value": [0.1 + 0.2, 1e-17]})


def figure():
    drawn = Figure()
    drawn.add_subplot().plot([1, 2])
    return drawn


def test_all_four_files_are_written_and_floats_survive(tmp_path):
    paths = outputs.save(tmp_path / "new", "occlusion", TABLE, {"settings": {"seed": 3}}, figure(), duration=1.5)
    assert [path.name for path in paths.values()] == [f"occlusion.{end}" for end in ("csv", "json", "png", "pdf")]
    pd.testing.assert_frame_equal(pd.read_csv(paths["csv"], float_precision="round_trip"), TABLE, check_exact=True)
    about = json.loads(paths["json"].read_text())
    assert about["settings"] == {"seed": 3}
    assert about["duration_seconds"] == 1.5
    assert {"python", "torch", "timm", "a2mim"} <= about["versions"].keys()
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert paths["pdf"].read_bytes().startswith(b"%PDF")


def test_fonts_in_the_pdf_are_embedded_as_truetype(tmp_path):
    pdf = outputs.save(tmp_path, "x", TABLE, {}, figure())["pdf"]
    for path in (pdf, outputs.save_figure(figure(), tmp_path / "f.pdf")):
        assert b"/FontFile2" in path.read_bytes()
        assert b"/Subtype /Type3" not in path.read_bytes()


def test_a_picture_comes_in_both_formats_whatever_dots_its_name_has(tmp_path):
    paths = outputs.save_pictures(figure(), tmp_path / "v1.5")
    assert {ending: path.name for ending, path in paths.items()} == {"png": "v1.5.png", "pdf": "v1.5.pdf"}
    assert paths["png"].read_bytes().startswith(b"\x89PNG")
    assert paths["pdf"].read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("last", ["png", "pdf"])
def test_a_full_disk_leaves_all_four_old_files(tmp_path, monkeypatch, last):
    paths = outputs.save(tmp_path, "x", TABLE, {}, figure())
    before = {end: path.read_bytes() for end, path in paths.items()}
    whole = Figure.savefig

    def full(self, target, **options):
        if options["format"] != last:
            return whole(self, target, **options)
        target.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", full)
    with pytest.raises(OSError, match="No space left"):
        outputs.save(tmp_path, "x", TABLE * 2, {"settings": {}}, figure())
    assert {end: path.read_bytes() for end, path in paths.items()} == before
    assert len(list(tmp_path.iterdir())) == 4


def test_a_folder_that_cannot_be_is_an_os_error(tmp_path):
    (tmp_path / "file").write_text("here already")
    with pytest.raises(OSError, match="file"):
        outputs.save(tmp_path / "file", "x", TABLE, {}, figure())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
