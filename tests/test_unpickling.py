"""Harmless classes come out as plain values, without the packages that wrote them; everything else is refused."""

import argparse
import collections
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch

from a2mim.checkpoint import read_checkpoint
from a2mim.checkpoint.unpickling import plain
from a2mim.errors import InputError

WEIGHTS = {"fc.weight": torch.arange(4.0)}


def round_trip(tmp_path, value):
    torch.save({"model": WEIGHTS, "extra": value}, tmp_path / "c.pth")
    found = read_checkpoint(tmp_path / "c.pth")
    assert torch.equal(found["model"]["fc.weight"], WEIGHTS["fc.weight"])
    return found["extra"]


@pytest.fixture
def foreign(monkeypatch):
    """Make classes of packages that are not installed, for the time of writing."""

    def make(name, bases=(), **members):
        module, _, short = name.rpartition(".")
        for end in [i for i, sign in enumerate(module) if sign == "."] + [len(module)]:
            monkeypatch.setitem(
                sys.modules, module[:end], sys.modules.get(module[:end]) or types.ModuleType(module[:end])
            )
        kind = type(short, bases, {"__module__": module, **members})
        setattr(sys.modules[module], short, kind)
        return kind

    return make


def test_a_namespace_is_a_dictionary(tmp_path):
    args = argparse.Namespace(lr=0.1, model="vit", nested=argparse.Namespace(a=[1, (2, 3)]))
    assert round_trip(tmp_path, args) == {"lr": 0.1, "model": "vit", "nested": {"a": [1, (2, 3)]}}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.5), 0.5),
        (np.float32(0.25), 0.25),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.arange(6, dtype="i4").reshape(2, 3), [[0, 1, 2], [3, 4, 5]]),
        (np.asfortranarray(np.arange(6.0).reshape(2, 3)), [[0, 1, 2], [3, 4, 5]]),
        (np.array([1, 256], dtype=">i2"), [1, 256]),
        (np.array(["a", None], dtype=object), None),
        (np.dtype("float32"), "f4"),
        (pathlib.PosixPath("/a/b"), "/a/b"),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        ({"deep": {1, 2}}, {"deep": {1, 2}}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_that_checkpoints_hold(tmp_path, value, expected):
    assert round_trip(tmp_path, value) == expected


@pytest.mark.parametrize(
    "name",
    [
        "yacs.config.CfgNode",
        "addict.addict.Dict",
        "mmcv.utils.config.ConfigDict",
        "easydict.EasyDict",
        "lightning_fabric.utilities.data.AttributeDict",
    ],
)
def test_dictionaries_of_packages_that_are_not_installed(tmp_path, foreign, monkeypatch, name):
    kind = foreign(name, (dict,))
    node = kind(DATA=kind(IMG_SIZE=192, MEAN=(0.5, 0.5)), NAME="x")
    node.__dict__["__immutable__"] = True  # yacs keeps its state beside the items
    torch.save({"model": WEIGHTS, "extra": node}, tmp_path / "c.pth")
    for module in [module for module in sys.modules if name.startswith(module + ".")]:
        monkeypatch.delitem(sys.modules, module)
    found = read_checkpoint(tmp_path / "c.pth")["extra"]
    assert found == {"DATA": {"IMG_SIZE": 192, "MEAN": (0.5, 0.5)}, "NAME": "x"}
    assert type(found) is dict


def test_nodes_of_omegaconf_with_their_parents(tmp_path, foreign):
    any_node, metadata = foreign("omegaconf.nodes.AnyNode"), foreign("omegaconf.base.ContainerMetadata")
    config, listed = foreign("omegaconf.dictconfig.DictConfig"), foreign("omegaconf.listconfig.ListConfig")

    def node(kind, **state):
        made = kind()
        made.__dict__.update(_metadata=metadata(), _parent=None, _flags_cache=None, **state)
        return made

    size, items = node(any_node, _val=224), node(listed, _content=[node(any_node, _val="a")])
    root = node(config, _content={"size": size, "items": items})
    size._parent = items._parent = root
    assert round_trip(tmp_path, root) == {"size": 224, "items": ["a"]}


def test_configurations_of_mmengine(tmp_path, foreign):
    kind = foreign("mmengine.config.config.ConfigDict", (dict,), __reduce__=lambda self: (type(self), (dict(self),)))
    config = foreign(
        "mmengine.config.config.Config",
        __getstate__=lambda self: (kind(a=kind(b=1)), "file.py", "text", {}, True, set()),
    )
    assert round_trip(tmp_path, [kind(a=kind(b=1)), config()]) == [{"a": {"b": 1}}] * 2


def test_a_structure_that_holds_itself_ends():
    loop: dict = {"a": 1}
    loop["self"] = loop
    assert plain(loop)["self"]["self"]["a"] == 1


class Command:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize(
    ("call", "args", "named"),
    [
        (__import__("os").system, ("touch {sentinel}",), "posix.system"),
        (open, ("{sentinel}", "w"), "open"),
        (eval, ("open('{sentinel}', 'w')",), "eval"),
        (pathlib.Path.touch, (pathlib.Path("{sentinel}"),), "touch"),
        (torch.load, ("{sentinel}",), "torch.serialization.load"),
        (pickle.loads, (b"x",), "pickle"),
    ],
    ids=["system", "open", "eval", "touch", "load", "loads"],
)
def test_code_in_a_pickle_is_named_refused_and_not_run(tmp_path, call, args, named):
    sentinel = tmp_path / "ran"
    filled = [arg.replace("{sentinel}", str(sentinel)) if isinstance(arg, str) else arg for arg in args]
    torch.save({"model": WEIGHTS, "extra": Command(call, *filled)}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"would run code from the file; --trust-checkpoint") as caught:
        read_checkpoint(tmp_path / "evil.pth")
    assert named in str(caught.value) or "holds more than weights," in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not sentinel.exists()


def test_getattr_looks_nothing_up(tmp_path):
    found = round_trip(tmp_path, Command(getattr, argparse.Namespace, "mro"))
    assert found == "mro"


def test_the_list_of_classes_does_not_outlive_the_call(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    round_trip(tmp_path, argparse.Namespace())
    assert set(torch.serialization.get_safe_globals()) == before


def test_trusted_files_are_unpickled_and_a_module_gives_its_weights(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(InputError, match=r"holds more than weights \(torch.nn.modules.linear.Linear\)"):
        read_checkpoint(tmp_path / "module.pth")
    assert read_checkpoint(tmp_path / "module.pth", trust=True)["state_dict"].keys() == {"weight", "bias"}


def test_a_trusted_file_whose_classes_are_not_there_is_an_error_of_one_line(tmp_path, foreign, monkeypatch):
    kind = foreign("their_project.Config")
    torch.save({"model": WEIGHTS, "extra": kind()}, tmp_path / "c.pth")
    monkeypatch.delitem(sys.modules, "their_project")
    with pytest.raises(InputError, match=r"holds more than weights \(their_project.Config\)"):
        read_checkpoint(tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"cannot be unpickled: ModuleNotFoundError: No module named 'their_project'"):
        read_checkpoint(tmp_path / "c.pth", trust=True)
