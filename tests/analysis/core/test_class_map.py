"""Which folder is which class of a classifier, by name or by a map."""

import json

import numpy as np
import pytest
from small_data import write_images
from timm.data import ImageNetInfo

from a2mim.analysis.core.class_map import MappedSource, Outputs, mapped, match_classes
from a2mim.data import open_images
from a2mim.errors import InputError


def source(folder, *classes):
    return open_images(
        "folder", write_images(folder, *(f"{name}/{k}.png" for name in classes for k in range(2))), "val"
    )


def test_a_file_gives_each_folder_its_class(tmp_path):
    (tmp_path / "map.json").write_text(json.dumps({"cat": 7, "dog": 2, "cow": 0}))
    found = mapped(source(tmp_path / "images", "cat", "dog"), str(tmp_path / "map.json"))
    assert [found[index][1] for index in range(4)] == [7, 7, 2, 2]
    assert found.labels().tolist() == [7, 7, 2, 2]
    assert (len(found), len(found.classes)) == (4, 8)
    assert (found.classes[7], found.classes[2], found.classes[1]) == ("cat", "dog", "class 1")
    assert found.path(2) == found.source.path(2)


def test_synsets_have_their_place_in_timms_list(tmp_path):
    synsets = ImageNetInfo("imagenet-1k").label_names()
    chosen = [synsets[900], synsets[3]]
    found = mapped(source(tmp_path, *chosen), "imagenet-1k")
    assert sorted(set(found.labels().tolist())) == [3, 900]
    assert len(found.classes) == 1000


def test_no_map_leaves_the_labels(tmp_path):
    images = source(tmp_path, "a", "b")
    assert mapped(images, None) is images


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 0}, "lacks 1 of the 2 classes of .*: b"),
        ({"a": 0, "b": "one"}, "folder names and numbers from 0 on"),
        ({"a": 0, "b": True}, "folder names and numbers from 0 on"),
        ({"a": 0, "b": -1}, "folder names and numbers from 0 on"),
        ([0, 1], "folder names and numbers from 0 on"),
        (None, "cannot be read"),
    ],
)
def test_a_map_that_does_not_do_is_refused(tmp_path, content, message):
    file = tmp_path / "map.json"
    file.write_text("{" if content is None else json.dumps(content))
    with pytest.raises(InputError, match=message):
        mapped(source(tmp_path / "images", "a", "b"), str(file))


def test_names_that_are_not_a_list_and_images_without_labels_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither a .json file nor a list of synsets"):
        mapped(source(tmp_path / "images", "a", "b"), "birds")
    with pytest.raises(InputError, match="no labels"):
        mapped(open_images("folder", write_images(tmp_path / "flat", "1.png", "2.png"), "val"), "imagenet-1k")


def test_a_map_to_more_classes_than_the_network_has_is_refused(tmp_path):
    (tmp_path / "map.json").write_text('{"a": 3, "b": 11}')
    found = mapped(source(tmp_path / "images", "a", "b"), str(tmp_path / "map.json"))
    found.check(12, "net")
    found.check(1000, "net")
    with pytest.raises(InputError, match=r"makes b class 11, and net has 11 \(0 to 10\)"):
        found.check(11, "net")
    synset = ImageNetInfo("imagenet-1k").label_names()[0]
    whole = mapped(source(tmp_path / "synsets", synset), "imagenet-1k")
    whole.check(1000, "net")
    with pytest.raises(InputError, match="the class map has 1000 classes, net has 21841"):
        whole.check(21841, "net")


def test_classes_are_matched_by_name_and_the_others_left_out(tmp_path):
    images = source(tmp_path, "bee", "cat", "dog")
    found, notes = match_classes(images, {"net": Outputs(("ant", "bee", "cat"), 3)})
    found = found["net"]
    assert [found[k][1] for k in range(len(found))] == found.labels().tolist() == [1, 1, 2, 2]
    assert [found.path(k) for k in range(4)] == [images.path(k) for k in range(4)]
    assert found.classes == ("ant", "bee", "cat")
    assert notes == (
        f"net has 2 of the 3 classes of {tmp_path}; it lacks dog",
        f"1 of the 3 classes of net have no images in {tmp_path}",
        "left out 2 images of 1 class: dog",
    )


def test_the_same_classes_need_no_map_and_another_order_follows_the_names(tmp_path):
    images = source(tmp_path, "a", "b")
    networks = {"same": Outputs(("a", "b"), 2), "other": Outputs(["b", "a"], 2)}
    found, notes = match_classes(images, networks)
    assert found["same"] is images
    assert found["other"].labels().tolist() == [1, 1, 0, 0]
    assert notes == ("other numbers its classes in another order than the folders: labels follow the names",)


def test_all_networks_see_the_same_images(tmp_path):
    images = source(tmp_path, "a", "b", "c", "d")
    networks = {"one": Outputs(("c", "b", "a"), 3), "two": Outputs(("b", "c", "d"), 3)}
    found, notes = match_classes(images, networks)
    paths = [[one.path(k) for k in range(len(one))] for one in found.values()]
    assert paths[0] == paths[1]
    assert found["one"].labels().tolist() == [1, 1, 0, 0]
    assert found["two"].labels().tolist() == [0, 0, 1, 1]
    assert notes[-1] == "left out 4 images of 2 classes: a, d"
    with pytest.raises(InputError, match=r"no class of .* is in every network"):
        match_classes(images, {"one": Outputs(("a",), 1), "two": Outputs(("b",), 1)})


def test_no_class_in_common_is_refused(tmp_path):
    with pytest.raises(
        InputError, match=r"net has none of the 2 classes of .* \(a, b\): its 2 are x, y; .*--class-map"
    ):
        match_classes(source(tmp_path, "a", "b"), {"net": Outputs(("x", "y"), 2)})
    with pytest.raises(InputError, match="net has 2 classes called crane"):
        match_classes(source(tmp_path / "twice", "b", "crane"), {"net": Outputs(("crane", "crane", "b"), 3)})
    with pytest.raises(InputError, match="has no labels"):
        match_classes(open_images("folder", write_images(tmp_path / "flat", "1.png"), "val"), {"net": Outputs((), 1)})


@pytest.mark.parametrize("classes", [(), ("LABEL_0", "LABEL_1", "LABEL_2"), ("class 0", "class 1", "class 2")])
def test_outputs_without_names_are_numbered_only_where_the_order_is_known(tmp_path, classes):
    outputs = {"net": Outputs(classes, 3)}
    words = source(tmp_path / "words", "a", "b", "c")
    found, notes = match_classes(words, outputs)
    assert found["net"] is words
    assert notes == (
        f"net does not name its classes: folder number k of {tmp_path / 'words'} is taken for its output k",
    )
    numbers = source(tmp_path / "numbers", "2", "9", "10")
    with pytest.raises(
        InputError, match=r"10, 2, 9 \(by name, torchvision\) or 2, 9, 10 .*--class-order name or number"
    ):
        match_classes(numbers, outputs)
    for order in ("name", "number"):
        given = open_images("folder", tmp_path / "numbers", "val", class_order=order)
        assert match_classes(given, outputs)[0]["net"] is given
    assert match_classes(source(tmp_path / "digits", "0", "1", "2"), outputs)[0]["net"].classes == ("0", "1", "2")
    named = {"net": Outputs(("10", "2", "9"), 3)}
    assert match_classes(numbers, named)[0]["net"].labels().tolist() == [1, 1, 2, 2, 0, 0]
    with pytest.raises(InputError, match=r"has 3 classes, net has 10; .*--class-map"):
        match_classes(words, {"net": Outputs((), 10)})


def test_a_map_goes_before_the_names(tmp_path):
    (tmp_path / "map.json").write_text('{"a": 1, "b": 0}')
    images = mapped(source(tmp_path / "images", "a", "b"), str(tmp_path / "map.json"))
    assert match_classes(images, {"net": Outputs(("x", "y"), 2)}) == ({"net": images}, ())
    with pytest.raises(InputError, match="makes a class 1, and net has 1"):
        match_classes(images, {"net": Outputs(("x",), 1)})


def test_an_image_without_a_label_keeps_none(tmp_path):
    images = source(tmp_path, "a", "b")
    images._labels[0] = -1
    found = MappedSource(images, {"a": 5, "b": 6}, (), False, np.array([0, 2]))
    assert [found[k][1] for k in range(2)] == found.labels().tolist() == [-1, 6]
