"""What a command is given for a network: a path with settings, or an entry of a YAML file."""

import subprocess
import sys

import pytest

from a2mim.checkpoint.references import Reference, parse, parse_all, read
from a2mim.errors import InputError


def test_a_path_alone():
    assert parse("runs/vit/last.pth.tar") == Reference("runs/vit/last.pth.tar")
    assert parse("fashion-vit-a2mim").loading() == {}


def test_settings_after_the_path():
    found = parse("last.pth.tar,model=vit_tiny_patch16_224,img_size=64,name=ours,which=ema,num_classes=0")
    assert found == Reference("last.pth.tar", "ours", "vit_tiny_patch16_224", {}, 64, None, None, "ema", 0)
    assert found.loading() == {
        "arch": "vit_tiny_patch16_224",
        "model_args": {"img_size": 64},
        "which": "ema",
        "num_classes": 0,
    }


def test_lists_keep_their_commas():
    found = parse(
        "a.pth,mean=[0.5, 0.4, 0.3],std=0.5,img_size=[64, 96],model_args={depths: [1, 2]},model_args.drop=0.1"
    )
    assert found.mean == (0.5, 0.4, 0.3)
    assert found.std == (0.5, 0.5, 0.5)
    assert found.img_size == (64, 96)
    assert found.model_args == {"depths": [1, 2], "drop": 0.1}
    assert found.loading() == {"model_args": {"depths": [1, 2], "drop": 0.1, "img_size": [64, 96]}}


def test_names_stay_text():
    assert parse("a.pth,name=800,model=007").name == "800"
    assert parse("a.pth,name=1e3").name == "1e3"


def test_a_path_that_exists_and_contains_a_comma_is_the_path(tmp_path):
    file = tmp_path / "lr=0.1,epoch=3.pth"
    file.touch()
    assert parse(str(file)) == Reference(str(file))
    assert parse(f"{file},name=third") == Reference(str(file), "third")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a.pth,ours", "'ours' in 'a.pth,ours' must be KEY=VALUE; the keys are name, model, model_args, img_size"),
        ("a.pth,size=64", "unknown setting 'size'; the settings are name, model"),
        ("a.pth,name=a,name=b", "gives name twice"),
        ("a.pth,img_size=large", "img_size='large' is not a number of pixels, or"),
        ("a.pth,img_size=0", "img_size=0 is not a number of pixels"),
        ("a.pth,img_size=true", "img_size=True is not a number of pixels"),
        ("a.pth,img_size=[1, 2, 3]", "is not a number of pixels"),
        ("a.pth,mean=[a, b]", "is not a number, or a list with one number for each channel"),
        ("a.pth,model=", "model='' is not a name"),
        ("a.pth,num_classes=-1", "num_classes=-1 is not a number of classes"),
        ("a.pth,model_args=3", "model_args=3 is not a mapping"),
        ("a.pth,mean=[0.5", "the value must be a number, text, or a list"),
        (",name=a", "has no path"),
    ],
)
def test_what_is_wrong_is_said(text, reason):
    with pytest.raises(InputError) as error:
        parse(text)
    assert reason in str(error.value)


def test_a_file_of_networks(tmp_path):
    (tmp_path / "near.pth").touch()
    (tmp_path / "nets.yaml").write_text(
        "ours: near.pth\ntheirs: {path: far.pth, model: resnet50, mean: [0.5, 0.5, 0.5], img_size: 64}\n"
    )
    ours, theirs = read(tmp_path / "nets.yaml")
    assert ours == Reference(str(tmp_path / "near.pth"), "ours")
    assert theirs == Reference("far.pth", "theirs", "resnet50", {}, 64, (0.5, 0.5, 0.5))
    both = parse_all(["third.pth,name=third"], tmp_path / "nets.yaml")
    assert [reference.name for reference in both] == ["ours", "theirs", "third"]
    with pytest.raises(InputError, match="two networks are named 'ours'"):
        parse_all(["third.pth,name=ours"], tmp_path / "nets.yaml")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- a\n", "must map the name of each network"),
        ("", "must map the name of each network"),
        ("a: [1]\n", "'a' needs a path"),
        ("a: {model: resnet50}\n", "'a' needs a path"),
        ("a: {path: x, size: 3}\n", "unknown setting 'size'"),
        ("a: {path: x\n", "cannot be read as YAML"),
    ],
)
def test_a_file_of_another_form(tmp_path, text, reason):
    (tmp_path / "nets.yaml").write_text(text)
    with pytest.raises(InputError, match=reason):
        read(tmp_path / "nets.yaml")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "none.yaml")


def test_it_needs_no_torch():
    code = "import sys; from a2mim.checkpoint.references import parse; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
