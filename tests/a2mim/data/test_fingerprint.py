"""A fingerprint changes with names, sizes and content, not with the place or the time; what changed is said."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from small_data import write_images

from a2mim.data import FileImages, FolderImages, open_images
from a2mim.data.fingerprint import SAMPLE, check_unchanged, difference, fingerprint
from a2mim.errors import InputError

NAMES = [f"{name}/{k}.png" for name in ("ant", "bee") for k in range(5)]


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / "images", *NAMES)


def of(folder, **options):
    found = fingerprint(FolderImages(folder), **options)
    assert json.loads(json.dumps(found)) == found
    return found


def test_a_copy_that_was_touched_is_the_same(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    for name in NAMES:
        os.utime(tmp_path / "copy" / name, (1, 1))
    before, now = of(folder), of(tmp_path / "copy")
    assert before == now
    assert difference(before, now) == ""
    assert (before["files"], len(before["sample"])) == (10, 10)
    assert before["bytes"] == sum((folder / name).stat().st_size for name in NAMES)
    check_unchanged(before, now, "the parts", "start anew")


def test_every_change_is_named(folder):
    before = of(folder)
    Image.new("RGB", (6, 5), (99, 0, 0)).save(folder / "ant/3.png")
    assert difference(before, of(folder)) == "1 replaced (ant/3.png)"
    Image.new("RGB", (6, 5), (3, 0, 0)).save(folder / "ant/3.png")
    assert difference(before, of(folder)) == ""
    os.rename(folder / "ant/0.png", folder / "ant/zero.png")
    assert difference(before, of(folder)) == "1 renamed (ant/0.png -> ant/zero.png)"
    os.rename(folder / "ant/zero.png", folder / "ant/0.png")
    write_images(folder / "new", "x.png")
    os.rename(folder / "new/x.png", folder / "bee/new.png")
    (folder / "bee/1.png").unlink()
    os.rmdir(folder / "new")
    assert difference(before, of(folder)) == "1 added (bee/new.png); 1 removed (bee/1.png)"
    (folder / "bee/new.png").unlink()
    changed = difference(before, of(folder))
    assert changed == "10 images before, 9 now; 1 removed (bee/1.png)"
    with pytest.raises(
        InputError, match=r"the images are not those of the parts: 10 images before, 9 now; .*; start anew"
    ):
        check_unchanged(before, of(folder), "the parts", "start anew")


def test_a_renamed_class_is_told(folder):
    before = of(folder)
    os.rename(folder / "ant", folder / "zebra")
    changed = difference(before, of(folder))
    assert changed.startswith("5 renamed (ant/0.png -> zebra/0.png, ")
    assert changed.endswith("the names of the classes or their order changed")


def test_a_sample_stays_when_other_files_come_and_go(tmp_path):
    folder = write_images(tmp_path, *(f"{k}.png" for k in range(200)))
    before = of(folder, sample=50)
    assert len(before["sample"]) == 50
    kept = next(iter(before["sample"]))
    write_images(tmp_path, *(f"more/{k}.png" for k in range(10)))
    for k in range(10):
        os.rename(tmp_path / f"more/{k}.png", tmp_path / f"more{k}.png")
    os.rmdir(tmp_path / "more")
    now = of(folder, sample=50)
    new = [name for name in now["sample"] if name.startswith("more")]
    changed = difference(before, now)
    assert changed.startswith("200 images before, 210 now")
    assert ("added in the sample of 50" in changed) == bool(new)
    assert "removed" not in changed  # what was pushed out of the sample is still there
    (tmp_path / kept).unlink()
    assert f"1 removed in the sample of 50 ({kept})" in difference(before, of(folder, sample=50))


def test_a_change_outside_the_sample_shows_in_the_sizes(tmp_path):
    folder = write_images(tmp_path, *(f"{k}.png" for k in range(30)))
    before = of(folder, sample=5)
    outside = next(f"{k}.png" for k in range(30) if f"{k}.png" not in before["sample"])
    with open(tmp_path / outside, "ab") as file:
        file.write(b"more")
    assert difference(before, of(folder, sample=5)) == "names or sizes outside the sample of 5 changed"


def test_images_that_are_not_in_a_folder(tmp_path):
    write_images(tmp_path, "a/1.png", "b/2.png")
    files = fingerprint(FileImages([tmp_path / "a/1.png", tmp_path / "b/2.png"]))
    assert set(files["sample"]) == {"a/1.png", "b/2.png"}
    embedded = open_images(split="val")
    before = fingerprint(embedded)
    assert (before["files"], before["bytes"], len(before["sample"])) == (2000, 0, SAMPLE)
    assert before == fingerprint(open_images(split="val"))
    embedded._pixels = np.zeros_like(embedded._pixels)
    assert f"replaced in the sample of {SAMPLE}" in difference(before, fingerprint(embedded))


def test_a_large_file_counts_by_its_ends_and_a_missing_one_is_told(tmp_path):
    write_images(tmp_path, "1.png", "2.png")
    with open(tmp_path / "1.png", "ab") as file:
        file.write(bytes(2**23))
    source = FolderImages(tmp_path)
    before = fingerprint(source)
    with open(tmp_path / "1.png", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    (tmp_path / "2.png").unlink()
    assert difference(before, fingerprint(source)) == "2 replaced (1.png, 2.png)"
