"""The table of formats: what each method's files look like, and which of the networks in them is the encoder.

A format tells where the encoder lies and what else the file holds; how its layers are named is the business of the
dialects (``names_*.py``), so that a method and an architecture need not be listed for each other. To add a format, add
a ``Format``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from a2mim.checkpoint import hugging_face
from a2mim.checkpoint.contents import Contents, Place
from a2mim.checkpoint.dialects import Dialect, recognise
from a2mim.checkpoint.globs import fits
from a2mim.checkpoint.names import DIALECTS
from a2mim.checkpoint.reading import State
from a2mim.errors import InputError

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # called "inception" in timm


@dataclass(frozen=True)
class Format:
    """Where one codebase puts its encoder.

    Args:
        name: what reports print.
        source: repository that writes such files, "owner/name".
        has: what must be there, each ``glob of names`` or ``group:glob`` (see ``Contents``).
        lacks: what must not be there.
        meta: what must stand beside the weights, dotted keys, with a value or without: ``"args.norm_pix_loss"``,
            ``"kind=pretrain"``.
        encoders: label -> ``prefix`` or ``group:prefix`` of an encoder; the one that the authors evaluate first. A
            label whose place is empty in a file is not on offer. No entries: found by the names of its layers.
        parts: name of a part that is no encoder -> globs of its names in the file: dropped, and reported so.
        classifier: prefixes of the classifier where it lies outside the encoder: ("head.fc.",).
        outside: prefix of another piece of the encoder that lies outside of it -> what its names begin with inside.
        kind: "pre-training" or "classifier" or what else the file is from.
        normalisation: (mean, std) of the images that the encoder was trained on; None where the file or timm says it.
        hints: what meta says about the architecture (``num_heads``, ``img_size``, ...), see ``architectures``.
    """

    name: str
    source: str
    has: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    meta: tuple[str, ...] = ()
    encoders: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classifier: tuple[str, ...] = ()
    outside: Mapping[str, str] = field(default_factory=dict)
    kind: str = "pre-training"
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = IMAGENET
    hints: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda meta: {}

    def fits(self, contents: Contents) -> bool:
        return (
            all(contents.has(glob) for glob in self.has)
            and not any(contents.has(glob) for glob in self.lacks)
            and all(_says(contents.meta, key) for key in self.meta)
        )


@dataclass
class Found:
    """An encoder that was found in a file, and what lies around it.

    ``state`` has the encoder's tensors by the file's names without the prefix, the classifier's under ``CLASSIFIER``;
    ``origin`` gives each its full name in the file, ``dropped`` the full names of each part that is left out, and
    ``strays`` those that lie beside the encoder and belong to no part known here.
    """

    format: Format
    which: str
    choices: tuple[str, ...]
    state: State = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)
    strays: tuple[str, ...] = ()

    @property
    def dialect(self) -> Dialect | None:
        return recognise(self.state, DIALECTS)


CLASSIFIER = "@classifier"  # stands for timm's name of the classifier, which differs from family to family

# parts that many codebases have; a format's own ``parts`` are looked at first
COMMON_PARTS: Mapping[str, tuple[str, ...]] = {
    "mask token": ("mask_token", "*.mask_token", "mask_tokens.*", "masked_embed"),
    "decoder": ("decoder*", "dense_decoder.*", "densify*"),
    "queue": ("queue*", "*.queue", "*.queue_ptr"),
    "projection head": (
        "projector.*",
        "projection_head.*",
        "proj_head.*",
        "projection.*",
        "head.mlp.*",
        "head.last_layer.*",
    ),
    "prediction head": ("predictor.*", "prediction_head.*", "pred_head.*", "lm_head.*"),
    "prototypes": ("prototypes*",),
    "neck": ("neck.*",),
    "data preprocessing": ("data_preprocessor.*",),
    "counter": ("steps", "n_averaged"),
    "counter of torch's AveragedModel": ("n_averaged",),
}


def args(**renamed: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Hints from the file: ``args(img_size="args.input_size")``; a key that the file lacks gives no hint."""

    def read(meta: Mapping[str, Any]) -> Mapping[str, Any]:
        found = {ours: look_up(meta, theirs) for ours, theirs in renamed.items()}
        return {ours: value for ours, value in found.items() if value is not None}

    return read


def always(**hints: Any) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Hints that hold for every file of the format."""
    return lambda meta: hints


def timm_folder(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """What config.json says in the folders that timm and ``a2mim-checkpoint convert --to timm`` write."""
    cfg = "config.pretrained_cfg"
    said = args(
        arch="config.architecture",
        model_args="config.model_args",
        classes="config.label_names",
        mean=f"{cfg}.mean",
        std=f"{cfg}.std",
        input_size=f"{cfg}.input_size",
    )
    return {"model_args": {}, **said(meta)}


def normalised_by_flag(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """BEiT and what grew from it normalise by one half unless this flag was given."""
    imagenet = look_up(meta, "args.imagenet_default_mean_and_std")
    return dict(zip(("mean", "std"), IMAGENET, strict=True)) if imagenet else {}


def openmmlab(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    """Classes, and the heads of MoCo v3's ViT-S, which the text of the configuration names."""
    heads = {"num_heads": 12} if "mocov3-s" in str(look_up(meta, "meta.config")) else {}
    classes = look_up(meta, "meta.CLASSES") or look_up(meta, "meta.dataset_meta.classes")
    return {**heads, **({"classes": classes} if isinstance(classes, list | tuple) else {})}


def look_up(meta: Mapping[str, Any], dotted: str) -> Any:
    """``meta["args"]["lr"]`` for "args.lr", or None."""
    node: Any = meta
    for key in dotted.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return None
        node = node[key]
    return node


def _says(meta: Mapping[str, Any], condition: str) -> bool:
    key, equals, value = condition.partition("=")
    found = look_up(meta, key)
    return found is not None and (not equals or str(found) == value)


_transformers = functools.partial(
    Format, "transformers", "huggingface/transformers", normalisation=None, hints=hugging_face.hints
)

FORMATS: tuple[Format, ...] = (
    Format(
        "a2mim",
        "this package",
        meta=("kind=pretrain",),
        encoders={"encoder": "encoder."},
        parts={"reconstruction head": ("head.*",)},
        normalisation=None,
    ),
    Format(
        "a2mim",
        "this package",
        meta=("kind=finetune",),
        encoders={"encoder": ""},
        kind="classifier",
        normalisation=None,
    ),
    Format(
        "a2mim",
        "this package",
        meta=("kind=encoder",),
        encoders={"encoder": ""},
        kind="encoder",
        normalisation=None,
    ),
    Format(
        "MAE",
        "facebookresearch/mae",
        has=("decoder_embed.weight", "decoder_pred.weight", "mask_token"),
        encoders={"encoder": ""},
        parts={"decoder": ("decoder_*",)},
    ),
    Format(
        "MAE",
        "facebookresearch/mae",
        has=("patch_embed.proj.weight", "head.*"),
        meta=("args.blr", "args.nb_classes"),
        encoders={"encoder": ""},
        kind="classifier",
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("encoder.mask_token", "encoder.blocks.0.attn.qkv.weight", "decoder.0.weight"),
        encoders={"encoder": "encoder."},
        hints=args(img_size="config.DATA.IMG_SIZE", num_heads="config.MODEL.VIT.NUM_HEADS"),
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("blocks.0.attn.q_bias", "head.weight"),
        meta=("config.MODEL.VIT",),
        encoders={"encoder": ""},
        kind="classifier",
        hints=args(img_size="config.DATA.IMG_SIZE", num_heads="config.MODEL.VIT.NUM_HEADS"),
    ),
    Format(
        "SimMIM",
        "microsoft/SimMIM",
        has=("encoder.mask_token", "encoder.layers.0.blocks.0.attn.*", "decoder.0.weight"),
        encoders={"encoder": "encoder."},
        hints=args(img_size="config.DATA.IMG_SIZE"),
    ),
    Format(
        "Swin",
        "microsoft/Swin-Transformer, microsoft/SimMIM",
        has=("layers.0.blocks.0.attn.relative_position_bias_table", "layers.0.downsample.*", "head.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
        hints=args(img_size="config.DATA.IMG_SIZE"),
    ),
    Format(
        "CAE",
        "lxtGH/CAE",
        has=("encoder.blocks.0.attn.q_bias", "teacher.blocks.0.attn.q_bias", "pretext_neck.*"),
        encoders={"encoder": "encoder.", "teacher": "teacher."},
        parts={"regressor and decoder": ("pretext_neck.*", "encoder_to_decoder*")},
        hints=lambda meta: {"num_heads": 16 if "large" in str(look_up(meta, "args.model")) else 12},
    ),
    Format(
        "BEiT",
        "microsoft/unilm (beit, beit2), microsoft/PeCo",
        has=("blocks.0.attn.q_bias", "lm_head.weight", "mask_token"),
        encoders={"encoder": ""},
        parts={"layers of the class token's pre-training": ("cls_pt_layers.*",)},
        normalisation=HALF,
        hints=normalised_by_flag,
    ),
    Format(
        "BEiT",
        "microsoft/unilm (beit, beit2), microsoft/PeCo, lxtGH/CAE",
        has=("blocks.0.attn.q_bias", "patch_embed.proj.weight", "head.weight"),
        encoders={"encoder": ""},
        kind="classifier",
        normalisation=HALF,
        hints=normalised_by_flag,
    ),
    Format(
        "DeiT",
        "facebookresearch/deit",
        has=("dist_token", "head_dist.weight", "blocks.0.attn.qkv.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "DeiT",
        "facebookresearch/deit",
        has=("patch_embed.proj.weight", "blocks.0.attn.qkv.weight", "head.weight"),
        meta=("args.repeated_aug",),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "MaskFeat",
        "facebookresearch/SlowFast",
        has=("model_state:patch_embed.proj.weight", "model_state:pred_head*"),
        encoders={"encoder": "model_state:"},
        parts={"prediction head": ("pred_head*",), "decoder": ("decoder*",)},
    ),
    Format(
        "A2MIM, SimMIM",
        "Westlake-AI/openmixup, open-mmlab/mmpretrain",
        has=("backbone.mask_token", "neck.*"),
        meta=("meta",),
        encoders={"backbone": "backbone.", "unaveraged": "ema_state_dict:backbone."},
        parts={"mask token": ("backbone.mask_*",), "decoder": ("neck.*", "head.*")},
        hints=openmmlab,
    ),
    Format(
        "OpenMMLab",
        "open-mmlab/mmselfsup, Westlake-AI/openmixup",
        has=("encoder_q.0.*", "encoder_k.0.*"),
        encoders={"query": "encoder_q.0.", "key": "encoder_k.0."},
        parts={"neck": ("encoder_q.1.*", "encoder_k.1.*"), "head": ("head.*",)},
        hints=openmmlab,
    ),
    Format(
        "OpenMMLab",
        "open-mmlab/mmselfsup, Westlake-AI/openmixup",
        has=("online_net.0.*", "target_net.0.*"),
        encoders={"online": "online_net.0.", "target": "target_net.0."},
        parts={"neck": ("online_net.1.*", "target_net.1.*"), "head": ("head.*",)},
        hints=openmmlab,
    ),
    Format(
        "OpenMMLab",
        "open-mmlab/mmpretrain, mmselfsup, Westlake-AI/openmixup",
        has=("backbone.*", "neck.*"),
        meta=("meta",),
        encoders={
            "backbone": "backbone.",
            "momentum": "momentum_encoder.0.",
            "target": "target_net.0.",
            "key": "encoder_k.0.",
            "teacher": "teacher.",
            "unaveraged": "ema_state_dict:backbone.",
        },
        parts={
            "neck": ("neck*", "momentum_encoder.1.*", "target_net.1.*", "encoder_k.1.*"),
            "head": ("head.*",),
            "target generator": ("target_generator.*",),
        },
        hints=openmmlab,
    ),
    Format(
        "OpenMMLab",
        "open-mmlab/mmpretrain, mmcls, Westlake-AI/openmixup",
        has=("backbone.*",),
        meta=("meta",),
        encoders={"backbone": "backbone.", "unaveraged": "ema_state_dict:backbone."},
        parts={"second head": ("head.layers.head_dist.*",)},
        classifier=("head.fc.", "head.fc_cls.", "head.layers.head.", "cls_head.fc."),
        kind="classifier",
        hints=openmmlab,
    ),
    Format(
        "MoCo v3",
        "facebookresearch/moco-v3",
        has=("base_encoder.*", "momentum_encoder.*"),
        encoders={"base": "base_encoder.", "momentum": "momentum_encoder."},
        parts={
            "projection head": (
                "base_encoder.head.*",
                "base_encoder.fc.*",
                "momentum_encoder.head.*",
                "momentum_encoder.fc.*",
            )
        },
        hints=always(num_heads=12),  # its ViT-S has 12 heads of 32, as its ViT-B has 12 of 64
    ),
    Format(
        "MoCo v3",
        "facebookresearch/moco-v3",
        has=("patch_embed.proj.weight", "head.weight"),
        meta=("arch=vit_small",),
        encoders={"encoder": ""},
        kind="classifier",
        hints=always(num_heads=12),
    ),
    Format(
        "MoCo",
        "facebookresearch/moco",
        has=("encoder_q.*", "encoder_k.*"),
        encoders={"query": "encoder_q.", "key": "encoder_k."},
        parts={"projection head": ("encoder_q.fc.*", "encoder_k.fc.*")},
    ),
    Format(
        "iBOT",
        "bytedance/ibot",
        has=("teacher:backbone.*", "student:backbone.*", "student:backbone.masked_embed"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
    Format(
        "DINO",
        "facebookresearch/dino",
        has=("teacher:backbone.*", "student:backbone.*"),
        encoders={"teacher": "teacher:backbone.", "student": "student:backbone."},
        parts={"projection head": ("head.*",)},
    ),
    _transformers(
        has=("*.layer_scale1.lambda1", "classifier.weight"),
        parts={"classifier of class token and mean patch at once, which timm has not": ("classifier.*",)},
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.patch_embeddings.*", "classifier.weight"), classifier=("classifier.",), kind="classifier"
    ),
    _transformers(
        has=("*embedder.embedder.convolution.weight", "classifier.1.weight"),
        classifier=("classifier.1.",),
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.distillation_token", "cls_classifier.weight", "distillation_classifier.weight"),
        classifier=("cls_classifier.",),
        outside={"distillation_classifier.": "head_dist."},
        kind="classifier",
    ),
    _transformers(
        has=("*embeddings.patch_embeddings.*", "lm_head.weight", "layernorm.weight"),
        lacks=("*.layernorm.weight",),
        outside={"layernorm.": "layernorm."},  # the last norm of a BEiT, which stands with the head
    ),
    _transformers(has=("*embeddings.patch_embeddings.*", "decoder.*")),
    _transformers(
        has=("*embeddings.patch_embeddings.*",),
        parts={"pooler": ("pooler.dense.*", "*.pooler.dense.*")},
        kind="encoder",
    ),
    _transformers(has=("*embedder.embedder.convolution.weight",), kind="encoder"),
    Format(
        "timm",
        "huggingface/pytorch-image-models",
        meta=("config.architecture",),
        encoders={"model": "*:"},
        kind="weights",
        normalisation=None,
        hints=timm_folder,
    ),
    Format(
        "SimSiam",
        "facebookresearch/simsiam",
        has=("encoder.conv1.weight", "encoder.fc.0.weight", "predictor.0.weight"),
        encoders={"encoder": "encoder."},
        parts={"projection head": ("encoder.fc.*",)},
    ),
    Format(
        "SimCLR",
        "sthalles/SimCLR",
        has=("backbone.conv1.weight", "backbone.fc.0.weight", "backbone.fc.2.weight"),
        encoders={"encoder": "backbone."},
        parts={"projection head": ("backbone.fc.*",)},
    ),
    Format(
        "SimCLR",
        "Spijkervet/SimCLR",
        has=("encoder.conv1.weight", "projector.0.weight"),
        lacks=("predictor*",),
        encoders={"encoder": "encoder."},
        parts={"projection head": ("projector.*",)},
    ),
    Format(
        "BYOL",
        "lucidrains/byol-pytorch",
        has=("online_encoder.net.*", "online_predictor.*"),
        encoders={"online": "online_encoder.net.", "target": "target_encoder.net."},
        parts={
            "projection head": ("online_encoder.projector.*", "target_encoder.projector.*"),
            "prediction head": ("online_predictor.*",),
            "classifier that was not trained": ("online_encoder.net.fc.*", "target_encoder.net.fc.*"),
        },
    ),
    Format(
        "Barlow Twins",
        "facebookresearch/barlowtwins",
        has=("backbone.conv1.weight", "projector.0.weight", "bn.running_mean"),
        encoders={"encoder": "backbone."},
        parts={"batch norm of the loss": ("bn.*",)},
    ),
    Format(
        "SwAV",
        "facebookresearch/swav (SwAV, DeepCluster-v2)",
        has=("conv1.weight", "layer1.0.conv1.weight", "projection_head.*"),
        encoders={"encoder": ""},
    ),
    Format(
        "VISSL",
        "facebookresearch/vissl",
        has=("classy_state_dict/base_model/model/trunk:*",),
        encoders={
            "trunk": "classy_state_dict/base_model/model/trunk:_feature_blocks.",
            "extractor": "classy_state_dict/base_model/model/trunk:base_model._feature_blocks.",
        },
        parts={"heads": ("heads.*",)},
    ),
    Format(
        "SparK",
        "keyu-tian/SparK",
        has=("sparse_encoder.sp_cnn.*", "dense_decoder.*"),
        encoders={"encoder": "sparse_encoder.sp_cnn."},
        parts={"constants": ("imn_m", "imn_s", "norm_black")},
    ),
    Format(
        "ConvNeXt V2",
        "facebookresearch/ConvNeXt-V2",
        has=("encoder.stages.0.0.dwconv.kernel", "mask_token", "pred.weight"),
        encoders={"encoder": "encoder."},
        parts={"decoder": ("decoder.*", "proj.*", "pred.*")},
    ),
    Format(
        "ConvNeXt",
        "facebookresearch/ConvNeXt, facebookresearch/ConvNeXt-V2",
        has=("downsample_layers.0.0.weight", "stages.0.0.dwconv.weight", "head.weight"),
        encoders={"model": "*:", "ema": "*ema:"},
        kind="classifier",
    ),
    Format(
        "solo-learn",
        "vturrisi/solo-learn",
        has=("backbone.*", "classifier.weight"),
        meta=("pytorch-lightning_version",),
        encoders={"backbone": "backbone.", "momentum": "momentum_backbone."},
        parts={
            "projection head": ("projector.*", "momentum_projector.*"),
            "classifier beside the training": ("classifier.*", "momentum_classifier.*"),
        },
    ),
    Format(
        "PyTorch Lightning",
        "Lightning-AI/pytorch-lightning",
        meta=("pytorch-lightning_version",),
        kind="checkpoint",
        normalisation=None,
    ),
    Format(
        "timm train.py",
        "huggingface/pytorch-image-models",
        meta=("arch", "version", "args"),
        encoders={"ema": "*ema:", "model": "*:"},
        kind="classifier",
        normalisation=None,
    ),
    Format("plain weights", "", normalisation=None, kind="weights"),
)


def find(contents: Contents, which: str | None = None, *, landmarks: tuple[str, ...] = ()) -> Found:
    """The encoder in a file.

    Args:
        which: label of the encoder, for files that hold several; the default is the one that the authors evaluate.
        landmarks: names that the network is known to have, for networks of no dialect listed here.

    Raises:
        InputError: nothing in the file is a network known here, or it has no such encoder.
    """
    format = next(format for format in FORMATS if format.fits(contents))  # the last one fits everything
    places = {label: contents.place(address) for label, address in format.encoders.items()}
    if not places:
        places = _search(contents, landmarks)
    places = {label: place for label, place in places.items() if contents.at(place)}
    if not places:
        raise InputError(
            f"{contents.file} holds no network that is known here; give the timm name with --model (arch=...). "
            f"It has {contents.summary()}"
        )
    if which is None and not format.encoders and len(places) > 1 and not ("model" in places and contents.main_is_named):
        raise InputError(f"{contents.file} holds {len(places)} networks; choose one with --which: {', '.join(places)}")
    label = which or next(iter(places))
    if label not in places:
        raise InputError(f"{contents.file} has no encoder '{which}' ({format.name}); it has: {', '.join(places)}")
    return _sort_out(contents, format, label, places)


def table() -> list[tuple[str, ...]]:
    """The formats in words: format, where it comes from, what it is, encoder taken (and on offer), what is dropped."""
    rows: list[tuple[str, ...]] = [("format", "written by", "holds", "encoder (others: `--which`)", "dropped")]
    for format in FORMATS:
        labels = list(format.encoders)
        taken = f"{labels[0]} ({', '.join(labels[1:])})" if labels[1:] else "".join(labels) or "found by its layers"
        rows.append((format.name, format.source, format.kind, taken, ", ".join(format.parts)))
    return rows


def _sort_out(contents: Contents, format: Format, label: str, places: Mapping[str, Place]) -> Found:
    """Tell the encoder's tensors from those of the parts around it; every tensor goes to exactly one place."""
    found = Found(format, label, tuple(places))
    outside = {**dict.fromkeys(format.classifier, f"{CLASSIFIER}."), **format.outside}
    dropped: dict[str, list[str]] = {}
    strays = []
    for group, name, tensor in contents.tensors():
        full = name if group == contents.main and contents.main_is_named else f"{group}:{name}"
        inside = [other for other, place in places.items() if place.holds(group, name)]
        owner = label if label in inside else max(inside, key=lambda other: len(places[other].prefix), default=None)
        short = name[len(places[owner].prefix) :] if owner else name
        piece = next((prefix for prefix in outside if name.startswith(prefix)), None)
        part = part_of(name, format) or (part_of(short, format) if owner else None)
        if piece and group == places[label].group:
            short, owner, part = outside[piece] + name[len(piece) :], label, None
        if owner == label and part is None:
            found.state[short], found.origin[short] = tensor, full
        elif owner not in (None, label):
            dropped.setdefault(f"{owner} encoder", []).append(full)
        elif part or group != places[label].group:
            dropped.setdefault(part or group, []).append(full)
        else:
            strays.append(full)
    found.dropped = {part: tuple(names) for part, names in dropped.items()}
    found.strays = tuple(strays)
    return found


def _search(contents: Contents, landmarks: tuple[str, ...]) -> dict[str, Place]:
    """Every place in the file where a whole network lies, found by the names of its layers; the main group's first."""
    own = Dialect("", "", landmarks) if landmarks else None
    places: dict[str, Place] = {}
    for group in sorted(contents.groups, key=lambda path: (path != contents.main, path != contents.ema)):
        names = tuple(contents.groups[group])
        prefixes = {
            name[: -len(dialect.has[0])]
            for dialect in (*DIALECTS, *([own] if own else []))
            for name in names
            if name == dialect.has[0] or name.endswith("." + dialect.has[0])
        }
        for prefix in sorted(prefixes, key=len):
            within = {name[len(prefix) :] for name in names if name.startswith(prefix)}
            if recognise(within, DIALECTS) or (own and own.fits(within)):
                places[_label(contents, group, prefix)] = Place(group, prefix)
    return places


def _label(contents: Contents, group: str, prefix: str) -> str:
    name = {contents.main: "model", contents.ema: "ema"}.get(group, group)
    return (
        prefix.rstrip(".") if prefix and group == contents.main else ".".join(filter(None, (name, prefix.rstrip("."))))
    )


def part_of(name: str, format: Format) -> str | None:
    """The part, other than an encoder, that a tensor of this name belongs to."""
    for parts in (format.parts, COMMON_PARTS):
        for part, globs in parts.items():
            if fits(name, globs):
                return part
    return None
