"""In which order classes are numbered, and whether two lists of names mean the same."""

import pytest
from timm.utils.misc import natural_key

from a2mim.data.class_names import (
    are_names,
    check_same_classes,
    difference_of_classes,
    order_is_ambiguous,
    sort_classes,
)
from a2mim.errors import InputError


def test_the_two_orders_are_those_of_torchvision_and_timm():
    for names in (["10", "9", "2"], ["b10", "b9", "A"], ["cat", "Dog"], ["01", "1", "10"]):
        assert list(sort_classes(names, "name")) == sorted(names)
        assert list(sort_classes(names, "number")) == sorted(sorted(names), key=natural_key)
        assert order_is_ambiguous(names) == (sort_classes(names, "name") != sort_classes(names, "number"))
    assert sort_classes(["10", "9", "2"]) == ("2", "9", "10")
    assert sort_classes(["10", "9", "two"]) == ("10", "9", "two")
    assert not order_is_ambiguous(["0", "1", "9"])
    with pytest.raises(InputError, match="class order 'size' must be one of name, number"):
        sort_classes(["a"], "size")


def test_differences_are_named():
    assert difference_of_classes("abc", "abc") == ""
    assert difference_of_classes(["a", "b"], ["b", "z"]) == "1 class is gone (a), 1 is new (z)"
    assert difference_of_classes(["a"], ["a", "b", "c"]) == "2 classes are new (b, c)"
    assert difference_of_classes(["a", "b"], ["b", "a"]).startswith("the same 2 classes stand in another order")


def test_a_training_does_not_go_on_with_other_classes():
    check_same_classes(["ant", "bee"], ["ant", "bee"])
    check_same_classes([], ["ant", "bee"])
    check_same_classes(["LABEL_0", "LABEL_1"], ["ant", "bee"])
    with pytest.raises(
        InputError, match=r"run-3 was trained on other classes: 1 class is gone \(ant\), 1 is new \(zebra\)"
    ):
        check_same_classes(["ant", "bee"], ["bee", "zebra"], "run-3")
    with pytest.raises(InputError, match="another order"):
        check_same_classes(["1", "10", "2"], ["1", "2", "10"])


def test_numbers_are_not_names():
    assert are_names(["ant", "LABEL_1"])
    assert not are_names(["class 0", "class 1"])
