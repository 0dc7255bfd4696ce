"""A network as the targets of convert see it."""

import ast
from pathlib import Path

import pytest
import timm
import torch

import a2mim
from a2mim.checkpoint import convert as package
from a2mim.checkpoint.convert.network import Network, difference
from a2mim.errors import InputError

TINY = dict(img_size=32, patch_size=8, embed_dim=64, depth=2, num_heads=2)


@pytest.fixture
def loaded(tmp_path):
    torch.save(timm.create_model("vit_tiny_patch16_224", num_classes=3, **TINY).state_dict(), tmp_path / "vit.pth")
    return a2mim.load_encoder(tmp_path / "vit.pth", "vit_tiny_patch16_224", TINY)


def test_sizes_and_tensors(loaded):
    network = Network.of(*loaded, "a library")
    assert network.family == "vit"
    assert {key: network.sizes[key] for key in TINY} == TINY
    assert set(network.classifier) == {"head.weight", "head.bias"}
    assert network.encoder.keys() | network.classifier.keys() == loaded[0].state_dict().keys()
    assert network.eps() == 1e-6


def test_what_a_library_lacks_is_refused(loaded):
    network = Network.of(*loaded, "a library")
    network.require("a library", depth=(1, 2), patch_size=8)
    with pytest.raises(InputError, match="a library cannot express depth=2 of this vit_tiny_patch16_224"):
        network.require("a library", depth=3)


def test_what_the_sizes_do_not_tell_is_refused(loaded):
    model, report = loaded
    for block in model.blocks:
        block.mlp.act = torch.nn.ReLU()
    with pytest.raises(InputError, match="computes something that the sizes of its layers do not tell"):
        Network.of(model, report, "a library")


def test_difference_is_relative_to_the_largest_output():
    one, other = torch.nn.Conv2d(3, 4, 1), torch.nn.Conv2d(3, 4, 1)
    other.load_state_dict({name: 1.5 * value for name, value in one.state_dict().items()})
    assert difference(one, one, (3, 8, 8)) == 0
    assert difference(one, other, (3, 8, 8)) == pytest.approx(0.5)
    assert difference(one, torch.nn.Conv2d(3, 5, 1), (3, 8, 8)) == float("inf")


def test_no_circle_of_imports():
    """Imports for types count too."""
    imports = {}
    for file in Path(package.__file__).parent.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)]
        names = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names} | {n.module for n in nodes}
        prefix = f"{package.__name__}."
        imports[file.stem] = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    while free := [name for name, others in imports.items() if not others & (imports.keys() - {name})]:
        for name in free:
            del imports[name]
    assert not imports
