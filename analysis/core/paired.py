"""Averages over images of several models that saw the same images, and their paired differences, with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

import numpy as np
import pandas as pd

from a2mim import seeds

from ..interactions.games import Floats
from .intervals import interval, resampled_means

Key = TypeVar("Key", bound=Hashable)


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
