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


class Scale(NamedTuple):
    """Of the effects that are thought of, how large they are - a standard deviation - and with what weight."""

    size: float
    weight: float


def log_evidence(z: Numbers, variance: Numbers, scales: Sequence[Scale]) -> Floats:
    """ln of the evidence that an effect is above 0; z is its estimate over its standard error, `variance` the square of
    that error.

    Half-normal effects: Σ w · 2/√(1+η) · exp(η z² / 2(1+η)) · Φ(z √(η/(1+η))), η = size² / variance.
    """
    found: Floats = np.asarray(-np.inf)
    for size, weight in scales:
        information = size * size / np.asarray(variance)
        share = information / (1 + information)
        one = np.log(2 * weight) - 0.5 * np.log1p(information) + 0.5 * share * np.square(z)
        found = np.logaddexp(found, one + log_ndtr(z * np.sqrt(share)))
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
