"""Layouts: how the features of a network lie in memory, and how a mask is applied to them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from a2mim.errors import InputError
from a2mim.masking import resize_mask

PREFIXES = range(6)  # tokens in front of the patches: none, class, distillation, registers


@dataclass(frozen=True)
class Layout:
    """How the features of a batch lie in memory.

    Args:
        order: NCHW, NHWC, NLC or NCL; N is the batch, L the tokens.
        channels: C.
        grid: rows and columns (h, w) of the features.
        prefix: tokens at the front without a cell (class token, registers).
        cells: number (row by row) of the cell of each token; None if the tokens are in row order.
    """

    order: str
    channels: int
    grid: tuple[int, int]
    prefix: int = 0
    cells: tuple[int, ...] | None = None

    @classmethod
    def of(
        cls, features: torch.Tensor, img_size: tuple[int, int], prefix_tokens: int = 0, order: str | None = None
    ) -> Layout:
        """Recognise the layout of ``features`` (B, ...) that a network computed from images of ``img_size`` (H, W).

        The grid is the pair of dimensions whose shape is nearest to the image's; if several readings fit equally,
        ``order`` decides.

        Raises:
            InputError: features that are not a map over the image.
        """
        readings = list(cls._readings(tuple(features.shape[1:]), img_size, prefix_tokens))
        if not readings:
            raise InputError(f"features of shape {tuple(features.shape)} are not a map over an image of {img_size}")
        best = min(_mismatch(reading.grid, img_size) for reading in readings)
        readings = [reading for reading in readings if math.isclose(_mismatch(reading.grid, img_size), best)]
        return next((reading for reading in readings if reading.order == order), readings[0])

    @classmethod
    def _readings(cls, shape: tuple[int, ...], img_size: tuple[int, int], prefix_tokens: int) -> Iterator[Layout]:
        if len(shape) == 3:
            for order, channels, grid in (("NCHW", shape[0], shape[1:]), ("NHWC", shape[2], shape[:2])):
                if _like_image(grid, img_size):
                    yield cls(order, channels, (grid[0], grid[1]))
        elif len(shape) == 2:
            for order, tokens, channels in (("NLC", *shape), ("NCL", *shape[::-1])):
                for prefix in dict.fromkeys((prefix_tokens, *PREFIXES)):
                    found = grid_of(tokens - prefix, img_size)
                    if found and (order == "NLC" or (not prefix and channels not in PREFIXES)):  # only class tokens
                        yield cls(order, channels, found, prefix)
                        break

    @property
    def is_tokens(self) -> bool:
        return self.order in ("NLC", "NCL")

    def mask(self, mask: torch.Tensor) -> torch.Tensor:
        """D(M): the mask (B, h, w) on this grid, shaped to broadcast over the features; prefix tokens are visible."""
        mask = resize_mask(mask, self.grid)
        if self.is_tokens:
            tokens = mask.flatten(1)
            if self.cells is not None:
                tokens = tokens[:, torch.tensor(self.cells, device=mask.device)]
            tokens = F.pad(tokens, (self.prefix, 0))
            return tokens[..., None] if self.order == "NLC" else tokens[:, None]
        return mask[:, None] if self.order == "NCHW" else mask[..., None]

    def vector(self, vector: torch.Tensor) -> torch.Tensor:
        """A vector (C,) shaped to broadcast over the features."""
        return {"NCHW": vector.view(1, -1, 1, 1), "NCL": vector.view(1, -1, 1)}.get(self.order, vector)

    def to_map(self, features: torch.Tensor) -> torch.Tensor:
        """The features as a map (B, C, h, w), without prefix tokens."""
        if self.order == "NCHW":
            return features
        if self.order == "NHWC":
            return features.permute(0, 3, 1, 2)
        if self.order == "NLC":
            features = features.transpose(1, 2)
        features = features[..., self.prefix :]
        if self.cells is not None:
            features = features[..., torch.tensor(self.cells, device=features.device).argsort()]
        return features.unflatten(2, self.grid)


def _like_image(grid: tuple[int, ...], img_size: tuple[int, int]) -> bool:
    """Whether (h, w) could be the image (H, W) divided by one stride, up to a row or column of padding."""
    if any(side < 1 or side > size for side, size in zip(grid, img_size, strict=True)):
        return False
    if img_size[0] == img_size[1]:
        return grid[0] == grid[1]
    low = max(size / (side + 1) for side, size in zip(grid, img_size, strict=True))
    high = min(size / (side - 1) if side > 1 else math.inf for side, size in zip(grid, img_size, strict=True))
    return low < high


def _mismatch(grid: tuple[int, int], img_size: tuple[int, int]) -> float:
    """The difference between the strides of rows and columns, as the logarithm of their ratio."""
    return abs(math.log(img_size[0] * grid[1] / (img_size[1] * grid[0])))


def grid_of(tokens: int, img_size: tuple[int, int]) -> tuple[int, int] | None:
    """The grid (h, w) of ``tokens`` patches with the shape of the image, or None; one token is not a grid."""
    if tokens < 2:
        return None
    grids = [(rows, tokens // rows) for rows in range(1, min(tokens, img_size[0]) + 1) if tokens % rows == 0]
    grids = [grid for grid in grids if _like_image(grid, img_size)]
    return min(grids, key=lambda grid: _mismatch(grid, img_size), default=None)
