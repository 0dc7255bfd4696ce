"""A network as a target of ``convert`` sees it: its sizes, its tensors, and whether the sizes tell all it computes.

The sizes are compared with what a target has (``Network.require``). A network that computes something that its sizes do
not tell (another activation, norm or pooling) is refused (``Network.of``), and what a target opens is compared with
the network by its outputs (``verified``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from a2mim.checkpoint import architectures, families, fitting
from a2mim.checkpoint.files.globs import fits
from a2mim.checkpoint.files.storage import State
from a2mim.checkpoint.report import LoadReport
from a2mim.encoders.build import build_encoder
from a2mim.errors import InputError

FAMILIES = {
    "VisionTransformer": "vit",
    "VisionTransformerDistilled": "vit",
    "Beit": "beit",
    "SwinTransformer": "swin",
    "ConvNeXt": "convnext",
    "ResNet": "resnet",
}
CLASSIFIERS = {"vit": "head.", "beit": "head.", "swin": "head.fc.", "convnext": "head.fc.", "resnet": "fc."}
TOLERANCE = 1e-5  # of outputs, relative to the largest, where the same is computed
TOLERANCE_EPS = 1e-2  # where another eps of LayerNorm is added to the variances


@dataclass(frozen=True)
class Network:
    """A network as a target sees it: sizes (``architectures``), tensors by timm's names, the classifier's apart."""

    model: nn.Module
    report: LoadReport
    family: str
    sizes: Mapping[str, Any]
    encoder: State
    classifier: State

    @classmethod
    def of(cls, model: nn.Module, report: LoadReport, target: str) -> Network:
        """The network of a timm model.

        Raises:
            InputError: a family unknown here, or a network that computes what its sizes do not tell.
        """
        family = FAMILIES.get(type(model).__name__)
        if family is None:
            raise InputError(f"{target} has no {report.arch}; it takes ViT, BEiT, Swin, ConvNeXt and ResNet at most")
        state = {name: value.detach() for name, value in model.state_dict().items()}
        heads = (CLASSIFIERS[family], "head_dist.")
        encoder = {name: value for name, value in state.items() if not name.startswith(heads)}
        hints = {**architectures.hints_of(model), "img_size": _img_size(model)}
        found = architectures.infer(family, encoder, hints)
        shapes = {name: value.shape for name, value in state.items()}
        sizes = families.FAMILIES[family].describe(shapes, hints, [])
        with fitting.without_weights():
            twin, _ = build_encoder(found.arch, found.model_args, num_classes=report.num_classes)
        alike = {name: value.shape for name, value in twin.state_dict().items()} == shapes
        if not alike or not difference(model, _filled(twin, model), report.input_size) <= TOLERANCE:
            raise InputError(
                f"{report.arch} computes something that the sizes of its layers do not tell (another activation, "
                f"normalisation or pooling), so that it cannot be written for {target}"
            )
        classifier = {name: value for name, value in state.items() if name not in encoder}
        return cls(model, report, family, sizes, encoder, classifier)

    def require(self, target: str, **sizes: Any) -> None:
        """Raise InputError unless the sizes have these values; a tuple lists several that will do."""
        for key, wanted in sizes.items():
            if self.sizes.get(key) not in (wanted if isinstance(wanted, tuple) else (wanted,)):
                raise InputError(f"{target} cannot express {key}={self.sizes.get(key)} of this {self.report.arch}")

    def require_one_window(self, target: str) -> None:
        """Raise InputError for a Swin with a smaller window in a stage whose maps are smaller than the others'."""
        tables = {value.shape[0] for name, value in self.encoder.items() if name.endswith("position_bias_table")}
        if len(tables) > 1:
            raise InputError(
                f"{target}'s Swin has one window size; this one has a smaller one where its maps are small"
            )

    def eps(self, globs: tuple[str, ...] = ("*",), others: float | None = None) -> float:
        """The one eps of the LayerNorms whose names fit; those of the others have to be ``others``."""
        norms = {name: norm.eps for name, norm in self.model.named_modules() if isinstance(norm, nn.LayerNorm)}
        own = {eps for name, eps in norms.items() if fits(name, globs)}
        if len(own) > 1 or {eps for name, eps in norms.items() if not fits(name, globs)} - {others}:
            raise InputError(
                f"the LayerNorms of this {self.report.arch} have several eps: {sorted(set(norms.values()))}"
            )
        return own.pop()


def _filled(twin: nn.Module, model: nn.Module) -> nn.Module:
    """``twin`` with the weights of ``model``, not copied, and the eps of its LayerNorms."""
    fitting.assign(twin, dict(model.state_dict()))
    norms = {name: norm for name, norm in twin.named_modules() if isinstance(norm, nn.LayerNorm)}
    for name, norm in model.named_modules():
        if isinstance(norm, nn.LayerNorm) and name in norms:
            norms[name].eps = norm.eps
    return twin


def difference(one: nn.Module, other: nn.Module, input_size: Sequence[int]) -> float:
    """Largest difference of two models' outputs for a random image, relative to the largest output."""
    image = torch.randn(1, *input_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        first, second = (model.eval()(image) for model in (one, other))
    if first.shape != second.shape:
        return float("inf")
    return float((first - second).abs().max() / first.abs().max().clamp_min(1e-12))


def verified(model: nn.Module, opened: nn.Module, report: LoadReport, target: str) -> tuple[str, ...]:
    """A line on the difference between the model and what the target opens, if there is any.

    Raises:
        InputError: they compute different things.
    """
    found = difference(model, opened, report.input_size)
    eps = [{norm.eps for norm in net.modules() if isinstance(norm, nn.LayerNorm)} for net in (model, opened)]
    if not found <= (TOLERANCE if eps[0] == eps[1] else TOLERANCE_EPS):
        raise InputError(f"{target} computes something else with these weights (outputs differ by {found:.1%})")
    if eps[0] == eps[1]:
        return ()
    theirs, ours = (" and ".join(f"{value:g}" for value in sorted(values)) for values in eps)
    return (f"LayerNorm: eps {theirs} in the source, {ours} in {target}; outputs differ by {100 * found:.1g} %",)


def _img_size(model: nn.Module) -> int | list[int] | None:
    size = getattr(getattr(model, "patch_embed", None), "img_size", None)
    return size[0] if size and size[0] == size[1] else list(size) if size else None
