"""Whatever the bytes are: the weights, or one line that says what is wrong. Nothing is run, nothing written."""

import argparse
import hashlib
import io
import os
import pickle
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from a2mim.checkpoint import read_checkpoint
from a2mim.errors import InputError

STATE = {f"layer{i}.weight": torch.arange(64.0).reshape(8, 8) + i for i in range(4)}
KINDS = ("zip", "legacy", "safetensors")


def write(path, kind):
    if kind == "safetensors":
        safetensors.torch.save_file(STATE, path, metadata={"arch": "resnet18", "epoch": "3"})
    else:
        whole = {"model": STATE, "args": argparse.Namespace(lr=0.1), "best": np.float64(71.5), "epoch": 3}
        torch.save(whole, path, _use_new_zipfile_serialization=kind == "zip")
    return path


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors", "weights"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_tell_the_kind_and_not_the_name(tmp_path, kind, name):
    found = read_checkpoint(write(tmp_path / name, kind))
    state = found["state_dict" if kind == "safetensors" else "model"]
    assert all(torch.equal(state[key], value) for key, value in STATE.items())
    assert found["epoch"] == 3


@pytest.mark.parametrize("kind", KINDS)
def test_changing_tensors_does_not_change_the_file(tmp_path, kind):
    path = write(tmp_path / "w", kind)
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    found = read_checkpoint(path)
    for value in found["state_dict" if kind == "safetensors" else "model"].values():
        value.zero_()
    del found
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def zipped(**entries):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"hello, I am text\n" * 9, "is a text file, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "run 'git lfs pull'"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 99, "is an HDF5 file"),
        (b"GGUF" + b"\0" * 99, "is a GGUF file"),
        (b"\x1f\x8b\x08" + b"\0" * 99, "is compressed: unpack it first"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 99, "is a picture"),
        (b"PK\x03\x04 half a zip", "is damaged or not a checkpoint"),
        (zipped(a="1", b="2"), "is a zip archive without weights of torch; it holds a, b"),
        (zipped(m__data_pkl="", m__constants="").replace(b"data_pkl", b"data.pkl"), "is damaged"),
        (pickle.dumps([1, 2], protocol=2), "is a pickle, but not one of torch.save"),
        (pickle.dumps({"a": 1}, protocol=4), "is a pickle, but not one of torch.save"),
        (os.urandom(0) + bytes(range(256)), "not a file of torch or safetensors"),
        ((10**7).to_bytes(8, "little") + b'{"a":', "is damaged or not a checkpoint"),
        ((2**62).to_bytes(8, "little") + b'{"a":', "not a file of torch or safetensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_that_are_no_checkpoints_are_told_what_they_are(tmp_path, content, reason):
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        read_checkpoint(tmp_path / "x.pth")
    assert str(caught.value).startswith(str(tmp_path / "x.pth"))
    assert "\n" not in str(caught.value)


def test_archives_of_other_things(tmp_path):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(InputError, match="is a TorchScript archive"):
        read_checkpoint(tmp_path / "script.pt")
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    with pytest.raises(InputError, match=r"without weights of torch; it holds a\.npy"):
        read_checkpoint(tmp_path / "arrays.npz")
    with (
        zipfile.ZipFile(write(tmp_path / "w.pth", "zip")) as whole,
        zipfile.ZipFile(tmp_path / "again.pth", "w", zipfile.ZIP_DEFLATED) as again,
    ):
        for name in whole.namelist():
            again.writestr(name, whole.read(name))
    with pytest.raises(InputError, match="was zipped again"):
        read_checkpoint(tmp_path / "again.pth")


@pytest.mark.parametrize("value", [torch.ones(2), [torch.ones(2)], "text", 3])
def test_what_was_saved_must_be_a_dictionary(tmp_path, value):
    torch.save(value, tmp_path / "x.pth")
    with pytest.raises(InputError, match=r"holds a \w+, not a dictionary of weights"):
        read_checkpoint(tmp_path / "x.pth")


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "x.pth")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, {kind: write(folder / kind, kind).read_bytes() for kind in KINDS}


def survives(folder, data):
    """Reading gives weights that can be touched, or InputError in one line."""
    path = folder / "damaged"
    path.write_bytes(data)
    try:
        found = read_checkpoint(path)
    except InputError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either end is right
        return
    for group in found.values():
        for value in group.values() if isinstance(group, dict) else ():
            if isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() < 1e6:
                value.sum()


PROPERTIES = settings(max_examples=150, deadline=None, derandomize=True)


@pytest.mark.parametrize("kind", KINDS)
@PROPERTIES
@given(share=st.floats(0, 1))
def test_files_cut_off_anywhere(whole, kind, share):
    folder, data = whole[0], whole[1][kind]
    survives(folder, data[: int(share * len(data))])


@pytest.mark.parametrize("kind", KINDS)
@PROPERTIES
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=6))
def test_files_with_bytes_overwritten_anywhere(whole, kind, changes):
    data = bytearray(whole[1][kind])
    for share, new in changes:
        at = int(share * (len(data) - len(new)))
        data[at : at + len(new)] = new
    survives(whole[0], bytes(data))


@pytest.mark.parametrize("kind", KINDS)
@PROPERTIES
@given(share=st.floats(0, 0.2), new=st.binary(min_size=1, max_size=40))
def test_files_with_bytes_put_in_or_taken_out_at_the_head(whole, kind, share, new):
    folder, data = whole[0], whole[1][kind]
    at = int(share * len(data))
    survives(folder, data[:at] + new + data[at:])
    survives(folder, data[:at] + data[at + len(new) :])


@PROPERTIES
@given(share=st.floats(0, 1), protocol=st.sampled_from([0, 1, 2, 4]))
def test_a_command_put_into_a_file_anywhere_is_not_run(whole, share, protocol):
    folder, data = whole[0], whole[1]["legacy"]
    sentinel = folder / "ran"
    command = pickle.dumps(Touch(sentinel), protocol=protocol)
    at = int(share * len(data))
    survives(folder, data[:at] + command + data[at:])
    survives(folder, command + data)
    assert not sentinel.exists()


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@PROPERTIES
@given(data=st.binary(max_size=300), start=st.sampled_from([b"", b"\x80\x02", b"\x80\x02}", b"PK\x03\x04", b"(dp0\n"]))
def test_any_bytes(tmp_path_factory, data, start):
    survives(tmp_path_factory.getbasetemp(), start + data)
