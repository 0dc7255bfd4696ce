"""Methods of pre-training, each with its label, colour and place in figures and tables; families of networks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from . import colours


class Known(NamedTuple):
    """How figures and tables show a method."""

    label: str
    colour: str


KNOWN = {  # by the names that settings and results use, in the order of figures and tables
    "random": Known("Random", colours.BLACK),
    "scratch": Known("From scratch", colours.ORANGE),
    "supervised": Known("Supervised", colours.PINK),
    "inpainting": Known("Inpainting", colours.SKY),
    "simmim": Known("SimMIM", colours.BLUE),
    "mocov3": Known("MoCo v3", colours.GREEN),
    "a2mim": Known("A²MIM", colours.VERMILION),
}
CONTRASTIVE = ("moco", "simclr", "byol", "dino", "swav", "simsiam", "barlow", "vicreg", "infonce", "contrastive")
UNTRAINED = ("random", "scratch")
TRANSFORMERS = r"vit|deit|beit|swin|cait|xcit|eva|transformer"
CONVOLUTIONAL = r"res|cnn|conv|dense|efficientnet|regnet|vgg|mobilenet|inception|nfnet|dla|moganet|van\b"


def known(name: object) -> str | None:
    """The key of a known method in any spelling of its key or label ("A²MIM", "MoCoV3"); None for other names."""
    plain = _plain(name)
    return _SPELLINGS.get(plain)


def labels(names: Iterable[str]) -> dict[str, str]:
    """The label of each name: a known method's label; for other names, and where a label is taken, the name itself."""
    found: dict[str, str] = {}
    for name in dict.fromkeys(names):
        key = known(name)
        label = KNOWN[key].label if key else str(name)
        found[name] = str(name) if label in found.values() else label
    return found


def ordered(names: Iterable[str]) -> list[str]:
    """Each name once: known methods in the order of ``KNOWN``, then the others in the given order."""
    places = list(KNOWN)
    unique = list(dict.fromkeys(names))
    return sorted(unique, key=lambda name: places.index(key) if (key := known(name)) else len(places))


def is_contrastive(name: object) -> bool:
    """Whether the name is that of a contrastive method (MoCo, DINO, ...)."""
    return any(word in _plain(name) for word in CONTRASTIVE)


def is_untrained(name: object) -> bool:
    """Whether the name is that of a start without pre-training."""
    return any(word in _plain(name) for word in UNTRAINED)


def family(network: object) -> str | None:
    """``transformer`` or ``cnn``, recognised from the network's name; None if the name says neither."""
    name = str(network).lower()
    if re.search(TRANSFORMERS, name):
        return "transformer"
    return "cnn" if re.search(CONVOLUTIONAL, name) else None


def ordered_networks(networks: Iterable[str]) -> list[str]:
    """Each network once, transformers first as in the paper."""
    return sorted(dict.fromkeys(networks), key=lambda network: family(network) != "transformer")


def shorten(name: object, limit: int = 40) -> str:
    """The name on one line; if it is longer than ``limit`` characters, an ellipsis replaces its middle."""
    text = " ".join(str(name).split())
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[-tail:]}"


def _plain(name: object) -> str:
    """The name's letters and digits, in lower case."""
    return re.sub(r"[^a-z0-9]", "", unicodedata.normalize("NFKC", str(name)).lower())


_SPELLINGS = {
    **{key: key for key in KNOWN},
    **{_plain(method.label): key for key, method in KNOWN.items()},
    "pytorchsup": "supervised",
    "deitsup": "supervised",
}
