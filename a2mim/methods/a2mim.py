"""A2MIM ("Architecture-Agnostic Masked Image Modeling - From ViT back to CNN", arXiv:2205.13943), section 4."""

from __future__ import annotations

from a2mim.settings import PretrainSettings

from .masked import MaskedMethod
from .method import Encoder


class A2MIM(MaskedMethod):
    """z_mask = z + T·D(M) at an inner site, mean colour at the input, L = L_spa + λ·L_freq (Eq. 6).

    The ablations are settings of this method: a token that adds, replaces or is absent at any site (Figures 6, A3),
    fills, L_freq absent, without its weight ω and with it (Table 5), and every choice of the authors' code.

    Notes:
        The paper and the published ViT recipes add: z + T·D(M). The published CNN recipes replace, with γ from 10⁻⁶:
        z·(1 − D(M)) + γ·z·D(M) + T·D(M), ``token`` replace and ``gamma``.
    """

    @classmethod
    def site_and_token(cls, settings: PretrainSettings, encoder: Encoder) -> tuple[str, str]:
        return settings.mask_layer, "add" if settings.token == "auto" else settings.token

    def summary(self) -> str:
        loss = self.criterion.settings
        if not loss.freq_ave_spectrum or not loss.freq_lambda:
            return super().summary()
        return (
            f"{super().summary()}; spectra are averaged over a batch, so L_freq falls as 1 / batch: freq_lambda "
            f"{loss.freq_lambda:g} is for batches of {self.settings.batch_size}"
        )
