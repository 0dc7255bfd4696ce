from a2mim.checkpoint.files.globs import any_fits, fits


def test_a_star_goes_over_dots_and_a_name_without_signs_fits_itself_alone():
    assert fits("blocks.0.attn.qkv.weight", ("*.qkv.*",))
    assert fits("fc.bias", ("head.*", "fc.*"))
    assert not fits("fc.bias", ("fc",))
    assert not fits("fc.bias", ())
    assert any_fits({"a.b", "c"}, ("x", "c"))
    assert any_fits({"a.b", "c"}, ("x", "a.*"))
    assert not any_fits({"a.b", "c"}, ("x", "a"))
    assert not any_fits({"a[0]"}, ("a[1]",))
