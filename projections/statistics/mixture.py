"""Evidence that may be looked at after every outcome: likelihood ratios averaged over how large an effect might be.

Under the hypothesis such an average is a martingale of mean 1, so that it ever reaches 1/α with probability α at most
(Ville 1939; Robbins, Annals of Mathematical Statistics 41, 1970; Johari, Pekelis and Walsh, arXiv 1512.04922). It holds
for means as soon as they are about normal (Waudby-Smith and others, Annals of Statistics 52, 2024, arXiv 2103.06476).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from projections.statistics.sums import Floats, Numbers


class Effects(NamedTuple):
    """Above 0, normal around a centre: those that are looked for, with what weight."""

    center: float
    deviation: float
    weight: float


class Scale(NamedTuple):
    """Normal around 0, of both signs."""

    size: float
    weight: float


def log_evidence(z: Numbers, variance: Numbers, looked_for: Sequence[Effects]) -> Floats:
    """ln of the evidence that an effect is above 0; z is its estimate over its standard error, `variance` the square of
    that error.

    Of effects N(μ, τ²) above 0, the posterior's N(m, s²) with 1/s² = 1/τ² + 1/V and m = s²(μ/τ² + z/√V), it is
    Σ w · s/τ · exp(m²/2s² - μ²/2τ²) · Φ(m/s) / Φ(μ/τ).
    """
    found: Floats = np.asarray(-np.inf)
    for center, deviation, weight in looked_for:
        spread = 1 / np.sqrt(1 / deviation**2 + 1 / np.asarray(variance))
        start = center / deviation
        place = spread * (start / deviation + z / np.sqrt(variance))
        one = np.log(weight * spread / deviation) + 0.5 * (np.square(place) - start**2)
        found = np.logaddexp(found, one + log_ndtr(place) - log_ndtr(start))
    return found


def always_valid_p(evidence: Numbers) -> Floats:
    """Of the logarithm of evidence: at whatever moment it is looked at, below α in a share of at most α of all runs."""
    return np.asarray(np.exp(-np.maximum(evidence, 0.0)))


def always_valid_z(variance: Numbers, scales: Sequence[Scale], confidence: float) -> Floats:
    """How many standard errors a two-sided confidence sequence reaches.

    √(2(1+η)/η · ln(√(1+η)/αw)) of normal effects; the least over the scales, which is never less than their average's.
    """
    needed = -np.log1p(-confidence)
    found: Floats = np.asarray(np.inf)
    for size, weight in scales:
        information = size * size / np.asarray(variance)
        reach = 0.5 * np.log1p(information) + needed - np.log(weight)
        found = np.minimum(found, np.sqrt(2 * (1 + information) / information * reach))
    return found
