"""Which folder is which class of a classifier."""

import json

import pytest
from small_data import write_images
from timm.data import ImageNetInfo

from a2mim.analysis.core.class_map import mapped
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


def test_names_that_are_no_list_and_images_without_labels_are_refused(tmp_path):
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
