"""Every setting of a run: name, type, default and meaning in one place, from which flags and recipe keys are made.

Flags take timm's names where timm has one. This module imports no torch, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from a2mim import distributed
from a2mim.errors import InputError

S = TypeVar("S", bound="TrainSettings")
P = TypeVar("P", bound="PretrainSettings")


def option(
    default: Any,
    meaning: str,
    choices: Iterable[str] = (),
    between: tuple[float, float] | None = None,
    *,
    many: bool = False,
) -> Any:
    """A field with its meaning, its choices, the range of its values, and whether it takes as many as one gives."""
    metadata = {"help": meaning, "choices": tuple(choices), "between": between, "many": many}
    if default == {}:
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


METHODS = ("a2mim", "simmim", "inpainting", "mocov3")
FILLS = ("image-mean", "visible-mean", "dataset-mean", "zero", "black", "blur", "noise")
ROUNDINGS = ("ceil", "floor", "nearest")
COUNT, SHARE, POSITIVE = (1, float("inf")), (0, 1), (0, float("inf"))


@dataclass
class TrainSettings:
    """What pre-training and fine-tuning share. ``None`` means: follows from the model, the data or another setting."""

    command: typing.ClassVar[str] = ""  # that takes these settings

    model: str | None = option(None, "timm architecture")
    model_args: dict[str, Any] = option({}, "arguments of the architecture, KEY=VALUE, once for each")
    dataset: str = option(
        "fashion", "'fashion' (embedded images), 'folder', or a name that timm's create_dataset knows"
    )
    data_dir: str | None = option(None, "folder of images: one sub-folder for each class, or without labels, flat")
    classes: str | None = option(
        None, "these classes of an image folder alone: 'imagenet100', or a file with one name of a sub-folder a line"
    )
    img_size: int | None = option(None, "side of the images in pixels", between=COUNT)
    limit: int | None = option(None, "train on so many images only, as many of each class as can be", between=COUNT)
    batch_size: int = option(256, "images in a batch of one process", between=COUNT)
    epochs: int = option(100, "passes over the training images", between=COUNT)
    opt: str = option("adamw", "optimiser, by timm's name")
    opt_betas: tuple[float, ...] = option((0.9, 0.999), "betas of the optimiser")
    opt_eps: float | None = option(None, "epsilon of the optimiser; default: its own", between=POSITIVE)
    momentum: float = option(0.9, "momentum of SGD and its kin", between=SHARE)
    weight_decay: float = option(0.05, "weight decay", between=POSITIVE)
    no_decay: str = option(
        "vectors",
        "what is not decayed: vectors, biases, tokens and position embeddings, or the names of the authors' code",
        ("vectors", "official"),
    )
    lr: float | None = option(
        None, "learning rate; without it lr = lr_base x images per update / lr_base_size", between=POSITIVE
    )
    lr_base: float = option(1.5e-4, "learning rate for lr_base_size images per update", between=POSITIVE)
    lr_base_size: int = option(256, "denominator of the linear learning-rate rule", between=COUNT)
    sched: str = option("cosine", "schedule of the learning rate, by timm's name: cosine, step, multistep, ...")
    decay_milestones: tuple[float, ...] = option(
        (90, 180, 270), "epochs at which 'multistep' decays, divided by commas", between=POSITIVE, many=True
    )
    decay_epochs: float | None = option(None, "epochs between two decays of 'step'; default 90", between=POSITIVE)
    decay_rate: float = option(0.1, "factor of each decay of 'step' and 'multistep'", between=POSITIVE)
    warmup_epochs: float = option(10.0, "epochs of linear warm-up", between=POSITIVE)
    warmup_lr: float = option(1e-6, "learning rate at the start of the warm-up", between=POSITIVE)
    min_lr: float = option(0.0, "learning rate at the end", between=POSITIVE)
    clip_grad: float | None = option(None, "clip the norm of the gradient", between=POSITIVE)
    grad_accum_steps: int = option(1, "batches for each update", between=COUNT)
    drop_path: float = option(0.0, "stochastic depth", between=SHARE)
    scale: tuple[float, ...] = option((0.67, 1.0), "area of the random crop, as shares of the image", between=SHARE)
    ratio: tuple[float, ...] = option((3 / 4, 4 / 3), "aspect ratio of the random crop", between=POSITIVE)
    hflip: float = option(0.5, "probability of a horizontal flip", between=SHARE)
    interpolation: str = option("bilinear", "how images are resized", ("bilinear", "bicubic", "nearest"))
    mean: tuple[float, ...] | None = option(
        None, "mean of the pixels, one number for each channel; default: the data set's"
    )
    std: tuple[float, ...] | None = option(None, "standard deviation of the pixels; default: the data set's")
    amp: bool = option(False, "automatic mixed precision; losses stay in float32")
    amp_dtype: str = option("bfloat16", "type of mixed precision", ("bfloat16", "float16"))
    channels_last: bool = option(False, "memory format NHWC, faster for most CNNs")
    sync_bn: bool = option(True, "batch norm over all processes (on GPUs); one process needs none")
    torchcompile: str | None = option(None, "compile the network by this backend of torch.compile: inductor, ...")
    grad_checkpointing: bool = option(False, "compute activations again in the backward pass: less memory, more time")
    workers: int = option(1, "processes that read images", between=(0, float("inf")))
    device: str = option("auto", "auto, cpu, cuda, cuda:1, mps")
    seed: int = option(0, "of everything that is drawn", between=(0, float("inf")))
    log_tensorboard: bool = option(False, "write the numbers for TensorBoard too (extra 'tensorboard')")
    log_wandb: bool = option(False, "send the numbers to Weights & Biases too (extra 'wandb')")
    log_interval: int = option(20, "updates between two lines of the log", between=COUNT)
    checkpoint_hist: int = option(
        1, "how many checkpoint-N.pth.tar to keep beside last.pth.tar", between=(0, float("inf"))
    )
    recovery_interval: int | None = option(None, "updates between two saves within an epoch", between=COUNT)

    @classmethod
    def from_values(cls: type[S], *layers: Mapping[str, Any]) -> S:
        """Settings from layers of values (recipe, flags), the later over the earlier; each value checked and converted.

        ``model_args`` are joined key by key, as long as the layers mean the same model.

        Raises:
            InputError: an unknown key (with the nearest known), or a value of the wrong type, choice or range.
        """
        known = {entry.name: entry for entry in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        for layer in layers:
            if layer.get("model", values.get("model")) != values.get("model"):
                values.pop("model_args", None)
            for key, value in layer.items():
                if key not in known:
                    raise InputError(_unknown(cls, key))
                checked = _checked(known[key], typing.get_type_hints(cls)[key], value)
                values[key] = {**values.get(key, {}), **checked} if isinstance(checked, dict) else checked
        return cls(**values)

    def as_values(self) -> dict[str, Any]:
        """Plain values, as recipes hold them."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in vars(self).items()}

    def augmentation(self) -> dict[str, Any]:
        """Keywords of ``a2mim.data.train_transform``."""
        return {name: getattr(self, name) for name in ("scale", "ratio", "hflip", "interpolation")}

    def loading(self) -> dict[str, Any]:
        """Keywords of ``a2mim.data.ImageLoader`` that training and validation share."""
        own = {"rank": distributed.rank(), "world": distributed.world()}
        return {name: getattr(self, name) for name in ("batch_size", "seed", "workers")} | own

    def learning_rate(self, images_per_update: int) -> tuple[float, str]:
        """The learning rate, and how it came about in words (linear scaling rule: lr_base·images / lr_base_size)."""
        if self.lr is not None:
            return self.lr, f"lr {self.lr:g} as given"
        lr = self.lr_base * images_per_update / self.lr_base_size
        return lr, f"lr {lr:.3g} = {self.lr_base:g} x {images_per_update} images per update / {self.lr_base_size}"


@dataclass
class PretrainSettings(TrainSettings):
    """Settings of ``a2mim-pretrain``; the defaults are section 5.1 and Table A1 of the paper.

    The defaults of the other methods, and which settings each uses, stand in ``a2mim/methods``; ``from_values`` puts
    them in, the constructor does not.
    """

    command = "a2mim-pretrain"

    method: str = option(
        "a2mim",
        "what the pre-training is; the defaults shown are those of a2mim, the others have some of their own",
        METHODS,
    )
    mask_layer: str = option(
        "auto", "site of the mask token: stage3, block5, ...; auto = the one of the method's paper"
    )
    mask_ratio: float = option(0.6, "share of the cells that is hidden; of the area in inpainting", between=SHARE)
    mask_patch_size: int | None = option(
        None, "pixels of a mask cell; default 32 at 224, about a seventh elsewhere", between=COUNT
    )
    mask_round: str = option("ceil", "how the number of hidden cells is rounded", ROUNDINGS)
    fill: str = option("image-mean", "what replaces hidden pixels", FILLS)
    token: str = option("add", "how the mask token acts on the features", ("auto", "add", "replace", "none"))
    gamma: float | None = option(None, "start of the learnable scale of features under a replacing token")
    gamma_lr_scale: float | None = option(
        None, "learning rate of gamma relative to the others; default 0.1", between=POSITIVE
    )
    gamma_weight_decay: bool | None = option(None, "weight decay on gamma too; default: no")
    mask_token_lr_scale: float | None = option(
        None, "learning rate of the token relative to the others; default 0.1 for CNNs, else 1", between=POSITIVE
    )
    loss: str = option("paper", "preset of the loss: paper, official-resnet50, official-vit, simmim, inpainting, ...")
    loss_spa: str | None = option(
        None, "distance of hidden pixels, where it differs from the preset", ("l1", "l2", "focal-l1")
    )
    loss_freq: str | None = option(None, "distance of spectra", ("l1", "l2", "focal-l1"))
    freq_lambda: float | None = option(None, "weight of the frequency loss (λ of Eq. 6)", between=POSITIVE)
    freq_blend: str | None = option(
        None, "what stands in visible pixels in the frequency loss", ("prediction", "target", "mixed", "mean", "none")
    )
    freq_visible_weight: float | None = option(
        None, "share of the prediction kept, with gradient, in visible pixels", between=SHARE
    )
    freq_weight: str | None = option(None, "weight of the frequencies: ω of Eq. 5 or 1", ("focal", "none"))
    freq_alpha: float | None = option(None, "α of Eq. 5", between=POSITIVE)
    freq_log: bool | None = option(None, "log(1 + ω) in the place of ω")
    freq_max: str | None = option(None, "ω is divided by its maximum over these", ("image", "batch", "none"))
    freq_ave_spectrum: bool | None = option(None, "average the spectra of the batch first")
    freq_norm: str | None = option(None, "norm of the DFT", ("ortho", "backward", "forward"))
    moco_temperature: float | None = option(
        None,
        "temperature of mocov3; default 0.2 for networks with a patch embedding, else 1",
        between=(1e-3, float("inf")),
    )
    moco_momentum: float = option(0.99, "of mocov3's keys at the start; rises to 1 as a cosine", between=SHARE)
    moco_dim: int = option(256, "width of mocov3's queries and keys", between=COUNT)
    moco_mlp_dim: int = option(4096, "width of the hidden layers of mocov3's projector and predictor", between=COUNT)
    freeze_patch_embed: bool | None = option(
        None, "leave the patch embedding as it starts; default: yes in mocov3, where there is one"
    )
    pretrained: bool = option(False, "start from timm's weights of that name")
    picture_interval: int = option(
        5, "epochs between two pictures of reconstructions; 0 = none", between=(0, float("inf"))
    )

    @classmethod
    def from_values(cls: type[P], *layers: Mapping[str, Any]) -> P:
        """As in ``TrainSettings``, over the defaults of the method that the layers name.

        A layer that names another method than those below it leaves aside what only the old method uses, and what makes
        up the new one (its table of defaults); from there on a setting that the method does not use is refused.

        Raises:
            InputError: also a setting that the method does not use.
        """
        from a2mim import methods  # and with it torch, which --help does not wait for

        name, start = cls.method, 0
        for number, layer in enumerate(layers):
            if (layer.get("method") or name) != name:
                name, start = layer["method"], number
        if name not in METHODS:
            return super().from_values(*layers)  # says so
        method, unused = methods.METHODS[name], methods.unused(name)
        for key, value in itertools.chain(*(layer.items() for layer in layers[start:])):
            if key in unused and value is not None:
                raise InputError(f"method {name} does not use {key} (given: {value}); it is for {methods.users(key)}")
        aside = unused | (method.defaults.keys() if start else set())
        lower = [{key: value for key, value in layer.items() if key not in aside} for layer in layers[:start]]
        settings = super().from_values(method.defaults, *lower, *layers[start:])
        if settings.gamma is None and (settings.gamma_lr_scale, settings.gamma_weight_decay) != (None, None):
            raise InputError("gamma_lr_scale and gamma_weight_decay say how gamma is trained, and there is no gamma")
        return settings

    def as_values(self) -> dict[str, Any]:
        """Plain values, as recipes hold them; without those that the method does not use."""
        from a2mim import methods

        unused = methods.unused(self.method)
        values = {"method": self.method, **super().as_values()}
        return {key: value for key, value in values.items() if key not in unused}

    def loss_changes(self) -> dict[str, Any]:
        """Settings of the loss that were given and so go before the preset's."""
        names = [name for name in vars(self) if name.startswith(("loss_", "freq_"))]
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


@dataclass
class FinetuneSettings(TrainSettings):
    """Settings of ``a2mim-finetune``; the defaults are the DeiT column of Table A2, without its mixing of images."""

    command = "a2mim-finetune"

    from_scratch: bool = option(False, "take the architecture of the checkpoint and random weights")
    linear: bool = option(False, "train the classifier alone on the frozen encoder (linear probing)")
    lr_base: float = option(2.5e-4, "learning rate for lr_base_size images per update", between=POSITIVE)
    warmup_epochs: float = option(5.0, "epochs of linear warm-up", between=POSITIVE)
    layer_decay: float | None = option(None, "learning rate of each layer relative to the one above it", between=SHARE)
    smoothing: float = option(0.1, "label smoothing", between=(0, 0.999))
    bce_loss: bool = option(False, "binary cross-entropy of each class, in the place of cross-entropy")
    bce_target_thresh: float | None = option(
        None, "with bce_loss: targets above this count as 1, the others as 0", between=SHARE
    )
    mixup: float = option(0.0, "alpha of Mixup; 0 = none", between=POSITIVE)
    cutmix: float = option(0.0, "alpha of CutMix; 0 = none", between=POSITIVE)
    mixup_prob: float = option(1.0, "share of the batches that are mixed", between=SHARE)
    mixup_switch_prob: float = option(0.5, "share of CutMix where there is Mixup too", between=SHARE)
    mixup_mode: str = option("batch", "what shares one draw of the mixing", ("batch", "pair", "elem"))
    scale: tuple[float, ...] = option((0.08, 1.0), "area of the random crop, as shares of the image", between=SHARE)
    train_interpolation: str | None = option(
        None, "how training images are resized; default: as all", ("random", "bilinear", "bicubic", "nearest")
    )
    aa: str | None = option(None, "timm's name of a random augmentation: rand-m9-mstd0.5-inc1, ...")
    color_jitter: float | None = option(None, "strength of random changes of colour, where there is no aa")
    reprob: float = option(0.0, "probability of random erasing", between=SHARE)
    remode: str = option("pixel", "what erased pixels become", ("const", "rand", "pixel"))
    recount: int = option(1, "blocks that are erased at most", between=COUNT)
    aug_repeats: int = option(
        1, "repeated augmentation: times that an image comes, in an epoch of so many fewer images", between=COUNT
    )
    model_ema: bool = option(False, "keep, evaluate and save a moving average of the weights")
    model_ema_decay: float = option(0.9998, "decay of that average", between=SHARE)
    model_ema_warmup: bool = option(False, "let that decay grow from 0")
    crop_pct: float = option(0.875, "share of the side that the test crop keeps", between=SHARE)
    test_img_size: int | None = option(
        None, "side of the validation images in pixels; default: img_size", between=COUNT
    )
    val_interval: int = option(1, "epochs between two evaluations; the last one is always evaluated", between=COUNT)
    knn: bool = option(False, "train nothing: accuracy of the nearest neighbours among the encoder's features")
    knn_k: int = option(20, "neighbours that vote", between=COUNT)
    knn_temperature: float = option(0.07, "temperature of their votes", between=(1e-3, float("inf")))

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


def how_many(entry: dataclasses.Field[Any]) -> int | None:
    """Numbers in a setting that is a tuple, None for any; those without a default have one for each colour."""
    if entry.metadata["many"]:
        return None
    return len(entry.default) if isinstance(entry.default, tuple) else 3


def _unknown(kind: type[TrainSettings], key: object) -> str:
    """What is wrong with a key that ``kind`` does not have: it belongs to the other command, or is misspelt."""
    for other in TrainSettings.__subclasses__():
        if any(entry.name == key for entry in dataclasses.fields(other)):
            return f"setting '{key}' is one of {other.command}, not of {kind.command}"
    near = difflib.get_close_matches(str(key), [entry.name for entry in dataclasses.fields(kind)], n=1)
    return f"unknown setting '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")


def _checked(entry: dataclasses.Field[Any], hint: Any, value: Any) -> Any:
    """``value`` as the field's type, within its choices and range."""
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None:
        if type(None) in kinds:
            return None
        raise InputError(f"{entry.name} needs a value")
    value = _converted(entry.name, kinds[0], value)
    wanted = how_many(entry)
    if isinstance(value, tuple) and len(value) != (wanted or len(value)):
        raise InputError(f"{entry.name} needs {wanted} numbers, not {len(value)}")
    choices, between = entry.metadata["choices"], entry.metadata["between"]
    if choices and value not in choices:
        raise InputError(f"{entry.name} '{value}' is unknown; known: {', '.join(choices)}")
    for number in value if isinstance(value, tuple) else (value,):
        if between and not between[0] <= number <= between[1]:
            upper = "or more" if between[1] == float("inf") else f"to {between[1]:g}"
            raise InputError(f"{entry.name} {number:g} is outside {between[0]:g} {upper}")
    return value


def _converted(name: str, kind: Any, value: Any) -> Any:
    try:
        if kind is bool:
            if not isinstance(value, bool):
                raise TypeError("write true or false")
            return value
        if kind is int and (isinstance(value, bool) or float(value) != int(value)):
            raise TypeError("write a whole number")
        if kind in (int, float, str):
            return kind(value)
        if typing.get_origin(kind) is dict:
            if not isinstance(value, Mapping):
                raise TypeError("write pairs of a name and a value")
            return dict(value)
        numbers = value.replace(",", " ").split() if isinstance(value, str) else value
        if isinstance(numbers, (int, float)):
            numbers = [numbers]
        return tuple(float(number) for number in numbers)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{name} cannot be {value!r}: {error}") from error
