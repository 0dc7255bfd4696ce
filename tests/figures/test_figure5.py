"""Figures 5, A2 and A3: which networks are drawn, under which title, with whose pixels."""

import numpy as np
import pytest
import small_results

from a2mim.figures import figure5


def titles(figure):
    """In one line: long ones are broken."""
    return " ".join(text.get_text() for text in figure.texts if text.get_fontweight() == "bold")


def drawn(figure):
    """The distinct values of each picture, in the order in which they are drawn."""
    return [np.unique(axes.images[0].get_array()).tolist() for axes in figure.axes]


def test_components_are_added_from_simmim_on():
    figure = figure5.plot({"": small_results.pixels()})
    assert titles(figure) == "SimMIM + mean colour + token at stage3 A²MIM (+ frequency loss)"
    shown = {round(255 * value) for picture in drawn(figure) for value in picture}
    assert shown == {0, 1, 20, 40, 60}


def test_without_the_token_simmim_and_a2mim_alone_and_only_what_differs():
    figure = figure5.plot({"ViT": small_results.pixels(), "ResNet": small_results.pixels()}, without_token=True)
    said = titles(figure)
    assert said == " ".join(f"{net}: SimMIM {net}: A²MIM {net}: A²MIM, without token" for net in ("ViT", "ResNet"))


def test_networks_of_other_names_are_all_drawn():
    pixels = small_results.pixels()
    pixels["checkpoint"] = np.array([f"net {number // 2}" for number in range(8)])
    assert titles(figure5.plot({"": pixels}, without_token=True)).count("net") == 7
    assert titles(figure5.plot({"": pixels})) == "net 0 net 1 net 2 net 3"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pixels: pixels.pop("masked"), "arrays missing: masked"),
        (lambda pixels: pixels.update(masked=pixels["masked"][:1]), "differ in shape"),
        (lambda pixels: pixels.update(token=pixels["token"][:3]), "not one name, token and caption"),
    ],
)
def test_arrays_that_do_not_belong_together_are_refused(change, message):
    pixels = small_results.pixels()
    change(pixels)
    with pytest.raises(ValueError, match=message):
        figure5.plot({"": pixels})
