"""Reconstructions of masked images (Figures 5, A2 and A3 of the paper), as pictures and as numbers."""

from .pictures import Energies, Panels, band_edges, band_energies, masks, panels, scores, ssim, without_token

__all__ = ["Energies", "Panels", "band_edges", "band_energies", "masks", "panels", "scores", "ssim", "without_token"]
