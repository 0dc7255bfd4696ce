"""The checksums of torch's archives: every changed byte is noticed, once for each state of a file."""

import json
import os
import zipfile

import pytest
import timm
import torch
from click.testing import CliRunner

import a2mim
from a2mim.checkpoint.files import integrity
from a2mim.commands.checkpoint import main
from a2mim.errors import InputError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(integrity, "_checked", {})


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.pth"
    torch.save(timm.create_model("vit_tiny_patch16_224", depth=1, img_size=32).state_dict(), path)
    return path


def flip(path, record, bit=0):
    """Change one bit in the middle of a record."""
    with zipfile.ZipFile(path) as archive:
        entry = next(entry for entry in archive.infolist() if entry.filename.endswith(record))
    data = bytearray(path.read_bytes())
    name, extra = (
        int.from_bytes(data[entry.header_offset + at : entry.header_offset + at + 2], "little") for at in (26, 28)
    )
    data[entry.header_offset + 30 + name + extra + entry.file_size // 2] ^= 1 << bit
    path.write_bytes(data)


@pytest.mark.parametrize("record", ["data/0", "data/7", "version"])
def test_a_changed_byte_is_refused_with_the_name_of_its_record(file, record):
    a2mim.load_encoder(file)
    flip(file, record)
    with pytest.raises(InputError, match=rf"is damaged: record '.*{record}' does not match its CRC-32 \(1 of"):
        a2mim.load_encoder(file)
    result = CliRunner().invoke(main, ["inspect", str(file), "--verify"])
    assert result.exit_code == 2
    assert record in result.output
    assert "Traceback" not in result.output


def test_a_file_without_checksums_is_loaded_with_a_note(file):
    options = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(torch.load(file, weights_only=True), file)
    finally:
        torch.serialization.set_crc32_options(options)
    _, report = a2mim.load_encoder(file)
    assert any("none of the" in note and "CRC-32" in note for note in report.notes)
    result = CliRunner().invoke(main, ["inspect", str(file), "--verify"])
    assert result.exit_code == 0
    assert "cannot be noticed" in result.output


def test_a_file_is_checked_once_for_each_state(file, monkeypatch):
    seen = []
    compare = integrity._compare
    monkeypatch.setattr(integrity, "_compare", lambda path: seen.append(path) or compare(path))
    for _ in range(3):
        integrity.check(file)
    assert len(seen) == 1
    os.utime(file, ns=(1, 1))
    integrity.check(file)
    integrity.check(file, again=True)
    assert len(seen) == 3


def test_large_files_are_remembered_from_one_command_to_the_next(file, monkeypatch, tmp_path):
    monkeypatch.setattr(integrity, "_REMEMBERED", 1)
    integrity.check(file)
    integrity._checked.clear()
    monkeypatch.setattr(integrity, "_compare", lambda path: pytest.fail("checked again"))
    integrity.check(file)
    assert json.loads((tmp_path / "cache" / "a2mim" / "checked.json").read_text())[0][0] == str(file)
    (tmp_path / "cache" / "a2mim" / "checked.json").write_text("[[")
    monkeypatch.setattr(integrity, "_compare", lambda path: "")
    integrity._checked.clear()
    integrity.check(file)  # a damaged memory is none


def test_verify_says_what_can_be_told(file, tmp_path):
    import safetensors.torch

    result = CliRunner().invoke(main, ["inspect", str(file), "--verify"])
    assert "checksums:           every record matches its CRC-32" in result.output
    other = tmp_path / "net.safetensors"
    safetensors.torch.save_file(torch.load(file, weights_only=True), other)
    result = CliRunner().invoke(main, ["inspect", str(other), "--verify", "--model", "vit_tiny_patch16_224", "--json",
                                       "--model-args", "depth=1", "--model-args", "img_size=32"])  # fmt: skip
    said = json.loads(result.output)["checksums"]
    assert "no checksum" in said
    assert len(said.rpartition(": ")[2]) == 64


def test_records_that_overlap_are_refused(tmp_path):
    """A small archive whose records are all the same bytes would keep the reader busy for as long as it likes."""
    path = tmp_path / "bomb.pt"
    torch.save({f"w{at}": torch.ones(1000) + at for at in range(20)}, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if "/data/" in entry.filename]
    first = entries[0].header_offset
    for entry in entries:
        name = entry.filename.encode()
        at = data.rindex(name)  # in the central directory
        data[at - 4 : at] = first.to_bytes(4, "little")
        data[at - 22 : at - 18] = data[at - 26 : at - 22] = (60_000).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        a2mim.load_encoder(path)
