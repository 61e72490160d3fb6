"""Tails of the normal and the chi-square distribution, in logarithms where a probability would be 0."""

import numpy as np
from scipy.special import gammaincc, gammaln, log_ndtr, ndtri_exp, xlogy

from projections.statistics.sums import Floats, Numbers

LOG_10 = float(np.log(10.0))


def critical(confidence: float) -> float:
    """How many standard errors a two-sided interval of that confidence reaches."""
    return float(-ndtri_exp(np.log1p(-confidence) - np.log(2.0)))


def critical_at(alpha: float) -> float:
    """How many standard errors are significant, two-sided: `critical` of 1 - α, which may be too near to 1."""
    return float(-ndtri_exp(np.log(alpha) - np.log(2.0)))


def two_sided(z: Numbers) -> Floats:
    """P(|Z| ≥ |z|), 0 beyond z = 38; its logarithm goes on."""
    return np.asarray(np.exp(np.log(2.0) + log_ndtr(-np.abs(z))))


def log10_two_sided(z: Numbers) -> Floats:
    found: Floats = (np.log(2.0) + log_ndtr(-np.abs(z))) / LOG_10
    return np.minimum(found, 0.0)


def log_chi_square_tail(statistic: float, degrees: int) -> float:
    """ln P(χ² ≥ statistic); Q(a, x) by its continued fraction (DLMF 8.9.2) where it would be 0."""
    a, x = degrees / 2, statistic / 2
    found = float(gammaincc(a, x))
    if found > 1e-290:
        return float(np.log(found))
    fraction = 0.0
    for step in range(60, 0, -1):
        fraction = step * (step - a) / (x + 2 * step + 1 - a - fraction)
    return float(xlogy(a, x) - x - gammaln(a) - np.log(x + 1 - a - fraction))
