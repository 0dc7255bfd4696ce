"""Intervals of averages over images and pairs: a two-stage bootstrap with the width that the images' spread tells."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats

from ..interactions.games import Floats

RESAMPLES = 1000
LEVEL = (0.025, 0.975)


def resampled_means(values: Floats, generator: np.random.Generator) -> Floats:
    """Two-stage bootstrap of the mean: (images, ratios, P) -> (resamples, ratios).

    Images are drawn with replacement, then pairs within each drawn image. All ratios see the same draw, as J(m)
    compares them, and so do two models under generators of one seed.

    Drawn like this alone, the variation between pairs counts twice, as the images' means hold it too, and the spread of
    few images is underestimated. So the deviations from the mean are scaled, at each ratio, to the standard error that
    the N images' means have, sd/√N, times t/z, the 97.5 % quantiles of Student's (N − 1 degrees) and of the normal
    distribution. With one image the pairs alone are drawn, and the interval speaks of that image.
    """
    n_images, n_ratios, n_pairs = values.shape
    by_pair = values.transpose(0, 2, 1).reshape(-1, n_ratios)  # (images * P, ratios)
    means = np.empty((RESAMPLES, n_ratios))
    for resample in range(RESAMPLES):
        times = generator.multinomial(n_images, np.full(n_images, 1 / n_images))
        # an image that was drawn c times has its P pairs drawn c·P times in all
        weight = generator.multinomial(times * n_pairs, np.full(n_pairs, 1 / n_pairs))  # (images, P)
        means[resample] = weight.ravel() @ by_pair / (n_images * n_pairs)
    mean = values.mean(axis=(0, 2))
    return mean + (means - mean) * _scale(values, means)


def _scale(values: Floats, means: Floats) -> Floats:
    """Standard error that the values tell over the one that the resamples have, for each ratio."""
    n = values.shape[0]
    units = values.mean(axis=2) if n > 1 else values[0].T  # (N, ratios), or (P, ratios) of a single image
    if len(units) == 1:
        return np.ones(values.shape[1])
    wide = scipy.stats.t.ppf(LEVEL[1], len(units) - 1) / scipy.stats.norm.ppf(LEVEL[1])
    error = wide * units.std(axis=0, ddof=1) / math.sqrt(len(units))
    spread = means.std(axis=0, ddof=1)
    return np.divide(error, spread, out=np.ones_like(error), where=spread > 0)


def interval(resampled: Floats) -> Floats:
    """Lower and upper ends of the 95 % interval, (2, ...)."""
    return np.quantile(resampled, LEVEL, axis=0)
