"""Folders of images as people have them; an error says what is there instead."""

import os
import pickle
import re

import numpy as np
import pytest
from PIL import Image
from small_data import relative_paths, write_images

from a2mim.data.folders import FileImages, FolderImages, check_labels, describe, skipped_line
from a2mim.data.pixels import UnreadableError
from a2mim.errors import InputError


def test_class_folders_without_splits_serve_every_split(tmp_path):
    write_images(tmp_path, "dog/b.png", "dog/a.JPG", "cat/1.webp", "cat/deep/er/2.tif", ".hidden/x.png", "cat/.x.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "readme.txt").write_text("")
    for split in ("train", "val"):
        source = FolderImages(tmp_path, split)
        assert source.classes == ("cat", "dog")
        assert source.split == "all"
        assert relative_paths(source, tmp_path) == ["cat/1.webp", "cat/deep/er/2.tif", "dog/a.JPG", "dog/b.png"]
        assert source.labels().tolist() == [0, 0, 1, 1]
    image, label = source[3]
    assert (image.mode, image.size, image.getpixel((0, 0)), label) == ("RGB", (6, 5), (0, 0, 0), 1)
    assert len(pickle.loads(pickle.dumps(source))) == 4


@pytest.mark.parametrize("train", ["train", "training", "Train"])
@pytest.mark.parametrize("val", ["val", "valid", "validation", "test"])
def test_split_folders(tmp_path, train, val):
    write_images(tmp_path, f"{train}/cat/1.png", f"{train}/dog/1.png", f"{val}/dog/2.png", "devkit/x.png", "map.png")
    source = FolderImages(tmp_path, "train")
    assert (relative_paths(source, tmp_path), source.split) == ([f"{train}/cat/1.png", f"{train}/dog/1.png"], "train")
    source = FolderImages(tmp_path, "val")
    assert relative_paths(source, tmp_path) == [f"{val}/dog/2.png"]
    # numbered as in train, although val has no cat
    assert (source.classes, source.labels().tolist(), source.split) == (("cat", "dog"), [1], "val")


def test_val_goes_before_test(tmp_path):
    write_images(tmp_path, "train/a/1.png", "test/a/2.png", "val/a/3.png")
    assert relative_paths(FolderImages(tmp_path, "val"), tmp_path) == ["val/a/3.png"]


def test_a_flat_folder_has_no_labels(tmp_path):
    write_images(tmp_path / "flat", "b.png", "a.png")
    write_images(tmp_path / "split", "train/x.png", "val/a/y.png", "val/b/z.png")
    flat = FolderImages(tmp_path / "flat")
    assert (flat.classes, flat.labels(), flat[0][1]) == ((), None, -1)
    assert relative_paths(flat, tmp_path / "flat") == ["a.png", "b.png"]
    assert FolderImages(tmp_path / "split", "train").classes == ()
    assert FolderImages(tmp_path / "split", "val").labels().tolist() == [0, 1]


def test_a_class_may_be_called_train(tmp_path):
    write_images(tmp_path, "bus/1.png", "car/1.png", "train/1.png")
    source = FolderImages(tmp_path, "val")
    assert (source.classes, source.split) == (("bus", "car", "train"), "all")


def test_a_missing_split_is_an_error(tmp_path):
    write_images(tmp_path, "train/a/1.png")
    with pytest.raises(InputError, match=r"split 'val': looked for val/, valid/, validation/, test/, found train/"):
        FolderImages(tmp_path, "val")
    os.rename(tmp_path / "train", tmp_path / "val")
    with pytest.raises(InputError, match=r"split 'train': looked for train/, training/, found val/"):
        FolderImages(tmp_path, "train")


def test_classes_that_train_lacks_are_an_error(tmp_path):
    write_images(tmp_path, "train/a/1.png", "train/b/1.png", "val/images/1.png")
    assert len(FolderImages(tmp_path, "train")) == 2
    with pytest.raises(InputError, match=r"1 class folders that .*train lacks: images \(it has 2: a, b\)"):
        FolderImages(tmp_path, "val")


def test_what_is_not_an_image_folder_is_described(tmp_path):
    with pytest.raises(InputError, match="gone does not exist"):
        FolderImages(tmp_path / "gone")
    with pytest.raises(InputError, match=r"looked for class sub-folders of images, or images .*; found nothing"):
        FolderImages(tmp_path)
    (tmp_path / "list.txt").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"found 1 sub-folder \(empty/\) and 1 other file \(list.txt\)"):
        FolderImages(tmp_path)
    with pytest.raises(InputError, match=r"list.txt is a file, not a folder"):
        FolderImages(tmp_path / "list.txt")
    write_images(tmp_path, "1.png", "2.png", "3.png", "4.png", "cat/1.png")
    with pytest.raises(InputError, match=r"2 sub-folders \(cat/, empty/\) and 4 images \(1.png, 2.png, 3.png, ...\)"):
        FolderImages(tmp_path)
    assert describe(tmp_path / "cat") == "1 image (1.png)"
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    with pytest.raises(InputError, match=r"train is not an image folder.*found nothing"):
        FolderImages(tmp_path)


def test_links_are_followed_but_not_in_circles(tmp_path):
    write_images(tmp_path / "store", "x/1.png", "x/2.png")
    write_images(tmp_path / "data", "a/1.png")
    (tmp_path / "data" / "b").symlink_to(tmp_path / "store" / "x")
    (tmp_path / "data" / "a" / "up").symlink_to(tmp_path / "data")
    assert relative_paths(FolderImages(tmp_path / "data"), tmp_path / "data") == ["a/1.png", "b/1.png", "b/2.png"]


def test_names_that_are_not_unicode(tmp_path):
    write_images(tmp_path, "é/ü.png")
    os.rename(os.fsencode(tmp_path / "é" / "ü.png"), os.fsencode(tmp_path / "é") + b"/\xff.png")
    assert np.asarray(FolderImages(tmp_path)[0][0]).shape == (5, 6, 3)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_one_may_not_read(tmp_path):
    write_images(tmp_path, "a/1.png")
    (tmp_path / "a").chmod(0)
    with pytest.raises(InputError, match="cannot read the folder"):
        FolderImages(tmp_path)
    (tmp_path / "a").chmod(0o700)


def test_given_files_keep_their_order_and_have_no_labels(tmp_path):
    write_images(tmp_path, "b.png", "inner/a.png")
    paths = [tmp_path / "inner/a.png", tmp_path / "b.png", tmp_path / "inner/a.png"]
    source = FileImages(paths)
    assert (len(source), source.name, source.split, source.classes, source.labels()) == (
        3, "3 given images", "all", (), None,
    )  # fmt: skip
    assert [source[k][0].getpixel((0, 0))[0] for k in range(3)] == [1, 0, 1]
    assert {source[k][1] for k in range(3)} == {-1}
    assert source.path(1) == str(tmp_path / "b.png")
    with pytest.raises(InputError, match="is a folder; give it as --data-dir"):
        FileImages([tmp_path])
    with pytest.raises(InputError, match=r"c\.png does not exist"):
        FileImages([tmp_path / "b.png", tmp_path / "c.png"])
    (tmp_path / "d.png").write_text("no picture")
    with pytest.raises(UnreadableError, match="not an image"):
        FileImages([tmp_path / "d.png"])[0]


def test_what_pillow_reads_is_taken_and_the_rest_is_counted(tmp_path):
    write_images(tmp_path, *(f"cat/{k}{end}" for k, end in enumerate((".avif", ".jp2", ".jpe", ".png"))))
    write_images(tmp_path, "dog/1.jpg")
    os.rename(tmp_path / "dog/1.jpg", tmp_path / "dog/1.jfif")
    for name in ("cat/a.txt", "dog/b.txt", "dog/c.PDF", "fish/d.txt", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "cat" / "again.png").symlink_to("again.png")
    (tmp_path / "cat" / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "dog" / "pipe.png")
    source = FolderImages(tmp_path)
    assert (len(source), source.classes) == (5, ("cat", "dog"))
    assert source.skipped == {".txt": 3, ".pdf": 1, "broken link": 3, "without ending": 1, "special file": 1}
    assert source.notes == ("skipped 9 files: 3 .txt, 3 broken links, 1 .pdf, 1 special file, 1 without ending",)
    assert [source[k][0].mode for k in range(5)] == ["RGB"] * 5


def test_many_kinds_of_skipped_files_are_summed_up():
    assert skipped_line({f".{k}": 2 for k in range(9)}) == (
        "skipped 18 files: 2 .0, 2 .1, 2 .2, 2 .3, 2 .4, 2 .5, 6 of other kinds"
    )


def test_one_range_holds_for_all_images_of_a_folder(tmp_path):
    for name, top in (("bright", 4000), ("dark", 200)):
        Image.fromarray(np.array([[0, top]], np.uint16)).save(tmp_path / f"{name}.tif")
    source = FolderImages(tmp_path)
    assert [np.asarray(source[k][0])[0, 1, 0] for k in range(2)] == [249, 12]
    assert source.notes == (
        "2 of 2 images have 16-bit values, seen from 0 to 4000: 0 becomes black and 4095 white "
        "(--value-range changes it)",
    )
    given = FolderImages(tmp_path, value_range=(0, 200))
    assert [np.asarray(given[k][0])[0, 1, 0] for k in range(2)] == [255, 255]
    assert given.notes == ()
    Image.fromarray(np.array([[-1, 1]], np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(InputError, match=r"float values, from -1 to 1, do not say .*--value-range"):
        FolderImages(tmp_path)
    assert len(FolderImages(tmp_path, value_range=(-1, 1))) == 3


def test_both_splits_are_scaled_alike(tmp_path):
    for split, top in (("train", 4000), ("val", 200)):
        (tmp_path / split).mkdir()
        Image.fromarray(np.array([[0, top]], np.uint16)).save(tmp_path / split / "1.tif")
    assert [np.asarray(FolderImages(tmp_path, split)[0][0])[0, 1, 0] for split in ("train", "val")] == [249, 12]


def test_exif_rotations_are_counted(tmp_path):
    image = Image.new("RGB", (8, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    image.save(tmp_path / "upright.jpg")
    plain, rotated = FolderImages(tmp_path), FolderImages(tmp_path, exif_rotate=True)
    assert plain.notes == (
        "1 of 2 images have an EXIF rotation: not applied, as in timm and torchvision (--exif-rotate applies it)",
    )
    assert rotated.notes == ("1 of 2 images have an EXIF rotation: applied",)
    assert (plain[0][0].size, rotated[0][0].size, rotated[1][0].size) == ((8, 4), (4, 8), (8, 4))


def test_folders_named_by_whole_numbers_are_numbered_by_them(tmp_path):
    write_images(tmp_path, *(f"{split}/{name}/1.png" for split in ("train", "val") for name in ("10", "9", "2")))
    assert FolderImages(tmp_path, "val").classes == ("2", "9", "10")
    assert FolderImages(tmp_path, "val").labels().tolist() == [0, 1, 2]
    assert relative_paths(FolderImages(tmp_path), tmp_path) == [f"train/{name}/1.png" for name in ("2", "9", "10")]
    assert FolderImages(tmp_path, "val", class_order="name").classes == ("10", "2", "9")
    assert FolderImages(tmp_path, only=("10", "9")).classes == ("9", "10")


def test_a_single_class_is_questioned(tmp_path):
    write_images(tmp_path / "one", "cat/1.png", "cat/more/2.png")
    write_images(tmp_path / "deep", "images/cat/1.png", "images/dog/1.png")
    write_images(tmp_path / "splits", "birds/train/a/1.png")
    write_images(tmp_path / "two", "cat/1.png", "dog/1.png")
    write_images(tmp_path / "flat", "1.png")
    for name, question in (
        ("one", "one has one class alone, cat"),
        (
            "deep",
            r"deep has one sub-folder, images/, which holds 2 sub-folders of images \(cat/, dog/\): .*deep/images as",
        ),
        ("splits", r"splits has one sub-folder, birds/, which holds 1 sub-folders of images \(train/\)"),
    ):
        source = FolderImages(tmp_path / name)
        assert re.search(question, source.notes[0])
        with pytest.raises(InputError, match=question + ".*at least two classes"):
            check_labels(source)
    check_labels(FolderImages(tmp_path / "two"))
    assert FolderImages(tmp_path / "two").notes == ()
    with pytest.raises(InputError, match="has no labels"):
        check_labels(FolderImages(tmp_path / "flat"))
