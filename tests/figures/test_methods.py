import pytest

from a2mim.figures import colours, methods, style


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("a2mim", "a2mim"), ("A²MIM", "a2mim"), ("MoCoV3", "mocov3"), ("MoCo v3", "mocov3"),
        ("From scratch", "scratch"), ("DeiT (Sup.)", "supervised"), ("simmim-800", None), ("mine", None), (1.5, None),
    ],
)  # fmt: skip
def test_known_methods_are_known_by_key_and_label(name, key):
    assert methods.known(name) == key


def test_known_methods_come_first_in_their_order():
    assert methods.ordered(["mine", "a2mim", "b", "scratch", "mine"]) == ["scratch", "a2mim", "mine", "b"]


def test_labels_stay_apart():
    assert list(methods.labels(["a2mim", "A2MIM", "mine"]).values()) == ["A²MIM", "A2MIM", "mine"]
    long = ["x" * 30 + middle + "y" * 30 for middle in "abc"]
    assert len(set(style.labels(long).values())) == 3


@pytest.mark.parametrize(
    ("network", "family"),
    [
        ("small ViT", "transformer"), ("DeiT-S", "transformer"), ("swin_tiny", "transformer"), ("ResNet-50", "cnn"),
        ("ConvNeXt-T", "cnn"), ("small CNN", "cnn"), ("mine", None), ("", None),
    ],
)  # fmt: skip
def test_families_by_name(network, family):
    assert methods.family(network) == family


def test_transformers_stand_first():
    assert methods.ordered_networks(["ResNet", "mine", "ViT", "ResNet"]) == ["ViT", "ResNet", "mine"]


def test_contrastive_and_untrained_methods_are_told_by_name():
    assert [methods.is_contrastive(name) for name in ("MoCo v3", "simclr", "dino-300", "a2mim", "scratch")] == [
        *(True, True, True, False, False)
    ]
    assert [methods.is_untrained(name) for name in ("random", "From scratch", "supervised")] == [True, True, False]


def test_names_in_one_line_keep_both_ends():
    assert methods.shorten("a\nb") == "a b"
    assert methods.shorten("begin" + "x" * 99 + "end", 20) == "beginxxxxx…xxxxxxend"


def test_known_methods_have_their_colours_in_every_company():
    for names in (["a2mim"], ["mine", "a2mim"], [*methods.KNOWN], ["A²MIM", *map(str, range(20))]):
        drawn = style.palette(names)
        for name in names:
            if key := methods.known(name):
                assert drawn[name] == methods.KNOWN[key].colour
    assert {method.colour for method in methods.KNOWN.values()} < set(colours.ALL)  # their distances are tested
    nine = style.palette([*methods.KNOWN, "mine", "another"])
    assert len(set(nine.values())) == 9


def test_a_second_spelling_in_one_figure_has_another_colour():
    assert len(set(style.palette(["a2mim", "A2MIM"]).values())) == 2


def test_lines_of_networks():
    assert style.network_lines(["ResNet", "ViT"]) == {"ResNet": "--", "ViT": "-"}
    assert style.network_lines(["mine"]) == {"mine": "-"}
    assert len(set(style.network_lines(["ResNet-50", "ResNet-101", "ViT"]).values())) == 3
