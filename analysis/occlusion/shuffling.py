"""Images whose cells are shuffled (section 3.1 of the paper): whether the arrangement of patches matters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from a2mim import seeds
from a2mim.errors import InputError, RunError

from ..core.arrays import Bools
from ..core.networks import check_logits, check_model, eval_mode
from .masks import draws

SHUFFLES = (2, 4, 8, 16)  # cells along each side


@torch.inference_mode()
def shuffled_correct(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    indices: Sequence[int],
    sides: Sequence[int],
    *,
    runs: int = 5,
    seed: int = 0,
    batch_size: int = 256,
) -> Bools:
    """Whether each image is classified correctly when its cells are shuffled: bool (B, runs, sides).

    Args:
        sides: k for grids of k x k cells; they divide H and W.
        The rest: see ``sweep``.
    """
    check_model(model)
    span = int(labels.min()), int(labels.max())
    answer = np.empty((len(images), runs, len(sides)), dtype=bool)
    with eval_mode(model):
        for column, side in enumerate(sides):
            for run in range(runs):
                shown = shuffle(images, indices, side, run=run, seed=seed)
                logits = torch.cat([model(part) for part in shown.split(batch_size)])
                check_logits(logits, span)
                if not logits.isfinite().all():
                    raise RunError("the model gave logits that are not finite; are its weights sound?")
                answer[:, run, column] = (logits.argmax(1).cpu() == labels.cpu()).numpy()
    return answer


def shuffle(images: torch.Tensor, indices: Sequence[int], side: int, *, run: int, seed: int = 0) -> torch.Tensor:
    """The images with their side x side cells in random order, drawn from (seed, image, run, side) alone.

    Raises:
        InputError: a grid that does not divide the images.
    """
    n, channels, height, width = images.shape
    check_side(side, height, width)
    order = draws(indices, side * side, seeds.derive(seed, "shuffle", run, side)).argsort(axis=1, kind="stable")
    cells = images.unflatten(3, (side, -1)).unflatten(2, (side, -1))  # (B, 3, rows, h, cols, w)
    cells = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)  # (B, cells, 3, h, w)
    moved = cells[torch.arange(n, device=images.device)[:, None], torch.from_numpy(order).to(images.device)]
    moved = moved.unflatten(1, (side, side)).permute(0, 3, 1, 4, 2, 5)
    return moved.reshape(n, channels, height, width)


def check_side(side: int, height: int, width: int) -> None:
    """Raise InputError unless side x side cells divide an image of height x width pixels."""
    if side < 1 or height % side or width % side:
        raise InputError(f"a shuffle of {side}x{side} cells does not divide images of {height}x{width} pixels")
