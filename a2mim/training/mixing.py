"""timm's Mixup, CutMix and the losses for their targets: soft cross-entropy, or binary cross-entropy per class.

Mixup: arXiv:1710.09412; CutMix: arXiv:1905.04899; binary cross-entropy: "ResNet strikes back", arXiv:2110.00476.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from timm.data import Mixup
from timm.loss import BinaryCrossEntropy, LabelSmoothingCrossEntropy, SoftTargetCrossEntropy

from a2mim import distributed, seeds
from a2mim.errors import InputError
from a2mim.settings import FinetuneSettings

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Mixing:
    """timm's Mixup or CutMix, one of them per batch, drawn from the generator of the step.

    Image i is mixed with the i-th from the end of this process's batch. Each process draws separately, as in timm.
    """

    def __init__(self, settings: FinetuneSettings, num_classes: int):
        if settings.batch_size % 2:
            raise InputError(f"Mixup and CutMix mix pairs of images: batch_size {settings.batch_size} must be even")
        self.mixup = Mixup(
            mixup_alpha=settings.mixup,
            cutmix_alpha=settings.cutmix,
            prob=settings.mixup_prob,
            switch_prob=settings.mixup_switch_prob,
            mode=settings.mixup_mode,
            label_smoothing=settings.smoothing,
            num_classes=num_classes,
        )

    def __call__(
        self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mixed images (B, 3, H, W), and targets (B, classes) that sum to 1; the input images are overwritten.

        If B is odd (an image could not be read), the last image is left out.
        """
        even = len(images) - len(images) % 2
        with seeds.isolated(
            generator.initial_seed(), "mixing", distributed.rank()
        ):  # timm draws from NumPy's global generator
            return self.mixup(images[:even], labels[:even])


def create_mixing(settings: FinetuneSettings, num_classes: int) -> Mixing | None:
    """The mixing that the settings ask for, or None."""
    return Mixing(settings, num_classes) if settings.mixup > 0 or settings.cutmix > 0 else None


def create_criterion(settings: FinetuneSettings) -> Loss:
    """The loss of logits (B, classes) and labels (B,), or targets (B, classes) if images are mixed; float32 scalar.

    With mixing, label smoothing is already in the targets.

    Raises:
        InputError: bce_target_thresh without bce_loss.
    """
    mixed = settings.mixup > 0 or settings.cutmix > 0
    if settings.bce_loss:
        smoothing = 0.0 if mixed else settings.smoothing
        return BinaryCrossEntropy(smoothing=smoothing, target_threshold=settings.bce_target_thresh)
    if settings.bce_target_thresh is not None:
        raise InputError(f"bce_target_thresh {settings.bce_target_thresh:g} needs bce_loss, which is off")
    return SoftTargetCrossEntropy() if mixed else LabelSmoothingCrossEntropy(settings.smoothing)
