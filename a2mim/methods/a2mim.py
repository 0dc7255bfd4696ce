"""A2MIM (section 4): mean colour at the input, a mask token added inside the encoder, a loss in two domains."""

from __future__ import annotations

from a2mim.settings import PretrainSettings

from .masked import MaskedMethod
from .method import Encoder


class A2MIM(MaskedMethod):
    """z_mask = z + T·D(M) at an inner site, L = L_spa + λ·L_freq (Eq. 6).

    The ablations are settings of this method: token added, replacing or left out at any site (Figures 6, A3), fills,
    L_freq left out, without its weight ω and with it (Table 5), and every choice of the authors' code.

    Notes:
        The paper writes z + T·D(M). The published recipes replace, z·(1 − D(M)) + γ·z·D(M) + T·D(M), with γ starting at
        10⁻⁶ or left out: ``token`` replace, ``gamma``.
    """

    @classmethod
    def site_and_token(cls, settings: PretrainSettings, encoder: Encoder) -> tuple[str, str]:
        return settings.mask_layer, "add" if settings.token == "auto" else settings.token

    def summary(self) -> str:
        loss = self.criterion.settings
        if not loss.freq_ave_spectrum or not loss.freq_lambda:
            return super().summary()
        return (
            f"{super().summary()}; spectra are averaged over a batch, so that freq_lambda {loss.freq_lambda:g} means "
            f"another weight at another batch size than {self.settings.batch_size}"
        )
