"""Every setting of a run: name, type, default and meaning in one place, from which flags and recipe keys are made.

Flags use timm's names where timm has one. This module does not import torch, so that ``--help`` stays fast.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from a2mim import distributed
from a2mim.choices import FILLS, ROUNDINGS, TOKENS
from a2mim.errors import InputError
from a2mim.losses.settings import LossSettings
from a2mim.method_settings import METHODS, unused, users
from a2mim.options import COUNT, POSITIVE, SHARE, checked, option

S = TypeVar("S", bound="TrainSettings")
P = TypeVar("P", bound="PretrainSettings")


def _of_loss(name: str) -> Any:
    """A setting of the loss with the meaning, choices and range that ``LossSettings`` gives it; None: the preset's."""
    metadata = LossSettings.__dataclass_fields__[name].metadata
    return option(None, metadata["help"], metadata["choices"], metadata["between"])


@dataclass
class TrainSettings:
    """Settings that pre-training and fine-tuning share.

    ``None`` means: follows from the model, the data or another setting.
    """

    command: typing.ClassVar[str] = ""  # the command that takes these settings

    model: str | None = option(None, "Architecture by timm's name.")
    model_args: dict[str, Any] = option({}, "Argument of the architecture; may be repeated.")
    dataset: str = option("fashion", "Data set: fashion (embedded images), folder, or a name known to timm.")
    data_dir: str | None = option(None, "Folder of images: one sub-folder per class, or unlabelled images.")
    classes: str | None = option(None, "Use only these classes: imagenet100, or a file with one folder name per line.")
    class_order: str | None = option(
        None, "Number class folders by name (torchvision) or by number (timm).", ("name", "number")
    )
    value_range: tuple[float, ...] | None = option(
        None, "Values that become black and white in images with more than 8 bits: LOW,HIGH.", many=True
    )
    exif_rotate: bool = option(False, "Turn images as their EXIF orientation says.")
    img_size: int | None = option(None, "Side of the images in pixels.", between=COUNT)
    limit: int | None = option(None, "Number of training images, balanced over classes.", between=COUNT)
    batch_size: int = option(256, "Images per batch and process.", between=COUNT)
    epochs: int = option(100, "Passes over the training images.", between=COUNT)
    opt: str = option("adamw", "Optimiser by timm's name.")
    opt_betas: tuple[float, ...] = option((0.9, 0.999), "Betas of the optimiser.")
    opt_eps: float | None = option(None, "Epsilon of the optimiser (default: the optimiser's).", between=POSITIVE)
    momentum: float = option(0.9, "Momentum of SGD and similar optimisers.", between=SHARE)
    weight_decay: float = option(0.05, "Weight decay.", between=POSITIVE)
    no_decay: str = option(
        "vectors",
        "What has no weight decay: vectors (and tokens, positions), the official code's choice, or none.",
        ("vectors", "official", "none"),
    )
    lr: float | None = option(
        None, "Learning rate (default: lr_base x images per update / lr_base_size).", between=POSITIVE
    )
    lr_base: float = option(1.5e-4, "Learning rate for lr_base_size images per update.", between=POSITIVE)
    lr_base_size: int = option(256, "Denominator of the linear learning-rate rule.", between=COUNT)
    sched: str = option("cosine", "Schedule of the learning rate by timm's name: cosine, step, multistep, ...")
    decay_milestones: tuple[float, ...] = option(
        (90, 180, 270), "Epochs at which multistep lowers the rate, separated by commas.", between=POSITIVE, many=True
    )
    decay_epochs: float | None = option(None, "Epochs between two decays of step (default: 90).", between=POSITIVE)
    decay_rate: float = option(0.1, "Factor of each decay of step and multistep.", between=POSITIVE)
    warmup_epochs: float = option(10.0, "Epochs of linear warm-up.", between=POSITIVE)
    warmup_lr: float = option(1e-6, "Learning rate at the start of the warm-up.", between=POSITIVE)
    min_lr: float = option(0.0, "Learning rate at the end.", between=POSITIVE)
    clip_grad: float | None = option(None, "Largest norm of the gradient.", between=POSITIVE)
    grad_accum_steps: int = option(1, "Batches per update.", between=COUNT)
    drop_path: float = option(0.0, "Rate of stochastic depth.", between=SHARE)
    scale: tuple[float, ...] = option(
        (0.67, 1.0), "Range of the random crop's area (shares of the image).", between=SHARE
    )
    ratio: tuple[float, ...] = option((3 / 4, 4 / 3), "Range of the random crop's aspect ratio.", between=POSITIVE)
    hflip: float = option(0.5, "Probability of a horizontal flip.", between=SHARE)
    interpolation: str = option("bilinear", "Interpolation for resizing images.", ("bilinear", "bicubic", "nearest"))
    mean: tuple[float, ...] | None = option(None, "Mean of the pixels per channel (default: the data set's).")
    std: tuple[float, ...] | None = option(
        None, "Standard deviation of the pixels per channel (default: the data set's)."
    )
    amp: bool = option(False, "Automatic mixed precision; losses stay in float32.")
    amp_dtype: str = option("bfloat16", "Data type of mixed precision.", ("bfloat16", "float16"))
    channels_last: bool = option(False, "Memory format NHWC, faster for most CNNs.")
    sync_bn: bool = option(True, "Batch norm over all processes (on GPUs).")
    torchcompile: str | None = option(None, "Compile the network with this backend of torch.compile: inductor, ...")
    grad_checkpointing: bool = option(False, "Recompute activations in the backward pass: less memory, more time.")
    workers: int = option(1, "Processes that read images.", between=(0, float("inf")))
    device: str = option("auto", "Device: auto, cpu, cuda, cuda:1 or mps.")
    seed: int = option(0, "Seed of every random draw.", between=(0, float("inf")))
    log_tensorboard: bool = option(False, "Also log to TensorBoard (extra 'tensorboard').")
    log_wandb: bool = option(False, "Also log to Weights & Biases (extra 'wandb').")
    log_interval: int = option(20, "Updates between two lines of the log.", between=COUNT)
    checkpoint_hist: int = option(
        1, "Number of checkpoint-N.pth.tar files to keep beside last.pth.tar.", between=(0, float("inf"))
    )
    recovery_interval: int | None = option(None, "Updates between two saves within an epoch.", between=COUNT)

    @classmethod
    def from_values(cls: type[S], *layers: Mapping[str, Any]) -> S:
        """Settings from layers of values (recipe, flags), each value checked; later layers override earlier ones.

        ``model_args`` are joined key by key, unless a layer names another model.

        Raises:
            InputError: an unknown key (with the nearest known one), or a value of the wrong type, choice or range.
        """
        known, hints = {entry.name: entry for entry in dataclasses.fields(cls)}, typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        for layer in layers:
            if layer.get("model", values.get("model")) != values.get("model"):
                values.pop("model_args", None)
            for key, value in layer.items():
                if key not in known:
                    raise InputError(_unknown(cls, key))
                new = checked(known[key], hints[key], value)
                values[key] = {**values.get(key, {}), **new} if isinstance(new, dict) else new
        return cls(**values)

    def as_values(self) -> dict[str, Any]:
        """Plain values, as recipes hold them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    def augmentation(self) -> dict[str, Any]:
        """Keywords of ``a2mim.data.train_transform``."""
        return {name: getattr(self, name) for name in ("scale", "ratio", "hflip", "interpolation")}

    def reading(self) -> dict[str, Any]:
        """Keywords of ``a2mim.data.open_images``."""
        return {name: getattr(self, name) for name in ("classes", "class_order", "value_range", "exif_rotate")}

    def loading(self) -> dict[str, Any]:
        """Keywords of ``a2mim.data.ImageLoader`` that training and validation share."""
        own = {"rank": distributed.rank(), "world": distributed.world()}
        return {name: getattr(self, name) for name in ("batch_size", "seed", "workers")} | own

    def learning_rate(self, images_per_update: int) -> tuple[float, str]:
        """The learning rate and its derivation in words (linear scaling rule: lr_base·images / lr_base_size)."""
        if self.lr is not None:
            return self.lr, f"lr {self.lr:g} as given"
        lr = self.lr_base * images_per_update / self.lr_base_size
        return lr, f"lr {lr:.3g} = {self.lr_base:g} x {images_per_update} images per update / {self.lr_base_size}"


@dataclass
class PretrainSettings(TrainSettings):
    """Settings of ``a2mim-pretrain``; the defaults are section 5.1 and Table A1 of the paper (arXiv:2205.13943).

    The defaults of the other methods, and the settings that each uses, are in ``a2mim.method_settings``;
    ``from_values`` applies them, the constructor does not.
    """

    command = "a2mim-pretrain"

    method: str = option("a2mim", "Method of pre-training; the defaults shown here are those of a2mim.", METHODS)
    mask_layer: str = option("auto", "Site of the mask token: stage3, block5, ...; auto is that of the method's paper.")
    mask_ratio: float = option(0.6, "Share of the cells that is hidden (inpainting: of the area).", between=SHARE)
    mask_patch_size: int | None = option(
        None,
        "Side of a mask cell in pixels (default: the multiple of the stride nearest a seventh of the image).",
        between=COUNT,
    )
    mask_round: str = option("ceil", "How the number of hidden cells is rounded.", ROUNDINGS)
    fill: str = option("image-mean", "What hidden pixels are replaced with.", FILLS)
    token: str = option("add", "How the mask token changes the features.", ("auto", *TOKENS))
    gamma: float | None = option(None, "Initial value of the learnable scale of features under a replacing token.")
    gamma_lr_scale: float | None = option(
        None, "Learning rate of gamma relative to the others (default: 0.1).", between=POSITIVE
    )
    gamma_weight_decay: bool | None = option(None, "Weight decay on gamma (default: no).")
    mask_token_lr_scale: float | None = option(
        None, "Learning rate of the token relative to the others (default: 0.1 for CNNs, else 1).", between=POSITIVE
    )
    loss: str = option("paper", "Preset of the loss: paper, official-resnet50, official-vit, simmim, inpainting, ...")
    loss_spa: str | None = _of_loss("loss_spa")
    loss_freq: str | None = _of_loss("loss_freq")
    freq_lambda: float | None = _of_loss("freq_lambda")
    freq_blend: str | None = _of_loss("freq_blend")
    freq_visible_weight: float | None = _of_loss("freq_visible_weight")
    freq_weight: str | None = _of_loss("freq_weight")
    freq_alpha: float | None = _of_loss("freq_alpha")
    freq_log: bool | None = _of_loss("freq_log")
    freq_max: str | None = _of_loss("freq_max")
    freq_ave_spectrum: bool | None = _of_loss("freq_ave_spectrum")
    freq_norm: str | None = _of_loss("freq_norm")
    moco_temperature: float | None = option(
        None,
        "Temperature of mocov3 (default: 0.2 with a patch embedding, else 1).",
        between=(1e-3, float("inf")),
    )
    moco_momentum: float = option(
        0.99, "Momentum of mocov3's keys at the start; it rises to 1 as a cosine.", between=SHARE
    )
    moco_dim: int = option(256, "Width of mocov3's queries and keys.", between=COUNT)
    moco_mlp_dim: int = option(4096, "Width of the hidden layers of mocov3's projector and predictor.", between=COUNT)
    freeze_patch_embed: bool | None = option(
        None, "Freeze the patch embedding at its random start (default: yes in mocov3, if there is one)."
    )
    pretrained: bool = option(False, "Start from timm's weights of that name.")
    picture_interval: int = option(
        5, "Epochs between two pictures of reconstructions; 0 draws none.", between=(0, float("inf"))
    )

    @classmethod
    def from_values(cls: type[P], *layers: Mapping[str, Any]) -> P:
        """As in ``TrainSettings``, on top of the defaults of the method that the layers name.

        A layer that names another method than the layers before it drops the settings that only the old method uses
        and those that define the new method (its table of defaults). After that layer, a setting that the method does
        not use is refused.

        Raises:
            InputError: also a setting that the method does not use.
        """
        name, start = cls.method, 0
        for number, layer in enumerate(layers):
            if (layer.get("method") or name) != name:
                name, start = layer["method"], number
        if name not in METHODS:
            return super().from_values(*layers)  # which refuses it
        defaults, ignored = METHODS[name].defaults, unused(name)
        for key, value in itertools.chain(*(layer.items() for layer in layers[start:])):
            if key in ignored and value is not None:
                raise InputError(f"method {name} does not use {key} (given: {value}); it is for {users(key)}")
        aside = ignored | (defaults.keys() if start else set())
        lower = [{key: value for key, value in layer.items() if key not in aside} for layer in layers[:start]]
        settings = super().from_values(defaults, *lower, *layers[start:])
        if settings.gamma is None and (settings.gamma_lr_scale, settings.gamma_weight_decay) != (None, None):
            raise InputError("gamma_lr_scale and gamma_weight_decay need gamma; set gamma, for example 1e-6")
        return settings

    def as_values(self) -> dict[str, Any]:
        """Plain values, as recipes hold them; without those that the method does not use."""
        ignored = unused(self.method)
        values = {"method": self.method, **super().as_values()}
        return {key: value for key, value in values.items() if key not in ignored}

    def loss_changes(self) -> dict[str, Any]:
        """Settings of the loss that were given and so override the preset's."""
        given = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(LossSettings)}
        return {name: value for name, value in given.items() if value is not None}


@dataclass
class FinetuneSettings(TrainSettings):
    """Settings of ``a2mim-finetune``; the defaults are the DeiT column of Table A2, without mixing of images."""

    command = "a2mim-finetune"

    from_scratch: bool = option(False, "Use the architecture of the checkpoint with random weights.")
    linear: bool = option(False, "Train only the classifier on the frozen encoder (linear probing).")
    lr_base: float = option(2.5e-4, "Learning rate for lr_base_size images per update.", between=POSITIVE)
    warmup_epochs: float = option(5.0, "Epochs of linear warm-up.", between=POSITIVE)
    layer_decay: float | None = option(None, "Learning rate of each layer relative to the one above it.", between=SHARE)
    smoothing: float = option(0.1, "Label smoothing.", between=(0, 0.999))
    bce_loss: bool = option(False, "Binary cross-entropy per class instead of cross-entropy.")
    bce_target_thresh: float | None = option(
        None, "With bce_loss: targets above this become 1, the others 0 (default: unchanged).", between=SHARE
    )
    mixup: float = option(0.0, "Alpha of Mixup; 0 is off.", between=POSITIVE)
    cutmix: float = option(0.0, "Alpha of CutMix; 0 is off.", between=POSITIVE)
    mixup_prob: float = option(1.0, "Share of the batches that are mixed.", between=SHARE)
    mixup_switch_prob: float = option(0.5, "Share of CutMix if Mixup is also on.", between=SHARE)
    mixup_mode: str = option("batch", "What shares one random draw of the mixing.", ("batch", "pair", "elem"))
    scale: tuple[float, ...] = option(
        (0.08, 1.0), "Range of the random crop's area (shares of the image).", between=SHARE
    )
    train_interpolation: str | None = option(
        None,
        "Interpolation for training images (default: interpolation).",
        ("random", "bilinear", "bicubic", "nearest"),
    )
    aa: str | None = option(None, "Random augmentation by timm's name: rand-m9-mstd0.5-inc1, ...")
    color_jitter: float | None = option(None, "Strength of colour jitter; only without aa.")
    reprob: float = option(0.0, "Probability of random erasing.", between=SHARE)
    remode: str = option("pixel", "What erased pixels are replaced with.", ("const", "rand", "pixel"))
    recount: int = option(1, "Largest number of erased blocks.", between=COUNT)
    aug_repeats: int = option(
        1, "Repeats of each image per epoch (the epoch then has 1/N of the images).", between=COUNT
    )
    model_ema: bool = option(False, "Keep, evaluate and save a moving average of the weights.")
    model_ema_decay: float = option(0.9998, "Decay of the moving average.", between=SHARE)
    model_ema_warmup: bool = option(False, "Increase the decay of the moving average from 0 (timm's rule).")
    model_ema_warmup_epochs: float = option(
        0.0, "Epochs in which the decay rises linearly from 0.9 of itself; 0 is off.", between=POSITIVE
    )
    crop_pct: float = option(0.875, "Share of the side that the test crop keeps.", between=SHARE)
    test_img_size: int | None = option(
        None, "Side of the validation images in pixels (default: img_size).", between=COUNT
    )
    val_interval: int = option(1, "Epochs between two evaluations; the last epoch is always evaluated.", between=COUNT)
    knn: bool = option(False, "Train nothing: classify by nearest neighbours of the encoder's features.")
    knn_k: int = option(20, "Number of neighbours that vote.", between=COUNT)
    knn_temperature: float = option(0.07, "Temperature of the neighbours' votes.", between=(1e-3, float("inf")))

    def augmentation(self) -> dict[str, Any]:
        changed = {
            "interpolation": self.train_interpolation or self.interpolation,
            "auto_augment": self.aa,
            "color_jitter": self.color_jitter,
            "re_prob": self.reprob,
            "re_mode": self.remode,
            "re_count": self.recount,
        }
        return {**super().augmentation(), **changed}


def _unknown(kind: type[TrainSettings], key: object) -> str:
    """The error for a key that ``kind`` does not have: it belongs to the other command, or is misspelt."""
    for other in TrainSettings.__subclasses__():
        if any(entry.name == key for entry in dataclasses.fields(other)):
            return f"setting '{key}' belongs to {other.command}, not to {kind.command}"
    near = difflib.get_close_matches(str(key), [entry.name for entry in dataclasses.fields(kind)], n=1)
    return f"unknown setting '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
