"""What a format is: where one codebase puts its encoder in a file, and what else the file holds.

How the layers are named is the business of the dialects (``names_*.py``), so that a method and an architecture need not
be listed for each other. The formats themselves are in ``table``, the search in ``finding``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from a2mim.checkpoint.files.contents import Contents
from a2mim.checkpoint.files.globs import fits

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
            ``"kind=pretrain"``; the value may be a glob.
        encoders: label -> ``prefix`` or ``group:prefix`` of an encoder; the one that the authors evaluate first. A
            label whose place is empty in a file is not on offer. No entries: found by the names of its layers.
        parts: name of a part that is not an encoder -> globs of its names in the file: dropped, and reported so.
        classifier: prefixes of the classifier where it lies outside the encoder: ("head.fc.",).
        outside: prefix of another piece of the encoder that lies outside of it -> what its names begin with inside.
        kind: "pre-training" or "classifier" or what else the file is from.
        normalisation: (mean, std) of the images that the encoder was trained on; None where the file or timm says it.
        hints: what meta says about the architecture (``num_heads``, ``img_size``, ...), see ``architectures``.
        exact: the encoder's tensors are named as timm names them, whatever they are called: none is looked at as a part
            of another kind or in another codebase's words.
        apart: ``parts`` lie outside of the encoder: what begins with its prefix is its own, whatever it is called.
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
    exact: bool = False
    apart: bool = False

    def fits(self, contents: Contents) -> bool:
        return (
            all(contents.has(glob) for glob in self.has)
            and not any(contents.has(glob) for glob in self.lacks)
            and all(_says(contents.meta, key) for key in self.meta)
        )


def args(**renamed: str) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Hints from the file: ``args(img_size="args.input_size")``; a key that the file lacks gives no hint."""

    def read(meta: Mapping[str, Any]) -> Mapping[str, Any]:
        found = {ours: look_up(meta, theirs) for ours, theirs in renamed.items()}
        return {ours: value for ours, value in found.items() if value is not None}

    return read


def always(**hints: Any) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Hints that hold for every file of the format."""
    return lambda meta: hints


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
    return found is not None and (not equals or fits(str(found), (value,)))
