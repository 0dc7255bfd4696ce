"""Distances of errors, and the spatial loss L_spa: the distance between prediction and image over hidden pixels.

Errors are prediction - image, (B, 3, H, W), of normalised images. ``hidden`` is the mask at the size of the image,
(B, 1, H, W), 1.0 = hidden, 0.0 = visible.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch


def squared(error: torch.Tensor) -> torch.Tensor:
    """|e|² of a real or complex tensor: real, same shape."""
    # several times faster on a CPU than abs().square(), and without the root, whose slope at 0 is infinite
    return (error * error.conj()).real


def focal_l1(error: torch.Tensor) -> torch.Tensor:
    """|e|·(2σ(0.2·|e|) - 1) of a real or complex tensor: L1 that rises slowly near 0.

    Notes:
        Not in the paper, which does not state the norm of L_spa: it is the loss of the published CNN recipes. Computed
        by 2σ(x) - 1 = tanh(x/2).
    """
    magnitude = error.abs()
    return magnitude * torch.tanh(0.1 * magnitude)


DISTANCES: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {"l1": torch.abs, "l2": squared, "focal-l1": focal_l1}
)


def spatial_loss(error: torch.Tensor, hidden: torch.Tensor, distance: str = "l1") -> torch.Tensor:
    """L_spa = ‖x_pred - x‖ ⊙ M (beside Eq. 6): the mean distance over hidden pixels and channels of the whole batch.

    Args:
        error: x_pred - x, (B, C, H, W).
        hidden: M, (B, 1, H, W), 1.0 = hidden.
        distance: ``l1`` |e|, ``l2`` |e|², ``focal-l1`` see ``focal_l1``.

    Returns:
        Scalar; 0 if nothing is hidden.

    Notes:
        The paper states neither the norm nor its divisor. SimMIM (arXiv:2111.09886) and the authors' code use L1 and
        the mean over hidden elements.
    """
    total = (DISTANCES[distance](error) * hidden).sum()
    return total / (hidden.sum() * error.shape[1]).clamp(min=1)
