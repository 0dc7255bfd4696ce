"""The A2MIM model (section 4, Figure 4 of arXiv:2205.13943): a timm encoder, a mask token in it, and a linear head."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from a2mim.choices import FILLS, TOKENS
from a2mim.encoders import sites
from a2mim.encoders.build import build_encoder, default_img_size
from a2mim.encoders.fitting import check_size, mask_stride, stride_of
from a2mim.errors import InputError
from a2mim.masking import fill_masked, misfit


class LinearHead(nn.Module):
    """The paper's decoder: one linear layer from each feature to its pixels.

    (B, C, h, w) -> 1x1 convolution -> (B, 3·r², h, w) -> pixel shuffle -> (B, 3, r·h, r·w), with r the total stride.
    """

    def __init__(self, channels: int, stride: int):
        super().__init__()
        self.project = nn.Conv2d(channels, 3 * stride**2, kernel_size=1)
        self.shuffle = nn.PixelShuffle(stride)
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.constant_(self.project.bias, 0)  # type: ignore[arg-type]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        # in NHWC the shuffle is slow, and so is a loss that compares NHWC with NCHW
        return self.shuffle(self.project(features).contiguous())


class MaskedImageModel(nn.Module):
    """z_mask = z + T·D(M) (section 4): reconstructs an image whose masked cells are hidden.

    The encoder is a timm model that runs unchanged: the site adds the token by a hook, removed after each pass.

    Args:
        encoder: timm model without a classifier.
        img_size: (H, W) in pixels.
        mask_layer: site of the token; ``auto`` is the paper's (see ``a2mim.encoders.sites``).
        fill: what replaces hidden pixels (see ``a2mim.masking.replacement``).
        token: ``add`` (the paper), ``replace``: z·(1 − D(M)) + T·D(M), or ``none``.
        gamma: with ``replace``, the initial value of a learnable scale per channel of the features under the token:
            z·(1 − D(M)) + γ·z·D(M) + T·D(M). None removes them.
        mean, std: normalisation of the images; used by ``fill="black"`` and to draw the output.

    Attributes:
        mask_stride: pixels that the side of a mask cell should be a multiple of (see ``a2mim.masking.auto_cell``).
    """

    def __init__(
        self,
        encoder: nn.Module,
        img_size: tuple[int, int],
        *,
        mask_layer: str = "auto",
        fill: str = "image-mean",
        token: str = "add",
        gamma: float | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ):
        super().__init__()
        _check(fill, token, gamma)
        self.encoder = encoder
        self.img_size = img_size
        self.fill = fill
        self.token = token
        self.mean = tuple(mean) if mean is not None else tuple(encoder.default_cfg["mean"])  # type: ignore[index]
        self.std = tuple(std) if std is not None else tuple(encoder.default_cfg["std"])  # type: ignore[index]
        self.arch = ""
        self.model_args: dict[str, Any] = {}
        self.site = sites.find(encoder, mask_layer, img_size)
        self.output = sites.output(encoder, img_size)
        check_size(encoder, img_size, self.output.layout.grid)
        self.mask_stride = mask_stride(encoder, self.site, img_size)
        self.known_cells: set[tuple[int, int]] = set()  # grids of masks that were checked against the network's stride
        # as SimMIM and the published code; cut at an absolute 2, which cuts nothing
        self.mask_token = nn.Parameter(nn.init.trunc_normal_(torch.zeros(self.site.channels), std=0.02))
        self.gamma = nn.Parameter(torch.full((self.site.channels,), gamma)) if gamma is not None else None
        if token == "none":
            self.mask_token.requires_grad_(False)
        self.head = LinearHead(self.output.layout.channels, total_stride(img_size, self.output.layout.grid))
        self.checkpointed = False

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """As in timm: keep fewer activations, and recompute the others in the backward pass."""
        self.encoder.set_grad_checkpointing(enable)  # type: ignore[operator]
        self.checkpointed = enable

    @property
    def mim_args(self) -> dict[str, Any]:
        """The settings that build this model again, with ``arch`` and ``model_args``; plain JSON values."""
        return {
            "mask_layer": self.site.name,
            "img_size": list(self.img_size),
            "fill": self.fill,
            "token": self.token,
            "gamma": None if self.gamma is None else 0.0,  # the learned values are in the weights
            "mean": list(self.mean),
            "std": list(self.std),
        }

    def forward(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Hide, encode with the token, reconstruct (section 4).

        Args:
            images: (B, 3, H, W), normalised; the hidden part is replaced here and never reaches the encoder.
            mask: bool (B, h, w), True = masked; h and w divide H and W.

        Returns:
            Normalised RGB (B, 3, H, W), predicted for visible pixels too.

        Raises:
            InputError: images of another size than ``img_size``, or a mask that does not divide it.
        """
        height, width = self._checked(images, mask)
        x_mask = fill_masked(images, mask, self.fill, mean=self.mean, std=self.std)  # (B, 3, H, W)
        token = functools.partial(self.add_token, mask=mask)  # z -> z_mask = z + T·D(M)
        z = self.site.encode(self.encoder, x_mask, token, self.output, recomputed=self.checkpointed)  # (B, C, h, w)
        return self.head(z)[..., :height, :width]  # the last row and column of features may be padding

    def _checked(self, images: torch.Tensor, mask: torch.Tensor) -> tuple[int, int]:
        """Height and width of the images; warns once if the cells of the mask cut through tokens."""
        height, width = images.shape[-2:]
        if (height, width) != self.img_size:
            raise InputError(f"images of {height}x{width} pixels given to a model for {self.img_size}")
        grid = (mask.shape[-2], mask.shape[-1])
        if grid not in self.known_cells and self.token != "none":
            self.known_cells.add(grid)
            if remark := misfit(self.img_size, max(height // grid[0], 1), self.mask_stride):
                warnings.warn(remark, stacklevel=5)  # of the line that calls the model
        return height, width

    def add_token(self, branch: int, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """z + T·D(M), or the replacing forms: the features at the site, with the token where the mask is True.

        If the site has several maps, ``branch`` is the number of this one, and its channels of T (and γ) are used.
        """
        if self.token == "none":
            return features
        layout = self.site.layouts[branch]
        hidden = layout.mask(mask).to(features.dtype)
        token = layout.vector(self._share(self.mask_token, branch).to(features.dtype))
        if self.token == "replace":
            kept = features * (1 - hidden)
            if self.gamma is not None:
                kept = kept + layout.vector(self._share(self.gamma, branch).to(features.dtype)) * features * hidden
            features = kept
        return torch.addcmul(features, hidden, token)

    def _share(self, vector: torch.Tensor, branch: int) -> torch.Tensor:
        """The part of a vector over the site's channels that belongs to one of its maps."""
        return vector.split([layout.channels for layout in self.site.layouts])[branch]


def total_stride(img_size: tuple[int, int], grid: tuple[int, int]) -> int:
    """Pixels along the side of the square that one feature reconstructs, for images (H, W) and features (h, w).

    The smallest number that covers the image; if the grid does not divide it, the next power of two if that gives the
    same grid: 32 for 6 features over 176 pixels, of which the last is half padding.
    """
    stride = max(math.ceil(size / side) for size, side in zip(img_size, grid, strict=True))
    exact = all(size == side * stride for size, side in zip(img_size, grid, strict=True))
    return stride if exact else stride_of(img_size, grid) or stride


def create_model(
    arch: str,
    *,
    mask_layer: str = "auto",
    model_args: Mapping[str, Any] | None = None,
    img_size: int | Sequence[int] | None = None,
    fill: str = "image-mean",
    token: str = "add",
    gamma: float | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    pretrained: bool = False,
) -> MaskedImageModel:
    """A2MIM (arXiv:2205.13943) around any timm architecture.

    Args:
        arch: name in ``timm.list_models()``.
        mask_layer: site of the mask token; ``auto`` is the paper's.
        model_args: keywords for timm (``embed_dim``, ``depth``, ``channels``, ...).
        img_size: pixels, one number or (H, W); default: that of ``model_args``, else the architecture's.
        fill, token, gamma, mean, std: see ``MaskedImageModel``.
        pretrained: start the encoder from timm's weights.

    Returns:
        ``MaskedImageModel``; ``model(images (B, 3, H, W), mask (B, h, w)) -> (B, 3, H, W)``.

    Raises:
        InputError: an unknown architecture or site, or arguments or a size of images that do not fit.

    Examples:
        >>> import torch
        >>> from a2mim.masking import random_mask
        >>> model = create_model("vit_tiny_patch16_224", img_size=64, mask_layer="block5")
        >>> images, mask = torch.randn(2, 3, 64, 64), random_mask(2, (4, 4), 0.6)
        >>> model(images, mask).shape
        torch.Size([2, 3, 64, 64])
    """
    _check(fill, token, gamma)
    asked = (model_args or {}).get("img_size") if img_size is None else img_size
    given = None if asked is None else _pair(asked)
    encoder, args = build_encoder(arch, model_args, img_size=given, pretrained=pretrained)
    size = given or default_img_size(encoder)
    model = MaskedImageModel(
        encoder, size, mask_layer=mask_layer, fill=fill, token=token, gamma=gamma, mean=mean, std=std
    )
    model.arch, model.model_args = arch, args
    return model


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _check(fill: str, token: str, gamma: float | None) -> None:
    if fill not in FILLS:
        raise InputError(f"unknown fill '{fill}'; known: {', '.join(FILLS)}")
    if token not in TOKENS:
        raise InputError(f"unknown token mode '{token}'; known: {', '.join(TOKENS)}")
    if gamma is not None and token != "replace":
        raise InputError("gamma scales the features under a replacing token: it needs token 'replace'")
