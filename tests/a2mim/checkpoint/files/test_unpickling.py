"""Harmless classes come out as plain values, without the packages that wrote them; everything else is refused."""

import argparse
import collections
import concurrent.futures
import contextlib
import datetime
import pathlib
import pickle
import sys
import types

import numpy as np
import pytest
import torch
from torchvision.transforms import InterpolationMode

from a2mim.checkpoint import read_checkpoint
from a2mim.checkpoint.files.unpickling import harmless, plain
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
        (np.array(["2020-01-01"], dtype="M8[D]"), None),
        (np.zeros(2, dtype="i4,f4"), None),
        (np.datetime64("2020-01-01"), None),
        (np.zeros((3, 0)), []),
        (b"", b""),
        (np.zeros(2_000_000, dtype="i1"), None),
        (np.dtype("float32"), "f4"),
        (pathlib.PosixPath("/a/b"), "/a/b"),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (collections.OrderedDict(a=1), {"a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.deque([1, 2], maxlen=3), [1, 2]),
        (frozenset([1]), [1]),
        (datetime.timedelta(1), None),
        (range(3), None),
        (torch.torch_version.TorchVersion("2.0"), "2.0"),
        (InterpolationMode.BICUBIC, "bicubic"),
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


def test_configurations_of_ml_collections(tmp_path, foreign):
    kind = foreign("ml_collections.config_dict.config_dict.ConfigDict")

    def config(**fields):
        made = kind()
        made.__dict__.update(_fields=fields, _locked=True, _type_safe=True)
        return made

    assert round_trip(tmp_path, config(a=1, b=config(c=2))) == {"a": 1, "b": {"c": 2}}


def test_class_names_as_keys_of_lightning(tmp_path, foreign):
    kind = foreign("pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint")
    assert list(round_trip(tmp_path, {kind: {"best": 0.5}}).values()) == [{"best": 0.5}]


def test_parameters_can_be_changed_in_place(tmp_path):
    round_trip(tmp_path, torch.nn.Parameter(torch.ones(2))).zero_()


def test_tensors_without_values_of_their_own_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a tensor \(2, 3\) on torch's meta device has no values"):
        round_trip(tmp_path, torch.ones(2, 3, device="meta"))
    with pytest.raises(InputError, match=r"a tensor .* of 1 values, repeated"):
        round_trip(tmp_path, torch.ones(1).expand(10**6, 10**6))
    assert round_trip(tmp_path, torch.ones(1).expand(7, 7)).sum() == 49


def test_a_structure_that_holds_itself_is_cut_off():
    loop: dict = {"a": 1}
    loop.update(self=loop, again=[loop], other=argparse.Namespace(parent=loop, b=2))
    assert plain(loop) == {"a": 1, "self": None, "again": [None], "other": {"parent": None, "b": 2}}


def test_values_in_two_places_stay_in_both(tmp_path):
    shared = [1, (2, 3)]
    assert round_trip(tmp_path, {"a": shared, "b": [shared, shared]}) == {"a": shared, "b": [shared, shared]}


def test_a_list_of_twice_a_list_of_twice_a_list_is_refused(tmp_path):
    bomb: list = [1]
    for _ in range(60):  # 2**60 numbers, in a file of two kilobytes
        bomb = [bomb, bomb]
    with pytest.raises(InputError, match="hold each other over and over"):
        round_trip(tmp_path, bomb)


def test_what_lies_too_deep_is_cut_off(tmp_path):
    deep: list = []
    for _ in range(400):
        deep = [deep]
    found = round_trip(tmp_path, deep)
    depth = 0
    while found:
        found, depth = found[0], depth + 1
    assert (found, 40 < depth < 60) == (None, True)


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


STAND_INS = {name: kind for kind, name in harmless()}
ODD = [(), (None,), (1, 2), ("", b""), ([], {}), ({"a": 1},), ("__class__", "f8"), (print, open), (10**12,)]


@pytest.mark.parametrize("kind", dict.fromkeys(STAND_INS.values()), ids=lambda kind: kind.__name__)
def test_stand_ins_do_nothing_whatever_they_are_called_with(kind):
    for args in ODD:
        try:
            made = kind(*args)
        except (TypeError, ValueError, LookupError, AttributeError):
            continue
        for state in (*ODD, *(arg for args in ODD for arg in args), {"__setstate__": print, "__class__": dict}):
            before = type(made)
            with contextlib.suppress(TypeError, ValueError, LookupError, AttributeError):
                made.__setstate__(state)
            assert type(made) is before
            assert "__setstate__" not in getattr(made, "__dict__", {})
        with contextlib.suppress(ValueError):
            plain(made)


def test_no_stand_in_is_a_function_that_python_or_torch_brings():
    for name, kind in STAND_INS.items():
        assert kind.__module__ == "a2mim.checkpoint.files.unpickling", name


def test_the_list_of_classes_does_not_outlive_the_call(tmp_path):
    before = set(torch.serialization.get_safe_globals())
    round_trip(tmp_path, argparse.Namespace())
    assert set(torch.serialization.get_safe_globals()) == before


def test_threads_that_read_at_once_do_not_clear_each_others_list(tmp_path):
    torch.save({"model": WEIGHTS, "args": argparse.Namespace(lr=0.1)}, tmp_path / "c.pth")
    before = set(torch.serialization.get_safe_globals())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read_checkpoint, [tmp_path / "c.pth"] * 100))
    assert all(checkpoint["args"] == {"lr": 0.1} for checkpoint in found)
    assert set(torch.serialization.get_safe_globals()) == before


def test_trusted_files_are_unpickled_and_a_module_gives_its_weights(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    with pytest.raises(InputError, match=r"holds more than weights \(torch.nn.modules.linear.Linear\)"):
        read_checkpoint(tmp_path / "module.pth")
    assert read_checkpoint(tmp_path / "module.pth", trust=True)["state_dict"].keys() == {"weight", "bias"}


def test_modules_within_a_trusted_file_give_their_weights_too(tmp_path):
    torch.save({"model": torch.nn.Linear(2, 2), "best": np.ones(2)}, tmp_path / "module.pth")
    found = read_checkpoint(tmp_path / "module.pth", trust=True)
    assert (found["model"].keys(), found["best"]) == ({"weight", "bias"}, [1, 1])


def test_a_trusted_file_whose_classes_are_not_there_is_an_error_of_one_line(tmp_path, foreign, monkeypatch):
    kind = foreign("their_project.Config")
    torch.save({"model": WEIGHTS, "extra": kind()}, tmp_path / "c.pth")
    monkeypatch.delitem(sys.modules, "their_project")
    with pytest.raises(InputError, match=r"holds more than weights \(their_project.Config\)"):
        read_checkpoint(tmp_path / "c.pth")
    with pytest.raises(InputError, match=r"cannot be unpickled: ModuleNotFoundError: No module named 'their_project'"):
        read_checkpoint(tmp_path / "c.pth", trust=True)
