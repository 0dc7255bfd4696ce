from a2mim.checkpoint.report import LoadReport, some


def report(**changes):
    known = dict(
        path="f.pth",
        format="DINO",
        kind="pre-training",
        arch="vit_small_patch16_224",
        model_args={"depth": 2},
        num_classes=0,
        input_size=(3, 224, 224),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        has_classifier=False,
        has_head=False,
        parameters=1_500_000,
        coverage=0.99999,
        matched=("pos_embed", "blocks.0.a", "blocks.1.a"),
    )
    return LoadReport(**{**known, **changes})


def test_the_text_has_a_row_for_everything():
    text = str(
        report(
            missing=("blocks.1.b",),
            parts={"projection head": ("head.0", "head.1", "head.2"), "student encoder": ("student:x",)},
            which="teacher",
            choices=("teacher", "student"),
            notes=("6 heads assumed",),
            epoch=7,
        )
    )
    assert "format:              DINO, pre-training, epoch 7, encoder 'teacher' (--which: student)" in text
    assert "architecture:        vit_small_patch16_224(depth=2), 1.50 million parameters" in text
    assert "coverage:            99.9% of the encoder's parameters" in text  # never rounded up to all
    assert "blocks        2 matched, 1 missing" in text
    assert "dropped:             projection head: 3 (head.0, head.1 and 1 more)" in text
    assert "note:                6 heads assumed" in text


def test_remarks_are_what_did_not_go_by_itself():
    assert report(coverage=1.0).remarks() == []
    odd = report(which="teacher", choices=("teacher", "student"), notes=("6 heads assumed",))
    assert odd.remarks() == [
        "taken: encoder 'teacher' (--which: student)",
        "99.9% of the encoder's parameters are in the file",
        "note: 6 heads assumed",
    ]


def test_dropped_names_are_those_of_all_parts_and_in_the_dictionary():
    found = report(parts={"queue": ("queue",), "key encoder": ("k.a", "k.b")})
    assert found.dropped == ("queue", "k.a", "k.b")
    assert found.to_dict()["dropped"] == ("queue", "k.a", "k.b")
    assert found.to_dict()["parts"]["queue"] == ("queue",)


def test_some_names():
    assert some(()) == "none"
    assert some(("a", "b")) == "a, b"
    assert some(tuple("abcdef")) == "a, b, c, d and 2 more"
