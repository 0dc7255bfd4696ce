"""Which classes a pickled checkpoint may hold besides tensors, so that reading it runs no code of its author's.

torch's ``weights_only`` unpickler refuses every class that is not listed. Real checkpoints hold some that are harmless:
``argparse.Namespace``, numpy scalars, configuration nodes of yacs, omegaconf, mmcv. They are listed here, each with a
stand-in that can do nothing but hold values, so that the packages need not be installed and their code is not run.
``plain`` then makes dictionaries, lists and numbers of them.
"""

from __future__ import annotations

import argparse
import collections
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_DEPTH = 50  # of what ``plain`` follows; what lies deeper in a file is not a setting that anyone reads
_SHARED = 500_000  # values in lists that several places of a file share, and that ``plain`` therefore copies
_ARRAY = 1_000_000  # numbers in an array of numpy; a larger one is not a setting, and as a list would fill the memory
_NUMBERS = "biufcSU"  # numpy's kinds of numbers and text
_LEAVES = {str, bytes, bool, int, float, type(None)}
_EXPANDED = 2**28  # numbers in a tensor that repeats what it stores
_INNER = ("_content", "_val", "_cfg_dict", "_fields")  # where omegaconf, mmengine, ml_collections keep what they hold


class Attributes:
    """Stands for any object that is made of attributes; holds them and has no behaviour."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Attributes:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state:  # mmengine's Config: its dictionary, then how it came about
            state = state[0]
        if isinstance(state, Mapping):  # nothing that Python would look up and call
            self.__dict__.update(
                {name: value for name, value in state.items() if isinstance(name, str) and not name.startswith("__")}
            )


class Items:
    """Stands for any subclass of dict: unpickling it gives an ordinary one."""

    def __new__(cls, *args: Any) -> Any:  # the unpickler fills no other subclass of dict
        return collections.OrderedDict(args[0] if args and isinstance(args[0], Mapping) else ())


class Text:
    """Stands for any subclass of str: unpickling it gives an ordinary one."""

    def __new__(cls, *args: Any) -> Any:
        return args[0] if args and isinstance(args[0], str) else ""


class NumpyType:
    """Stands for ``numpy.dtype``: the code of a numeric type, such as "f8"."""

    def __init__(self, code: Any = "", *flags: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else code if isinstance(code, str) else ""

    def __setstate__(self, state: Any) -> None:
        if len(state) > 1 and state[1] in (">", b">"):
            self.code = ">" + self.code

    def read(self, data: Any) -> np.ndarray | None:
        """The values in ``data`` (bytes, or text that stands for them); None for dates, records and objects."""
        dtype = np.dtype(self.code)
        if dtype.kind not in _NUMBERS or not isinstance(data, (bytes, str)):
            return None
        return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype)


class NumpyArray:
    """Stands for ``numpy.ndarray``."""

    def __init__(self, *how: Any) -> None:
        self.values: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, data = state
        values = dtype.read(data)
        if values is not None and values.size <= _ARRAY:
            values = values.reshape(shape, order="F" if column_major else "C")
            self.values = values.tolist() if values.size else []  # an empty one may claim any number of rows


def numpy_scalar(dtype: NumpyType, data: Any = b"") -> Any:
    """Stands for ``numpy.core.multiarray.scalar``."""
    values = dtype.read(data)
    return None if values is None else values[0].item()


def no_bytes(*args: Any) -> bytes:
    """Stands for ``bytes``, by which pickle writes the empty ones."""
    return b""


def name_alone(owner: Any = None, name: Any = "", *default: Any) -> str:
    """Stands for ``getattr``, by which mmengine pickles its methods: looks nothing up."""
    return name if isinstance(name, str) else ""


def path_text(*parts: Any) -> str:
    """Stands for the classes of pathlib."""
    return str(pathlib.PurePosixPath(*(part for part in parts if isinstance(part, str))))


def first(value: Any = None, *rest: Any) -> Any:
    """Stands for an enumeration, of whose members pickle keeps the value."""
    return value


def elements(values: Any = (), *rest: Any) -> list[Any]:
    """Stands for ``deque`` and ``frozenset``: the unpickler fills no other sequence than a list."""
    return list(values) if isinstance(values, list | tuple) else []


def nothing(*args: Any) -> None:
    """Stands for what has no value worth keeping: types, markers."""


ATTRIBUTES = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    *(
        f"omegaconf.nodes.{kind}Node"
        for kind in ("Any", "Integer", "Float", "Boolean", "String", "Bytes", "Path", "Enum")
    ),
    "mmcv.utils.config.Config",
    "mmengine.config.config.Config",
    "mmengine.logging.history_buffer.HistoryBuffer",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "ml_collections.config_dict.config_dict.FrozenConfigDict",
)
ITEMS = (
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "addict.addict.Dict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "easydict.EasyDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "vissl.utils.hydra_config.AttrDict",
    "vissl.config.attr_dict.AttrDict",
    "classy_vision.generic.util.AttrDict",
    "collections.defaultdict",
)
_CALLBACKS = ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")
OTHERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (NumpyType, ("numpy.dtype",)),
    (NumpyArray, ("numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")),
    (numpy_scalar, ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")),
    (path_text, tuple(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath"))),
    (path_text, ("pathlib._local.PosixPath", "pathlib._local.WindowsPath")),  # Python 3.13
    (Text, ("torch.torch_version.TorchVersion",)),
    (first, ("torchvision.transforms.functional.InterpolationMode", "PIL.Image.Resampling")),
    (elements, ("collections.deque", "builtins.frozenset")),
    (no_bytes, ("builtins.bytes",)),
    (name_alone, ("builtins.getattr",)),
    (nothing, ("typing.Any", "omegaconf.base.SCMode", "omegaconf._utils.ValueKind")),
    (nothing, tuple(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "str", "int", "float", "bool", "object"))),
    (nothing, ("builtins.range", "builtins.slice")),
    (nothing, tuple(f"datetime.{kind}" for kind in ("date", "datetime", "timedelta", "timezone"))),
    (nothing, tuple(f"pytorch_lightning.callbacks.{kind}" for kind in _CALLBACKS)),  # keys in Lightning before 1.5
)


def harmless() -> list[Any]:
    """What ``torch.serialization.safe_globals`` is to allow."""
    return [
        *((Attributes, name) for name in ATTRIBUTES),
        *((Items, name) for name in ITEMS),
        *((stand_in, name) for stand_in, names in OTHERS for name in names),
    ]


def plain(value: Any) -> Any:
    """``value`` with stand-ins made into dictionaries, lists and numbers, and modules into their weights.

    What refers to itself is cut off: omegaconf's nodes name their parents, addict's dictionaries themselves. Tensors
    stay as they are, without the wish for gradients, so that they can be changed in place.

    Raises:
        ValueError: a tensor without values, or a few bytes that describe more than memory holds.
    """
    return _plain(value, (), _Visits())


class _Visits:
    """Counts what is met again, so that a list of twice a list of twice a list ... ends before the memory does."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}  # with the values, so that no other gets the id of one that is gone
        self._shared = 0

    def count(self, value: Any, size: int) -> None:
        if id(value) not in self._seen:
            self._seen[id(value)] = value
            return
        self._shared += size
        if self._shared > _SHARED:
            raise ValueError("its lists and dictionaries hold each other over and over")


def _plain(value: Any, parents: tuple[int, ...], visits: _Visits) -> Any:
    if type(value) in _LEAVES:
        return value
    if isinstance(value, torch.Tensor):
        return _tensor(value)
    if isinstance(value, NumpyArray):
        return value.values
    if isinstance(value, np.ndarray):
        return value.tolist() if value.size <= _ARRAY and value.dtype.kind in _NUMBERS else None
    if isinstance(value, NumpyType):
        return value.code
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.nn.Module):
        return _plain(value.state_dict(), parents, visits)
    if id(value) in parents or len(parents) > _DEPTH:
        return None
    parents = (*parents, id(value))
    if isinstance(value, (Attributes, argparse.Namespace, types.SimpleNamespace)):
        state = vars(value)
        visits.count(value, len(state))
        return _plain(next((state[key] for key in _INNER if key in state), state), parents, visits)
    if isinstance(value, Mapping):
        visits.count(value, len(value))
        return {
            key: inner if type(inner) in _LEAVES else _plain(inner, parents, visits) for key, inner in value.items()
        }
    if type(value) in (list, tuple):
        visits.count(value, len(value))
        return type(value)(_plain(inner, parents, visits) for inner in value)
    return value


def _tensor(value: torch.Tensor) -> torch.Tensor:
    if value.is_meta:
        raise ValueError(f"a tensor {tuple(value.shape)} on torch's meta device has no values")
    if value.layout is torch.strided and value.numel() > _EXPANDED:
        stored = value.untyped_storage().nbytes() // value.element_size()
        if value.numel() > stored:
            raise ValueError(f"a tensor {tuple(value.shape)} of {stored} values, repeated")
    return value.detach() if value.requires_grad else value
