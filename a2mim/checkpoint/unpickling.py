"""Which classes a pickled checkpoint may hold besides tensors, so that reading it runs no code of its author's.

torch's ``weights_only`` unpickler refuses every class that is not listed. Real checkpoints hold some that are harmless:
``argparse.Namespace``, numpy scalars, configuration nodes of yacs, omegaconf, mmcv. They are listed here, each with a
stand-in that can do nothing but hold values, so that the packages need not be installed and their code is not run.
``plain`` then makes dictionaries, lists and numbers of them.
"""

from __future__ import annotations

import collections
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

_DEPTH = 50  # of what ``plain`` follows; what lies deeper in a file is no setting that anyone reads


class Attributes:
    """Stands for any object that is made of attributes; holds them and has no behaviour."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Attributes:
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and state:  # mmengine's Config: its dictionary, then how it came about
            state = state[0]
        if isinstance(state, Mapping):
            self.__dict__.update({str(name): value for name, value in state.items()})


class Items:
    """Stands for any subclass of dict: unpickling it gives an ordinary one."""

    def __new__(cls, *args: Any) -> Any:  # the unpickler fills no other subclass of dict
        return collections.OrderedDict(args[0] if args and isinstance(args[0], Mapping) else ())


class NumpyType:
    """Stands for ``numpy.dtype``: the code of a numeric type, such as "f8"."""

    def __init__(self, code: Any = "", *flags: Any) -> None:
        self.code = code.decode("ascii") if isinstance(code, bytes) else str(code)

    def __setstate__(self, state: Any) -> None:
        if len(state) > 1 and state[1] in (">", b">"):
            self.code = ">" + self.code

    def read(self, data: Any) -> np.ndarray:
        """The values in ``data`` (bytes, or text that stands for them)."""
        dtype = np.dtype(self.code)
        if dtype.kind not in "biufcSU":
            raise ValueError(f"numpy values of type {self.code} are no numbers")
        return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, dtype)


class NumpyArray:
    """Stands for ``numpy.ndarray``."""

    def __init__(self, *how: Any) -> None:
        self.values: np.ndarray | None = None

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, column_major, data = state
        if isinstance(data, (bytes, str)):  # a list: objects, which no one needs here
            self.values = dtype.read(data).reshape(shape, order="F" if column_major else "C")


def numpy_scalar(dtype: NumpyType, data: Any = b"") -> Any:
    """Stands for ``numpy.core.multiarray.scalar``."""
    return dtype.read(data)[0].item()


def name_alone(owner: Any = None, name: Any = "", *default: Any) -> str:
    """Stands for ``getattr``, by which mmengine pickles its methods: looks nothing up."""
    return str(name)


def path_text(*parts: Any) -> str:
    """Stands for the classes of pathlib."""
    return str(pathlib.PurePosixPath(*map(str, parts)))


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
)
ITEMS = (
    "yacs.config.CfgNode",
    "fvcore.common.config.CfgNode",
    "detectron2.config.config.CfgNode",
    "addict.addict.Dict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "easydict.EasyDict",
    "ml_collections.config_dict.config_dict.ConfigDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "vissl.utils.hydra_config.AttrDict",
    "vissl.config.attr_dict.AttrDict",
    "classy_vision.generic.util.AttrDict",
    "collections.defaultdict",
)
OTHERS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (NumpyType, ("numpy.dtype",)),
    (NumpyArray, ("numpy.ndarray", "numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")),
    (numpy_scalar, ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")),
    (path_text, tuple(f"pathlib.{kind}" for kind in ("Path", "PosixPath", "WindowsPath", "PurePosixPath"))),
    (path_text, ("pathlib._local.PosixPath", "pathlib._local.WindowsPath")),  # Python 3.13
    (name_alone, ("builtins.getattr",)),
    (nothing, ("typing.Any", "omegaconf.base.SCMode", "omegaconf._utils.ValueKind")),
    (nothing, tuple(f"builtins.{kind}" for kind in ("dict", "list", "tuple", "str", "int", "float", "bool", "object"))),
)


def harmless() -> list[Any]:
    """What ``torch.serialization.safe_globals`` is to allow."""
    return [
        *((Attributes, name) for name in ATTRIBUTES),
        *((Items, name) for name in ITEMS),
        *((stand_in, name) for stand_in, names in OTHERS for name in names),
    ]


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` with stand-ins made into dictionaries, lists and numbers; tensors and modules stay as they are.

    What refers to itself is cut off: omegaconf's nodes name their parents, addict's dictionaries themselves.
    """
    if depth > _DEPTH:
        return None
    if isinstance(value, NumpyArray):
        return None if value.values is None else value.values.tolist()
    if isinstance(value, NumpyType):
        return value.code
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, torch.Tensor | str | bytes | bool | int | float) or value is None:
        return value
    if isinstance(value, Attributes) or type(value).__name__ == "Namespace":
        state = vars(value)
        inner = state.get("_content", state.get("_val", state.get("_cfg_dict", state)))  # omegaconf, mmengine
        return plain(inner, depth + 1)
    if isinstance(value, Mapping):
        return {key: plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain(inner, depth + 1) for inner in value) if type(value) in (list, tuple) else value
    return value
