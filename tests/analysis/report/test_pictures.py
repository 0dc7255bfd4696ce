"""Pictures of the page: drawn from the tables, small, and within what the page may hold."""

import io
import os

import numpy as np
import page_results
import pytest
from PIL import Image

from a2mim.analysis.report import pictures as page_pictures
from a2mim.analysis.report import reading
from a2mim.analysis.report.model import Picture
from a2mim.errors import InputError


def pictures(path):
    return page_pictures.of(reading.known(path.stem), page_results.tables(path), path, "this is so")


def noise(side=200, seed=0):
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
    return Picture(file.getvalue(), "alt", "caption")


def test_each_analysis_is_drawn_anew_and_says_what_it_shows(tmp_path):
    found, notes = pictures(page_results.occlusion(tmp_path))
    assert found[0].alt == ("Lines of top-1 accuracy against the share of hidden patches, of net-a, net-b; this is so.")
    assert notes == []
    with Image.open(io.BytesIO(found[0].png)) as image:
        assert (image.mode, image.width) == ("P", 680)
    assert [len(pictures(page_results.layers(tmp_path, kind))[0]) for kind in ("spectrum", "variance")] == [2, 1]


def test_a_table_that_cannot_be_drawn_is_told(tmp_path):
    path = page_results.occlusion(tmp_path)
    tables = {"": page_results.tables(path)[""].drop(columns="run")}
    found, notes = page_pictures.of(reading.known("occlusion"), tables, path, "")
    assert (found, notes) == (
        [],
        ["A picture could not be drawn from occlusion.csv: occlusion table: columns missing: run."],
    )


def test_pictures_of_images_are_embedded_and_told_from_drawn_ones(tmp_path):
    path = page_results.reconstruct(tmp_path)
    found, notes = pictures(path)
    assert [one.caption for one in found] == [
        "Error and energy by frequency",
        "Images and what was made of them (as written, reconstruct.png)",
    ]
    assert notes == []
    with Image.open(io.BytesIO(found[1].png)) as image:
        assert image.convert("RGB").getpixel((5, 5)) == (200, 30, 30)
    os.utime(tmp_path / "reconstruct.png", (1, 1))
    assert pictures(path)[1] == ["reconstruct.png is older than reconstruct.csv: it may be from another measurement."]
    (tmp_path / "reconstruct_bands.csv").unlink()  # without it there is no such figure, and nothing to complain of
    os.utime(tmp_path / "reconstruct.png")
    found, notes = pictures(path)
    assert (found[0].caption[:10], notes) == ("Images and", [])
    page_results.reconstruct(tmp_path)
    (tmp_path / "reconstruct.png").write_bytes(b"no picture")
    found, notes = pictures(path)
    assert len(found) == 1
    assert notes[0].startswith("reconstruct.png is not a picture")


def test_pictures_are_made_smaller_until_they_fit():
    every = [noise(seed=seed) for seed in range(3)]
    whole = sum(len(one.png) for one in every)
    assert page_pictures.fit(every, whole) == (every, "")
    fitting, note = page_pictures.fit(every, whole // 10)
    assert sum(len(one.png) for one in fitting) <= whole // 10
    assert note.startswith("The 3 pictures are shown at 45% of their size")
    with Image.open(io.BytesIO(fitting[0].png)) as image:
        assert image.size == (90, 90)
    with pytest.raises(InputError, match="3 pictures do not fit a page"):
        page_pictures.fit(every, 10)
