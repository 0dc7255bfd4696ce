"""What a run writes is whole or not there; which file a path means."""

import json

import pytest
import safetensors.torch
import torch

from a2mim import checkpoint
from a2mim.errors import InputError

SAVED = dict(
    kind="pretrain",
    arch="resnet18",
    model_args={"channels": [8, 8, 8, 8]},
    epoch=3,
    state_dict={"encoder.conv1.weight": torch.ones(2, 2), "mask_token": torch.zeros(1)},
)


def test_saving_is_atomic_when_the_disk_is_full(tmp_path, monkeypatch):
    target = tmp_path / "last.pth.tar"
    checkpoint.save_checkpoint(target, SAVED)
    before = target.read_bytes()

    def full(value, handle):
        handle.write(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/3: file write failed")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"cannot write .*last\.pth\.tar"):
        checkpoint.save_checkpoint(target, SAVED)
    assert target.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["last.pth.tar"]


def test_safetensors_carry_their_description(tmp_path):
    checkpoint.export_safetensors(tmp_path / "e.safetensors", SAVED, encoder_only=True, half=True)
    found = checkpoint.read_checkpoint(tmp_path / "e.safetensors")
    assert (found["kind"], found["arch"], found["epoch"]) == ("encoder", "resnet18", 3)
    assert found["model_args"] == {"channels": [8, 8, 8, 8]}
    assert list(found["state_dict"]) == ["conv1.weight"]
    assert found["state_dict"]["conv1.weight"].dtype == torch.float16


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="no such file or folder, nor one of the shipped fashion-resnet-a2mim"):
        checkpoint.resolve(tmp_path / "none.pth")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(InputError, match=r"has none of model_best\.pth\.tar.*model\.safetensors.*found notes.txt"):
        checkpoint.resolve(tmp_path)


def test_a_folder_means_the_weights_in_it_a_run_first(tmp_path):
    safetensors.torch.save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    assert checkpoint.resolve(tmp_path).name == "model.safetensors"
    checkpoint.save_checkpoint(tmp_path / "last.pth.tar", SAVED)
    assert checkpoint.resolve(tmp_path).name == "last.pth.tar"
    assert checkpoint.resolve("fashion-vit-a2mim").parent == checkpoint.SHIPPED


def test_a_folder_in_shards(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        safetensors.torch.save_file({name: torch.tensor([value])}, tmp_path / f"model-{name}.safetensors")
    weights = {"a": "model-a.safetensors", "b": "model-b.safetensors"}
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_mean": [0.5] * 3}))
    found = checkpoint.read_checkpoint(checkpoint.resolve(tmp_path))
    assert {name: float(value) for name, value in found["state_dict"].items()} == {"a": 1, "b": 2}
    assert found["config"] == {"model_type": "vit"}
    assert found["preprocessor_config"] == {"image_mean": [0.5] * 3}

    index.write_text(json.dumps({"weight_map": weights | {"c": "model-c.safetensors"}}))
    with pytest.raises(
        InputError, match=r"names 'model-c.safetensors', which is not there: the download is not complete"
    ):
        checkpoint.read_checkpoint(index)
    index.write_text(json.dumps({"weight_map": {"a": "../outside.safetensors"}}))
    with pytest.raises(InputError, match="names a file outside its folder"):
        checkpoint.read_checkpoint(index)
    for text, reason in (("{}", "lists no weights"), ("[1]", "holds a list"), ("{", "is not JSON")):
        index.write_text(text)
        with pytest.raises(InputError, match=reason):
            checkpoint.read_checkpoint(index)


def test_a_configuration_beside_bare_weights_is_read_with_them(tmp_path):
    torch.save({"w": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    assert list(checkpoint.read_checkpoint(tmp_path / "pytorch_model.bin")) == ["w"]
    (tmp_path / "config.json").write_text(json.dumps({"some": "thing else"}))
    assert list(checkpoint.read_checkpoint(tmp_path / "pytorch_model.bin")) == ["w"]
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "resnet18"}))
    found = checkpoint.read_checkpoint(tmp_path / "pytorch_model.bin")
    assert (list(found["state_dict"]), found["config"]) == (["w"], {"architecture": "resnet18"})
