"""Settings of the analyses ``occlusion`` and ``shuffle``; no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from a2mim.errors import InputError

from ..core.choices import BASELINES
from ..core.options import Asks, option

RATIOS = tuple(round(0.1 * step, 1) for step in range(11))
PATCHES = ("random", "salient", "non-salient")


@dataclass(frozen=True)
class OcclusionSettings:
    """Accuracy against the share of hidden patches (section 3.1, Figure 1 a-d)."""

    asks: ClassVar = Asks("classifiers")

    grid: tuple[int, int] | None = option(
        None, "Cells over the image.", kind="grid", shown="14x14, or what divides the image"
    )
    ratios: tuple[float, ...] = option(RATIOS, "Shares of hidden patches.", kind="ratios")
    runs: int = option(5, "Masks drawn for each image and ratio.", between=(1, float("inf")))
    fill: str = option(
        "dataset-mean",
        "What hidden patches are replaced with; 'all' measures each.",
        (*BASELINES, "all"),
    )
    patches: str = option("random", "Which patches are hidden first.", PATCHES)
    nested: bool = option(False, "Keep patches hidden at every larger ratio: smoother curves.")
    batch_shared_mask: bool = option(False, "Use one mask for all images of a run, as the published code does.")
    saliency: str | None = option(
        None,
        "What is salient.",
        ("attention", "gradient"),
        shown="attention of a ViT's class token, gradient of any other network",
    )
    saliency_checkpoint: str | None = option(
        None, "Network whose saliency is taken, such as a DINO ViT.", shown="each network's own"
    )
    saliency_head: int | None = option(None, "Attention head.", between=(0, float("inf")), shown="the mean over heads")
    seed: int = option(0, "Seed for choosing images and for every random draw.", flag="none")

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(sorted(set(self.ratios))))
        guided = (self.saliency, self.saliency_checkpoint, self.saliency_head)
        if self.patches == "random" and guided != (None, None, None):
            raise InputError("a saliency has no use with random patches; choose patches 'salient' or 'non-salient'")

    @property
    def fills(self) -> tuple[str, ...]:
        """The fills that are measured."""
        return BASELINES if self.fill == "all" else (self.fill,)

    def to_json(self) -> dict[str, Any]:
        """As parts and the file of settings hold them."""
        values = asdict(self) | {"fill": list(self.fills)}
        keys = {"source": "saliency", "checkpoint": "saliency_checkpoint", "head": "saliency_head"}
        saliency = {key: values.pop(name) for key, name in keys.items()}
        return {**values, "saliency": None if self.patches == "random" else saliency}


@dataclass(frozen=True)
class ShuffleSettings:
    """Accuracy when the patches of a k x k grid are shuffled: whether the arrangement matters (section 3.1)."""

    asks: ClassVar = Asks("classifiers")

    sides: tuple[int, ...] | None = option(
        None, "Sides k of grids of k x k cells.", kind="counts", shown="those of 1,2,4,8,16 that fit"
    )
    runs: int = option(5, "Orders drawn for each image.", between=(1, float("inf")))
    seed: int = option(0, "Seed for choosing images and for every random draw.", flag="none")
