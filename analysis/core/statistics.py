"""Intervals of averages over images and pairs, and paired differences of models that saw the same images."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd
import scipy.stats

from a2mim import seeds

from .arrays import Floats

Key = TypeVar("Key", bound=Hashable)

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
    """Standard error by the values, divided by that of the resamples, for each ratio."""
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


def mean_interval(values: Floats, seed: int) -> Floats:
    """95 % interval of the mean over images, (N, M) -> (2, M); NaN for one image, which says nothing of others."""
    if len(values) < 2:
        return np.full((2, values.shape[1]), np.nan)
    return interval(resampled_means(values[:, :, None], seeds.numpy_generator(seed, "images bootstrap")))


def log_ratio_values(above: Floats, below: Floats) -> Floats:
    """The log of a ratio of means as a mean of one value for each image, (N, M), (N, M) -> (N, M).

    log(mean(a) / mean(b)) + a_i / mean(a) − b_i / mean(b): their mean is the log of the ratio, and their spread its
    spread for many images (linearised), so that intervals and paired differences of means hold for ratios too, and stay
    above 0. NaN where a mean is 0.
    """
    a, b = (np.where((mean := one.mean(axis=0)) > 0, mean, np.nan) for one in (above, below))
    return np.log(a / b) + above / a - below / b


def compare(values: Mapping[Key, Floats], against: Mapping[Key, Key], seed: int) -> dict[Key, pd.DataFrame]:
    """Means over images, their intervals, and differences to another entry on the same images.

    Args:
        values: (N, M) for each entry, image for image.
        against: which entry another is compared with; an entry without one has NaN for differences.

    Returns:
        For each entry M rows: value, ci_low, ci_high, difference, difference_ci_low, difference_ci_high. An interval of
        a difference without 0 says that the two differ.
    """
    found = {}
    for key, one in values.items():
        low, high = mean_interval(one, seed)
        rows = pd.DataFrame({"value": one.mean(axis=0), "ci_low": low, "ci_high": high})
        difference = one - values[against[key]] if key in against else np.full_like(one, np.nan)
        ends = mean_interval(difference, seed)
        found[key] = rows.assign(
            difference=difference.mean(axis=0), difference_ci_low=ends[0], difference_ci_high=ends[1]
        )
    return found
