"""Finding the encoder in a file: every tensor is the encoder's, of a known part, or reported."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from a2mim.checkpoint.files.contents import Contents, Place
from a2mim.checkpoint.files.globs import fits
from a2mim.checkpoint.files.reading import State
from a2mim.checkpoint.formats.format import Format
from a2mim.checkpoint.formats.table import FORMATS
from a2mim.checkpoint.names.dialects import Dialect, recognise
from a2mim.checkpoint.names.table import DIALECTS
from a2mim.checkpoint.report import some
from a2mim.errors import InputError

BESIDE = "beside the encoder"  # heads, losses, metrics: what lies outside the encoder and belongs to no part below
_NETWORKS = 50  # that are looked for in one dictionary
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
    "counter": ("steps",),
    "counter of torch's AveragedModel": ("n_averaged",),
}


@dataclass
class Found:
    """An encoder that was found in a file, and what lies around it.

    ``state`` has the encoder's tensors by the file's names without the prefix, the classifier's under ``CLASSIFIER``;
    ``origin`` gives each its full name in the file, ``dropped`` the full names of each part that is left out.
    """

    format: Format
    which: str
    choices: tuple[str, ...]
    state: State = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def aside(self) -> tuple[str, ...]:
        """Full names of everything that is left out."""
        return tuple(name for names in self.dropped.values() for name in names)

    @property
    def dialect(self) -> Dialect | None:
        return None if self.format.exact else recognise(self.state, DIALECTS)


def find(
    contents: Contents, which: str | None = None, *, landmarks: tuple[str, ...] = (), own: Collection[str] = ()
) -> Found:
    """The encoder in a file.

    Args:
        which: label of the encoder, for files that hold several; the default is the one that the authors evaluate.
        landmarks: names that the network is known to have, for networks of no dialect listed here.
        own: all names of the network, where it is known: none of them is taken for a part beside the encoder.

    Raises:
        InputError: nothing in the file is a network known here, or it has no such encoder.
    """
    format = next(format for format in FORMATS if format.fits(contents))  # the last one fits everything
    places = {label: contents.place(address) for label, address in format.encoders.items()}
    if not places:
        places = _search(contents, landmarks)
    places = {label: place for label, place in places.items() if contents.at(place)}
    if not places and landmarks:
        names = {name for _, name, _ in contents.tensors()}
        lost = [name for name in own or landmarks if not any(f".{other}".endswith(f".{name}") for other in names)]
        raise InputError(
            f"{contents.file} does not hold the named network: it lacks {some(lost)}, and has {some(names)}"
        )
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
    return _sort_out(contents, format, label, places, own)


def _sort_out(
    contents: Contents, format: Format, label: str, places: Mapping[str, Place], own: Collection[str]
) -> Found:
    """Tell the encoder's tensors from those of the parts around it; every tensor goes to exactly one place."""
    found = Found(format, label, tuple(places))
    outside = {**dict.fromkeys(format.classifier, f"{CLASSIFIER}."), **format.outside}
    dropped: dict[str, list[str]] = {}
    layers: list[str] = []  # names of weights beside the encoder
    named = contents.main if contents.main_is_named else None
    for group, name, tensor in contents.tensors():
        full = name if group == named else f"{group}:{name}"
        inside = [other for other, place in places.items() if place.holds(group, name)]
        owner = label if label in inside else max(inside, key=lambda other: len(places[other].prefix), default=None)
        short = name[len(places[owner].prefix) :] if owner else name
        piece = next((prefix for prefix in outside if name.startswith(prefix)), None)
        part = part_of(name, format) or (part_of(short, format) if owner else None)
        if owner and (format.exact or format.apart or short in own):
            part = None
        if piece and group == places[label].group:
            short, owner, part = outside[piece] + name[len(piece) :], label, None
        if owner == label and part is None:
            found.state[short], found.origin[short] = tensor, full
        elif owner not in (None, label):
            dropped.setdefault(f"{owner} encoder", []).append(full)
        elif part or group != places[label].group:
            dropped.setdefault(part or group, []).append(full)
        else:
            dropped.setdefault(BESIDE, []).append(full)
            layers += [name] if tensor.ndim > 1 else []
    heads = tuple(prefix.partition(".")[0] + "." for prefix in format.classifier)
    if any(name.startswith(heads) for name in layers if heads):  # the classifier stands on layers unknown to timm
        for short in [short for short in found.state if short.startswith(CLASSIFIER)]:
            del found.state[short]
            dropped[BESIDE].append(found.origin.pop(short))
    found.dropped = {part: tuple(names) for part, names in dropped.items()}
    return found


def _search(contents: Contents, landmarks: tuple[str, ...]) -> dict[str, Place]:
    """Every place in the file where a whole network lies, found by the names of its layers; the main group's first."""
    own = Dialect("", "", landmarks) if landmarks else None
    places: dict[str, Place] = {}
    named: list[str] = []  # labels of the places that hold the landmarks
    for group in sorted(contents.groups, key=lambda path: (path != contents.main, path != contents.ema)):
        names = tuple(contents.groups[group])
        first = {dialect.has[0] for dialect in (*DIALECTS, *([own] if own else []))}
        prefixes = {
            name[: -len(end)]
            for end in first
            for name in names
            if name.endswith(end) and f".{name}".endswith(f".{end}")
        }
        for prefix in sorted(prefixes, key=len)[:_NETWORKS]:
            within = {name[len(prefix) :] for name in names if name.startswith(prefix)}
            if recognise(within, DIALECTS) or (own and own.fits(within)):
                label = _label(contents, group, prefix)
                places[label] = Place(group, prefix)
                named += [label] if own and own.fits(within) else []
    return {label: places[label] for label in named} or places


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
