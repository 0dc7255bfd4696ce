r"""Student's t: the one interval of a mean that figures, analyses and claims use.

The mean of n values, independent and about normally distributed, lies with 95 % confidence within

    mean ± t · s / √n,      t = 97.5 % quantile of Student's t distribution with n − 1 degrees of freedom,

where s is the standard deviation of the values with n − 1 in its denominator. Source: Student, "The probable error of a
mean", Biometrika 6, 1908.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtrit

UPPER = 0.975  # the quantile at the upper end of a 95 % interval


class Interval(NamedTuple):
    """A mean with the ends of its 95 % interval, in the unit of the values."""

    mean: float
    low: float
    high: float


def half_width(deviation: Any, n: Any) -> Any:
    """Half of the 95 % interval of a mean, t · s / √n.

    Args:
        deviation: s, the standard deviation of the values (n − 1 in its denominator): a number, array or Series.
        n: how many values it is of; a number, or as many as there are deviations.

    Returns:
        In the unit of the values, as large as ``deviation``; NaN where n is below 2.

    >>> round(float(half_width(0.5, 3)), 3)
    1.242
    """
    return stdtrit(np.maximum(n, 1) - 1, UPPER) * deviation / np.sqrt(np.maximum(n, 1))


def mean_interval(values: Sequence[float] | npt.NDArray[np.floating[Any]] | pd.Series) -> Interval:
    """Mean of values and the ends of its 95 % interval, mean ± t · s / √n.

    Args:
        values: (n,), one for each seed or image. A NaN makes all three numbers NaN.

    Returns:
        mean, low, high; the ends are NaN for one value, and so is the mean for none.

    >>> [round(number, 3) for number in mean_interval([1.0, 2.0, 1.5])]
    [1.5, 0.258, 2.742]
    """
    seen = np.asarray(values, dtype=float)
    mean = float(seen.mean()) if len(seen) else np.nan
    half = float(half_width(seen.std(ddof=1), len(seen))) if len(seen) > 1 else np.nan
    return Interval(mean, mean - half, mean + half)
