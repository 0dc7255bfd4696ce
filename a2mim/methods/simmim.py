"""SimMIM ("SimMIM: a Simple Framework for Masked Image Modeling", arXiv:2111.09886), the baseline of the paper."""

from __future__ import annotations

from torch import nn

from a2mim.encoders import sites
from a2mim.encoders.fitting import patch_embedding
from a2mim.errors import InputError
from a2mim.model import MaskedImageModel
from a2mim.settings import PretrainSettings

from .masked import MaskedMethod
from .method import Encoder

SITES = ("input", "stem")


class SimMIM(MaskedMethod):
    """x·(1 − M) + T·M, x the patches after the patch embedding (or pixels): a token replaces them; L1 on hidden pixels.

    CNNs have no patches to replace: hidden pixels are zero and there is no token. The paper's "modified" SimMIM for
    CNNs (section 5.4, appendix B) fills them with the mean colour: ``fill`` image-mean. For a token in a CNN, set
    ``token`` replace and ``mask_layer``.

    Notes:
        All encoders use one mask ratio and cells of 32 pixels, as in the paper.
    """

    @classmethod
    def site_and_token(cls, settings: PretrainSettings, encoder: Encoder) -> tuple[str, str]:
        site, token = settings.mask_layer, settings.token
        if site not in ("auto", *SITES):
            raise InputError(
                f"simmim replaces patches at the input or after the patch embedding, not at '{site}': mask_layer auto, "
                f"{', '.join(SITES)}; method a2mim with token replace acts at any site"
            )
        if token == "add":
            raise InputError("simmim replaces patches with its token; use method a2mim to add one")
        patches = patch_embedding(encoder.module) is not None
        if token == "auto":
            token = "replace" if patches or site != "auto" else "none"
        if site == "auto":
            site = "stem" if patches else "input"
        return site, token

    @classmethod
    def create_model(cls, settings: PretrainSettings, native_size: int | None) -> MaskedImageModel:
        model = super().create_model(settings, native_size)
        if "stage1" not in sites.names(model.encoder, model.img_size):
            # SimMIM cuts the token of a ViT at one standard deviation, but not that of Swin
            nn.init.trunc_normal_(model.mask_token, std=0.02, a=-0.02, b=0.02)
        return model
