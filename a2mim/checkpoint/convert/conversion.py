"""Writing a checkpoint as another library's own: ``a2mim-checkpoint convert``.

Any file that the loader reads becomes a timm model first; a target then takes the dialect through which the loader
reads that library's files and reads it backwards. What a target cannot express is refused with the reason
(``network``).
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from a2mim import files
from a2mim.checkpoint import fitting
from a2mim.checkpoint.convert import openmmlab, torchvision, transformers
from a2mim.checkpoint.convert.network import Network, verified
from a2mim.checkpoint.files.storage import State
from a2mim.checkpoint.loader import load_encoder
from a2mim.checkpoint.names.dialects import Dialect, Rename, from_timm
from a2mim.checkpoint.report import LoadReport
from a2mim.encoders.build import build_encoder
from a2mim.errors import InputError


def convert(
    path: str | os.PathLike[str],
    to: str,
    output: str | os.PathLike[str],
    *,
    arch: str | None = None,
    model_args: Mapping[str, Any] | None = None,
    which: str | None = None,
    trust: bool = False,
    force: bool = False,
) -> tuple[str, ...]:
    """Write the network of a checkpoint in the form of another library.

    Args:
        path, arch, model_args, which, trust: as for ``load_encoder``.
        to: key of ``TARGETS``.
        output: the file, or the folder for ``hf`` and for ``timm`` without a suffix.
        force: replace what is there.

    Returns:
        Lines for the user: what was written, how the target opens it, what to mind.

    Raises:
        InputError: what ``load_encoder`` raises, a network that the target cannot express, or an output that exists.
    """
    if to not in TARGETS:
        raise InputError(f"no target '{to}'; there are: {', '.join(TARGETS)}")
    target, output = TARGETS[to], Path(output)
    target.check(output, force)
    model, report = load_encoder(path, arch, model_args, which=which, trust=trust)
    return target.write(model, report, output)


# --- writing files ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    """A library that convert writes for: what its files may be called ("" is a folder), and what writes them."""

    suffixes: tuple[str, ...]
    write: Callable[[nn.Module, LoadReport, Path], tuple[str, ...]]

    def check(self, output: Path, force: bool) -> None:
        """Raise InputError for a name that the target does not take, or one that is taken."""
        if output.suffix not in self.suffixes and (output.suffix in _WEIGHTS or "" not in self.suffixes):
            names = [f"a file *{suffix}" if suffix else "a folder" for suffix in self.suffixes]
            raise InputError(f"'{output}' has to be {' or '.join(names)}")
        if output.exists() and output.is_dir() != self.is_folder(output):
            raise InputError(f"{output} is a {'folder' if output.is_dir() else 'file'} already")
        empty = output.is_dir() and not any(output.iterdir())
        if output.exists() and not force and not empty:
            raise InputError(f"{output} is there already; --force replaces it")

    @staticmethod
    def is_folder(output: Path) -> bool:
        return output.suffix not in _WEIGHTS


_WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".pkl", ".tar")


def _write(output: Path, state: Mapping[str, torch.Tensor], around: Mapping[str, Any] | None = None) -> None:
    """Write tensors, each as its own copy (a view would be written with all that it was cut from)."""
    own = {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}
    with files.atomic(output) as partial:
        if output.suffix == ".safetensors":
            safetensors.torch.save_file(own, partial, metadata={"format": "pt"})
        elif output.suffix == ".pkl":
            arrays = {name: value.numpy() for name, value in own.items()}
            partial.write_bytes(pickle.dumps({**(around or {}), "model": arrays}))
        else:
            torch.save({**around, "state_dict": own} if around else own, partial)


# --- targets ----------------------------------------------------------------------------------------------------------


def _to_timm(model: nn.Module, report: LoadReport, output: Path) -> tuple[str, ...]:
    with fitting.without_weights():
        again, args = build_encoder(report.arch, report.model_args, num_classes=report.num_classes)
    fitting.assign(again, dict(model.state_dict()))
    notes = verified(model, again, report, "timm")
    given = "".join(f", {key}={value!r}" for key, value in {"num_classes": report.num_classes, **args}.items())
    if not Target.is_folder(output):
        _write(output, model.state_dict())
        return (f"timm.create_model({report.arch!r}, checkpoint_path={str(output)!r}{given})", *notes)
    known: Any = model
    keep = ("input_size", "fixed_input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
    cfg = {key: known.default_cfg[key] for key in (*keep, "first_conv", "classifier") if key in known.default_cfg}
    config = {
        "architecture": report.arch.split(".")[0],
        "num_classes": report.num_classes,
        "num_features": known.num_features,
        "model_args": args,
        **({"label_names": list(report.classes)} if report.classes else {}),
        "pretrained_cfg": {**cfg, "num_classes": report.num_classes, "custom_load": False},
    }
    _write(output / "model.safetensors", model.state_dict())
    files.write_json(output / "config.json", config)
    return (f"timm.create_model({'local-dir:' + str(output)!r}, pretrained=True)", *notes)


def _to_torchvision(model: nn.Module, report: LoadReport, output: Path) -> tuple[str, ...]:
    network = Network.of(model, report, "torchvision")
    plan = torchvision.plan(network)
    opened = plan.model
    if not network.classifier:
        opened.set_submodule(plan.classifier, nn.Identity())
    state = {**network.encoder, **network.classifier}
    state = {**_buffers(opened), **(from_timm(plan.dialect, state) if plan.dialect else state)}
    opened.load_state_dict(state, strict=True)
    notes = verified(model, opened, report, "torchvision")
    _write(output, state)
    if not network.classifier:
        notes = (f"model.set_submodule({plan.classifier!r}, torch.nn.Identity())  # there is no classifier", *notes)
    return (f"model = {plan.call}", *notes, f"model.load_state_dict({_opener(output)})", _images(report))


def _opener(output: Path) -> str:
    module = "safetensors.torch.load_file" if output.suffix == ".safetensors" else "torch.load"
    return f"{module}({str(output)!r})"


def _buffers(model: nn.Module) -> State:
    """Index tables, which torchvision saves and no file of timm's has."""
    return {name: value for name, value in model.named_buffers() if name.endswith("relative_position_index")}


def _to_hugging_face(model: nn.Module, report: LoadReport, output: Path) -> tuple[str, ...]:
    network = Network.of(model, report, "transformers")
    plan = transformers.plan(network)
    inner = {**from_timm(plan.dialect, network.encoder), **plan.extra}
    if inner.keys() & network.encoder.keys():
        raise InputError(f"transformers has no {', '.join(sorted(inner.keys() & network.encoder.keys()))}")
    whole = bool(network.classifier)
    state = {f"{plan.kind}.{name}" if whole else name: value for name, value in inner.items()}
    for ours, theirs in plan.classifiers.items():
        state |= {
            theirs + name[len(ours) :]: value for name, value in network.classifier.items() if name.startswith(ours)
        }
    kind = (plan.whole or f"{plan.name}ForImageClassification") if whole else f"{plan.name}Model"
    _write(output / "model.safetensors", state)
    files.write_json(
        output / "preprocessor_config.json",
        transformers.preprocessor(report.input_size, report.mean, report.std),
    )
    files.write_json(output / "config.json", transformers.config(plan, kind, report))
    auto = "AutoModelForImageClassification" if whole else "AutoModel"
    pooler = () if whole or plan.kind not in ("vit", "deit") else ("its pooler is new: take last_hidden_state",)
    return (f"transformers.{auto}.from_pretrained({str(output)!r}), a {kind}", *pooler)


_RES = "res{i+1}.{j}"
# for writing only: in detectron2's files the order of channels (mostly BGR) and the place of the stride (mostly the 1x1
# convolution) are in no name and no shape, so that reading them by these names would go wrong in silence
DETECTRON2 = Dialect(
    "detectron2 ResNet",
    "resnet",
    has=("stem.conv1.weight", "res2.0.conv1.weight"),
    rules=(
        Rename("stem.conv1.norm", "bn1"),
        Rename("stem.conv1", "conv1"),
        *(Rename(f"{_RES}.conv{at}.norm", f"layer{{i}}.{{j}}.bn{at}") for at in (1, 2, 3)),
        *(Rename(f"{_RES}.conv{at}", f"layer{{i}}.{{j}}.conv{at}") for at in (1, 2, 3)),
        Rename(f"{_RES}.shortcut.norm", "layer{i}.{j}.downsample.1"),
        Rename(f"{_RES}.shortcut", "layer{i}.{j}.downsample.0"),
    ),
)


def _to_detectron2(model: nn.Module, report: LoadReport, output: Path) -> tuple[str, ...]:
    network = Network.of(model, report, "detectron2")
    if network.family != "resnet":
        raise InputError(f"detectron2's R50 pickle is for a ResNet, and this is a {report.arch}")
    network.require("detectron2", stem_type="", avg_down=False, in_chans=3)
    sizes, first = network.sizes, network.sizes["channels"][0]
    depth = openmmlab.RESNETS.get((sizes["bottleneck"], tuple(sizes["layers"])))
    if depth is None or sizes["channels"] != [first * 2**stage for stage in range(4)]:
        raise InputError(
            "detectron2 has ResNets of 18, 34, 50, 101 and 152 layers, each stage twice as wide; not this one"
        )
    state = {name: value for name, value in network.encoder.items() if not name.endswith("num_batches_tracked")}
    config = {
        "MODEL.PIXEL_MEAN": [round(255 * value, 3) for value in report.mean],
        "MODEL.PIXEL_STD": [round(255 * value, 3) for value in report.std],
        "MODEL.RESNETS.DEPTH": depth,
        "MODEL.RESNETS.STRIDE_IN_1X1": False,
        "MODEL.RESNETS.NUM_GROUPS": sizes["cardinality"],
        "MODEL.RESNETS.WIDTH_PER_GROUP": sizes["base_width"],
        "MODEL.RESNETS.RES2_OUT_CHANNELS": first * (4 if sizes["bottleneck"] else 1),
        "INPUT.FORMAT": "RGB",
    }
    # names are matched by their ends, since a detector has them under backbone.bottom_up
    around = {"__author__": "a2mim", "matching_heuristics": True, "config": config}
    _write(output, from_timm(DETECTRON2, state), around)
    lost = ("the classifier is left out",) if network.classifier else ()
    return (f"MODEL.WEIGHTS: {output}", *(f"{key}: {value}" for key, value in config.items()), *lost)


def _to_openmmlab(model: nn.Module, report: LoadReport, output: Path) -> tuple[str, ...]:
    network = Network.of(model, report, "OpenMMLab")
    plan = openmmlab.plan(network)
    meta = {"dataset_meta": {"classes": report.classes}} if report.classes else {}
    _write(output, plan.state_dict(network), {"meta": {"source": "a2mim-checkpoint convert", **meta}})
    mean, std = ([round(255 * value, 3) for value in values] for values in (report.mean, report.std))
    images = f"data_preprocessor=dict(mean={mean}, std={std}, to_rgb=True)"
    return (*plan.lines(network), images, f"load_from={str(output)!r}")


def _images(report: LoadReport) -> str:
    mean, std = (", ".join(f"{value:g}" for value in values) for values in (report.mean, report.std))
    return f"images: {'x'.join(map(str, report.input_size))}, 0 to 1, less the mean ({mean}), by the std ({std})"


TARGETS: Mapping[str, Target] = {
    "timm": Target(("", ".safetensors", ".pth", ".pt", ".bin"), _to_timm),
    "torchvision": Target((".pth", ".pt", ".safetensors"), _to_torchvision),
    "hf": Target(("",), _to_hugging_face),
    "detectron2": Target((".pkl",), _to_detectron2),
    "openmmlab": Target((".pth",), _to_openmmlab),
}
