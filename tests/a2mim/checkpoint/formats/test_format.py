from pathlib import Path

import torch

from a2mim.checkpoint.files.contents import Contents
from a2mim.checkpoint.formats.format import Format, always, args, look_up

W = torch.zeros(2, 2)
META = {"args": {"lr": 0.1, "blr": None}, "kind": "pretrain"}


def contents(*names, **meta):
    return Contents.of({"state_dict": dict.fromkeys(names, W), **meta}, Path("file.pth"))


def test_a_format_fits_when_all_is_there_and_nothing_that_must_not_be():
    format = Format("x", "a/b", has=("conv.weight", "head.*"), lacks=("neck.*",), meta=("args.lr", "kind=pretrain"))
    assert format.fits(contents("conv.weight", "head.0.bias", **META))
    assert not format.fits(contents("conv.weight", **META))
    assert not format.fits(contents("conv.weight", "head.0.bias", "neck.fc", **META))
    assert not format.fits(contents("conv.weight", "head.0.bias", args={}, kind="pretrain"))
    assert not format.fits(contents("conv.weight", "head.0.bias", args={"lr": 1}, kind="finetune"))


def test_settings_are_looked_up_by_dotted_names():
    assert look_up(META, "args.lr") == 0.1
    assert look_up(META, "args.none") is None
    assert look_up(META, "kind.lr") is None


def test_hints_from_the_file_and_for_all_files():
    assert args(img_size="args.input_size", lr="args.lr", blr="args.blr")(META) == {"lr": 0.1}
    assert always(num_heads=12)(META) == {"num_heads": 12}
