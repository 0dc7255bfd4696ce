"""A method of pre-training: a task of the engine that is built from settings."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import nn

from a2mim.data import train_transform
from a2mim.encoders.build import build_encoder, default_img_size
from a2mim.encoders.sources import architecture
from a2mim.settings import PretrainSettings
from a2mim.training import engine
from a2mim.training.optimisation import create_optimizer

DEFAULT_MODEL = "vit_small_patch16_224"  # the smaller of the paper's two ViTs


class Encoder(NamedTuple):
    """A timm model, its name and arguments, and the size (H, W) of its images in pixels."""

    module: nn.Module
    arch: str
    model_args: dict[str, Any]
    img_size: tuple[int, int]


class Method(engine.BaseTask):
    """A method of pre-training.

    Args:
        model: from ``create_model``, on its device.
        settings: from ``resolved``.
        lr: learning rate.
        updates: number of updates of the whole run.

    The settings that it uses, and its defaults, are in ``a2mim.method_settings``.
    """

    best_metric = None  # a lower loss is not a better encoder (section 3.3)
    model: Any

    def __init__(self, model: nn.Module, settings: PretrainSettings, lr: float, updates: int):
        self.model, self.settings, self.updates = model, settings, updates
        scales, decays = self.lr_scales(), self.decays()
        self.optimizer: torch.optim.Optimizer = create_optimizer(model, settings, lr, lr_scales=scales, decays=decays)

    @classmethod
    @abstractmethod
    def create_model(cls, settings: PretrainSettings, native_size: int | None) -> Any:
        """The model with random weights; ``native_size`` is the side of the images if no other is given.

        Raises:
            InputError: settings that this method cannot use.
        """

    @classmethod
    def resolved(cls, settings: PretrainSettings, model: Any) -> PretrainSettings:
        """The settings with None and auto replaced by what follows from the model."""
        return dataclasses.replace(settings, model=model.arch, model_args=model.model_args, img_size=model.img_size[0])

    @classmethod
    def transform(cls, settings: PretrainSettings, model: Any) -> Callable[[Image.Image], torch.Tensor]:
        """From a picture to the tensor that ``loss`` takes."""
        return train_transform(model.img_size, model.mean, model.std, **settings.augmentation())

    @abstractmethod
    def summary(self) -> str:
        """One line about what is trained."""

    def remarks(self, given: PretrainSettings) -> list[str]:
        """Lines that a user should read before the training starts; ``given``: the settings as they were given."""
        return []

    def lr_scales(self) -> dict[str, float]:
        """Learning rates of single parameters relative to the others, by name."""
        return {}

    def decays(self) -> dict[str, bool]:
        """Whether single parameters have weight decay, by name; overrides the general rule."""
        return {}

    def describe(self) -> dict[str, Any]:
        model = self.model
        return {
            "kind": "pretrain",
            "method": self.settings.method,
            "arch": model.arch,
            "model_args": model.model_args,
            "num_classes": 0,
            "input_size": [3, *model.img_size],
            "mean": list(model.mean),
            "std": list(model.std),
            "state_dict": model.state_dict(),
        }


def create_encoder(settings: PretrainSettings, native_size: int | None) -> Encoder:
    """The encoder of the settings, without a classifier.

    Raises:
        InputError: no such architecture, or arguments that it does not take.
    """
    args = dict(settings.model_args)
    if settings.drop_path:
        args["drop_path_rate"] = settings.drop_path
    arch = settings.model or DEFAULT_MODEL
    plain, arguments = architecture(arch, settings.model_args)  # without the folder or repository
    size = settings.img_size or args.get("img_size") or native_size
    given = (size, size) if isinstance(size, int) else tuple(size) if size else None
    module, args = build_encoder(arch, args, img_size=given, pretrained=settings.pretrained)
    if settings.drop_path:  # of the training, not of the architecture
        del args["drop_path_rate"]
    height, width = given or default_img_size(module)
    return Encoder(module, plain, {**arguments, **args}, (height, width))
