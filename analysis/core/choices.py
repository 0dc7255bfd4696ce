"""Choices that several analyses offer; no torch and no numpy, so that ``--help`` answers at once."""

from __future__ import annotations

BASELINES = ("dataset-mean", "image-mean", "black", "blur", "noise")  # what hidden patches are replaced with
PORTION = 64  # images of one part, unless an analysis says otherwise
