"""Which architecture the encoder of a file is, and its tensors by timm's names.

What is named comes first: by the caller, or by the file. Where the names and shapes in the file are those of the named
timm network, they are loaded as they are. Otherwise a dialect translates the names, and ``architectures`` compares the
sizes. Where nothing is named, the family and the sizes tell the architecture; what they do not show (activation, order
of norms, anti-aliasing, eps) is given by the file's format, or noted, or asked for (``lookalikes``).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import timm

from a2mim.checkpoint import architectures, lookalikes
from a2mim.checkpoint.files.contents import Contents
from a2mim.checkpoint.files.globs import fits
from a2mim.checkpoint.fitting import without_weights
from a2mim.checkpoint.formats.finding import CLASSIFIER, Found
from a2mim.checkpoint.names.dialects import Dialect, Ignore, Translation, to_timm
from a2mim.checkpoint.report import some
from a2mim.encoders.build import build_encoder, default_img_size
from a2mim.errors import InputError

# formats of tools that save any network: they do not say what it computes
_ANY_NETWORK = ("plain weights", "PyTorch Lightning", "timm train.py", "solo-learn", "BYOL", "SimCLR")
_CLASSES = {  # timm's class of the networks of a family
    "vit": ("VisionTransformer", "VisionTransformerDistilled"),
    "beit": ("Beit",),
    "swin": ("SwinTransformer",),
    "swinv2": ("SwinTransformerV2",),
    "convnext": ("ConvNeXt",),
    "resnet": ("ResNet",),
    "eva": ("Eva",),
    "hiera": ("Hiera",),
    "efficientnet": ("EfficientNet",),
}
_POSITIONS = ("pos_embed", "*relative_position_bias_table", "rel_pos_bias.*")
_ASK = "give the timm name with --model (arch=...)"


@dataclass
class Plan:
    """Which architecture is to be built, and the tensors for it by timm's names."""

    arch: str
    model_args: dict[str, Any]
    translation: Translation
    names: str
    hints: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    assumed: bool = False  # nobody named the architecture: it was told from the shapes


def said(meta: Mapping[str, Any]) -> str | None:
    """The timm architecture that a file names; a codebase's own name for one ("vit_small" of MoCo v3) says nothing."""
    arch = meta.get("arch")
    return arch if isinstance(arch, str) and timm.is_model(arch) else None


def plan(
    contents: Contents, found: Found, arch: str | None, model_args: Mapping[str, Any] | None, *, partial: bool = False
) -> Plan:
    """Which architecture ``found`` is.

    Args:
        arch, model_args: what was asked for.
        partial: the file may hold a part of the network only.

    Raises:
        InputError: names and shapes that tell no architecture, tell another than was asked for, or do not tell enough.
    """
    hints = dict(found.format.hints(contents.meta))
    ours = contents.meta if found.format.name == "a2mim" else {}
    told = hints if "model_args" in hints else ours
    in_file = told.get("arch") or said(contents.meta)
    if arch and in_file and arch != in_file:
        raise InputError(f"{contents.file} holds a {in_file}, not the {arch} that was asked for")
    if isinstance(told.get("model_args"), Mapping):  # our own files and timm's folders say all
        return _described(contents, found, str(in_file), told["model_args"], model_args, hints)
    chosen = arch or in_file or hints.get("arch")
    if chosen and (plan := _as_it_is(contents, found, chosen, model_args, hints)):
        return plan
    dialect = found.dialect
    if dialect is None:
        if chosen is None:
            raise InputError(
                f"{contents.file} does not name its architecture, and its layers ({some(found.state)}) are of no "
                f"family that names and shapes tell; {_ask(found)}"
            )
        return Plan(chosen, dict(model_args or {}), Translation(dict(found.state)), "timm", hints)
    return _translated_plan(contents, found, dialect, chosen, arch, model_args, hints, partial)


def _described(
    contents: Contents,
    found: Found,
    arch: str,
    described: Mapping[str, Any],
    model_args: Mapping[str, Any] | None,
    hints: Mapping[str, Any],
) -> Plan:
    """The plan of a file that says its architecture with all arguments."""
    own = {key: value for key, value in dict(described).items() if key != "num_classes"}
    for key, value in (model_args or {}).items():
        if key in own and own[key] != value:
            raise InputError(f"{contents.file} was built with {key}={own[key]}, not {key}={value}")
    dialect = found.dialect
    hints = {**_measured(dialect, found), **hints}
    names = dialect.name if dialect else "timm"
    return Plan(arch, {**own, **(model_args or {})}, translated(contents, found, dialect), names, hints)


def _as_it_is(
    contents: Contents,
    found: Found,
    arch: str,
    model_args: Mapping[str, Any] | None,
    hints: Mapping[str, Any],
) -> Plan | None:
    """The plan of a file whose names and shapes are those of the named timm network; None for another file."""
    network, dialect = _network(arch, model_args), found.dialect
    ignored = [name for rule in (dialect.rules if dialect else ()) if isinstance(rule, Ignore) for name in rule.names]
    of_family = dialect is not None and network.kind in _CLASSES.get(dialect.family, ())
    differ = [name for name, shape in network.shapes.items() if _shape(found, name) not in (shape, None)]
    lost = [name for name in network.shapes if name not in found.state and not name.endswith("num_batches_tracked")]
    more = [
        name
        for name in found.state
        if name not in network.shapes
        and not name.startswith((*network.heads, f"{CLASSIFIER}."))
        and not fits(name, tuple(ignored))
    ]
    if lost or (of_family and (more or differ or _odd_head(found, network))):
        return None
    heads = hints.get("num_heads")
    if heads and network.num_heads and heads != network.num_heads and "num_heads" not in (model_args or {}):
        raise InputError(f"{contents.file}: the file holds num_heads={heads}, not num_heads={network.num_heads}")
    args = dict(model_args or {})
    size = {**_measured(dialect, found), **hints}.get("img_size") if of_family else None
    if size is not None and "img_size" not in args and dialect and dialect.family not in ("convnext", "resnet"):
        args |= {"img_size": size} if size not in (network.img_size[0], list(network.img_size)) else {}
    translation = Translation()
    for name, tensor in found.state.items():
        if name not in network.shapes and fits(name, tuple(ignored)):
            rules = [rule for rule in dialect.rules if isinstance(rule, Ignore)] if dialect else []
            translation.ignored[name] = next(rule.why for rule in rules if fits(name, rule.names))
        else:
            translation.state[name], translation.origin[name] = tensor, (name,)
    names = dialect.name if dialect and of_family else "timm"
    return Plan(arch, args, translation, names, hints, tuple(hints.get("notes", ())))


def _translated_plan(
    contents: Contents,
    found: Found,
    dialect: Dialect,
    chosen: str | None,
    arch: str | None,
    model_args: Mapping[str, Any] | None,
    hints: Mapping[str, Any],
    partial: bool,
) -> Plan:
    """The plan of a file whose names a dialect translates, with the architecture from the sizes unless it is named."""
    translation = translated(contents, found, dialect)
    measured = _measured(dialect, found)
    notes = tuple(dict.fromkeys((*filter(None, [dialect.note]), *measured.get("notes", ()), *hints.get("notes", ()))))
    hints = {**measured, **hints}
    if chosen:
        network = _network(chosen, model_args)
        shared = network.shapes.keys() & translation.state.keys()
        if network.kind not in _CLASSES.get(dialect.family, ()) and 2 * len(shared) > len(network.shapes):
            return Plan(chosen, dict(model_args or {}), translation, dialect.name, hints, notes)
    elif dialect.family in ("vit", "beit") and not any(fits(name, _POSITIONS) for name in translation.state):
        raise InputError(
            f"{contents.file} holds a ViT without position embedding: its kind (rotary, sine, none) is in no weight; "
            f"{_ask(found)}"
        )
    try:
        inferred = architectures.infer(
            dialect.family,
            translation.state,
            hints,
            arch=chosen,
            model_args=model_args,
            sizes="file" if arch is None else "given" if partial else "agree",
        )
    except InputError as error:
        known = f"; {_ask(found)}" if chosen is None and _alike(found) else ""
        raise InputError(f"{contents.file}: {error}{known}") from error
    if chosen is None and found.format.name in _ANY_NETWORK:
        groups = _alike(found)
        if len(groups) == 1 and inferred.arch not in groups[0]:  # timm has one such network: as it is
            size = {key: value for key, value in inferred.model_args.items() if key == "img_size"}
            only = _as_it_is(contents, found, groups[0][0], {**size, **(model_args or {})}, hints)
            if only and _network(only.arch, None).kind in _CLASSES[dialect.family]:
                note = f"taken for {only.arch}, timm's network with these names and shapes (--model NAME takes another)"
                return replace(only, notes=(*only.notes, *notes, note), assumed=True)
        notes += _others(contents, found, inferred, groups)
    return Plan(
        inferred.arch,
        inferred.model_args,
        translation,
        dialect.name,
        hints,
        (*inferred.notes, *notes),
        assumed=chosen is None,
    )


def _others(
    contents: Contents, found: Found, inferred: architectures.Architecture, groups: lookalikes.Groups
) -> tuple[str, ...]:
    """A note on timm's other architectures with the names and shapes of the file, where there are some.

    Raises:
        InputError: there are some, and the one that was told from the sizes has other names or shapes.
    """
    network = _network(inferred.arch, inferred.model_args)
    if groups and any(
        _shape(found, name) != shape for name, shape in network.shapes.items() if "num_batch" not in name
    ):
        raise InputError(f"{contents.file} does not name its architecture; {_ask(found)}")
    plain = not inferred.model_args.keys() - {"img_size"}
    own = next((group for group in groups if plain and inferred.arch in group), None)
    if groups and own is None:
        own = next((group for group in groups if _network(group[0], None).signature == network.signature), None)
    others = [arch for group in groups if group != own for arch in group]
    if not others:
        return ()
    return (
        f"taken for {inferred.arch}; timm has networks with the same names and shapes that compute something else: "
        f"{some(others, 12)} (--model NAME takes another)",
    )


def _ask(found: Found) -> str:
    """What to do about a file that does not name its architecture, with the names that it may have."""
    return _ASK + _like(_alike(found))


def _like(groups: lookalikes.Groups) -> str:
    archs = [arch for group in groups for arch in group]
    return f"; its names and shapes are those of timm's {some(archs, 12)}" if archs else ""


def suggestion(contents: Contents) -> str:
    """For a file in which no network is found: timm's architectures with the names and shapes of its main group."""
    state = contents.groups.get(contents.main or "", {})
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    while shapes and len({name.partition(".")[0] for name in shapes}) == 1 and all("." in name for name in shapes):
        shapes = {name.partition(".")[2]: shape for name, shape in shapes.items()}  # a prefix that all share
    return _like(lookalikes.alike(shapes)) if shapes else ""


def _alike(found: Found) -> lookalikes.Groups:
    """timm's architectures with the names and shapes of the file's encoder."""
    shapes = {name: tuple(value.shape) for name, value in found.state.items() if not name.startswith(CLASSIFIER)}
    groups = lookalikes.alike(shapes)
    if len(groups) < 2:
        return groups
    return tuple(group for group in groups if lookalikes.fits(shapes, _network(group[0], None).shapes))


# --- the named network ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Network:
    """What is known of a timm architecture without its weights; ``shapes`` are those of the encoder."""

    kind: str
    shapes: Mapping[str, tuple[int, ...]]
    heads: tuple[str, ...]
    head_names: frozenset[str]
    num_heads: int | None
    img_size: tuple[int, int]
    signature: str


def _network(arch: str, model_args: Mapping[str, Any] | None) -> _Network:
    args = tuple(sorted((key, _frozen(value)) for key, value in (model_args or {}).items()))
    try:
        hash(args)
    except TypeError:  # an argument that is a dictionary
        return _built.__wrapped__(arch, args)
    return _built(arch, args)


@functools.lru_cache(maxsize=64)
def _built(arch: str, args: tuple[tuple[str, Any], ...]) -> _Network:
    given = {key: value for key, value in args if key != "num_classes"}
    with without_weights():
        model, _ = build_encoder(arch, given, num_classes=2)
    heads = lookalikes.classifiers(model)
    found: Any = architectures.hints_of(model)["num_heads"]
    return _Network(
        kind=type(model).__name__,
        shapes=lookalikes.encoder_shapes(model),
        heads=heads,
        head_names=frozenset(name for name in model.state_dict() if heads and name.startswith(heads)),
        num_heads=found if isinstance(found, int) else None,
        img_size=default_img_size(model),
        signature=lookalikes.signature(model),
    )


def names_of(arch: str, model_args: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Names of the encoder's tensors in a timm architecture."""
    return tuple(_network(arch, model_args).shapes)


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _shape(found: Found, name: str) -> tuple[int, ...] | None:
    tensor = found.state.get(name)
    return None if tensor is None else tuple(tensor.shape)


def _odd_head(found: Found, network: _Network) -> bool:
    """Whether the file's classifier has other layers than timm's, which a dialect may know."""
    return any(
        name.startswith(network.heads) and name not in network.head_names for name in found.state if network.heads
    )


# --- dialects ---------------------------------------------------------------------------------------------------------


def _measured(dialect: Dialect | None, found: Found) -> dict[str, Any]:
    if dialect is None:
        return {}
    try:
        return {**dialect.hints, **dialect.measure(found.state)}
    except InputError:
        raise
    except (RuntimeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        reason = f"no tensor {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(f"layers named as in {dialect.name}, of other shapes or types: {reason}") from error


def translated(contents: Contents, found: Found, dialect: Dialect | None) -> Translation:
    """The encoder's tensors by timm's names.

    Raises:
        InputError: layers that are named as in the dialect, but of other shapes.
    """
    if dialect is None:
        return Translation(dict(found.state))
    try:
        return to_timm(dialect, found.state)
    except InputError as error:
        raise InputError(f"{contents.file}: {error}") from error
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        reason = f"no tensor {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
        raise InputError(f"{contents.file}: layers named as in {dialect.name}, of other shapes: {reason}") from error
