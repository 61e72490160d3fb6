"""The winner's test: nearly as strong as a single look at the planned sample, and still valid at any other moment.

A difference accumulates information like a Brownian motion, B(t) = z·√t, t = 1 at the planned sample. It is significant
above a line that falls to c at t = 1, and after it above one that rises again in 1/t, a Brownian motion too. What each
line is crossed with is exact (Doob 1949; Siegmund, Sequential Analysis, 1985, chapter III), and so is a bound on both:
Φ(-c) + Σ exp(2k(1+k)c²)·Φ(-(1+2k)c), k the slopes. Stopping early as O'Brien and Fleming do (Biometrics 35, 1979) is
the line without a slope.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

from projections.statistics.sums import Floats, Numbers

SLOPE_BEFORE = 1.5
"""Steeper lines are stronger at the planned sample, and later where the effect is larger than planned."""
SLOPE_AFTER = 3.0


class Fraction(NamedTuple):
    """How far an experiment is: independent customers who paid once, against so many planned in each arm."""

    t: Floats

    @property
    def nearness(self) -> Floats:
        """1 at the planned sample, less before and after it."""
        return np.minimum(self.t, 1 / self.t)

    @property
    def slope(self) -> Floats:
        return np.where(self.t <= 1, SLOPE_BEFORE, SLOPE_AFTER)


def fraction(of_control: Numbers, of_treatment: Numbers, planned: Numbers) -> Fraction:
    """Of effective trials; the smaller arm decides."""
    return Fraction(np.asarray(np.minimum(of_control, of_treatment) / planned))


def log_horizon_p(z: Numbers, reached: Fraction) -> Floats:
    """ln of the one-sided p-value, valid at every look, that an effect is above 0."""
    u = reached.nearness
    return _log_crossed(np.asarray(z) * np.sqrt(u) / (1 + reached.slope * (1 - u)))


def horizon_z(reached: Fraction, alpha: float) -> Floats:
    """How many standard errors are significant, one-sided."""
    u = reached.nearness
    return np.asarray(_height(alpha) * (1 + reached.slope * (1 - u)) / np.sqrt(u))


def _log_crossed(height: Numbers) -> Floats:
    """ln of a bound on the probability that either line is ever crossed."""
    c = np.maximum(height, 0.0)
    found: Floats = log_ndtr(-c)
    for slope in (SLOPE_BEFORE, SLOPE_AFTER):
        found = np.logaddexp(found, 2 * slope * (1 + slope) * c * c + log_ndtr(-(1 + 2 * slope) * c))
    return np.minimum(found, 0.0)


@cache
def _height(alpha: float) -> float:
    """c. Raises ValueError where alpha is not between 0 and a half."""
    return float(brentq(lambda c: float(_log_crossed(c)) - np.log(alpha), 0.3, 40.0, xtol=1e-12))
