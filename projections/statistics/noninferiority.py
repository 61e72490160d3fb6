"""Whether a treatment is certainly not worse than control by more than a margin."""

from math import copysign, inf, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr

from projections.statistics.effective import Counts, rate_difference
from projections.statistics.intervals import newcombe
from projections.statistics.normal import LOG_10, critical_at
from projections.statistics.results import Interval, Significance, number
from schemas.base import Value

TINY = 1e-15


class NonInferiority(Value, frozen=True, kw_only=True):
    margin: float
    """The treatment may succeed less often by less than this, in parts of 1."""
    test: Significance
    """One-sided; small where it is not inferior."""
    wald: Significance
    """The same with the variance of both rates as they are, which others may have computed; not decisive here."""
    difference: Interval
    """Two-sided at 1 - 2α, so that its lower bound is that of the one-sided test."""
    is_noninferior: bool
    """By the test."""
    alpha: float


def noninferiority(control: Counts, treatment: Counts, margin: float, alpha: float = 0.025) -> NonInferiority:
    """At a fixed horizon; margin above 0."""
    confidence = 1 - 2 * alpha
    test = _one_sided("farrington_manning_score_one_sided", score_z(control, treatment, -margin))
    return NonInferiority(
        margin=margin,
        test=test,
        wald=_one_sided("wald_unpooled_one_sided", _wald_z(control, treatment, -margin)),
        difference=Interval.of(
            "newcombe_hybrid_score",
            rate_difference(control, treatment),
            newcombe(control, treatment, critical_at(2 * alpha)),
            confidence,
        ),
        is_noninferior=test.p_value is not None and test.p_value <= alpha,
        alpha=alpha,
    )


def _one_sided(method: str, z: float) -> Significance:
    log_p = float(log_ndtr(-z))
    return Significance(
        method=method, statistic=number(z), p_value=float(np.exp(log_p)), log10_p=number(log_p / LOG_10)
    )


def _wald_z(control: Counts, treatment: Counts, difference: float) -> float:
    """Infinite where both arms are all of one kind: their variance is 0."""
    variance = sum(float(arm.rate * arm.turned.rate / arm.trials) for arm in (control, treatment))
    away = float(treatment.rate - control.rate) - difference
    return away / sqrt(variance) if variance > 0 else copysign(inf, away)


def score_z(control: Counts, treatment: Counts, difference: float) -> float:
    """(p₂ - p₁ - δ) over its standard error if p₂ - p₁ were δ (Farrington, Manning, Statistics in Medicine 9, 1990)."""
    p2 = _likeliest(control, treatment, difference)
    p1 = p2 - difference
    error = sqrt(p2 * (1 - p2) / float(treatment.trials) + max(p1 * (1 - p1), 0.0) / float(control.trials))
    return float(treatment.rate - control.rate - difference) / error


def _likeliest(control: Counts, treatment: Counts, difference: float) -> float:
    """The treatment's rate, where control's is `difference` less: the root of the likelihood's slope, which falls.

    The closed form of that paper, a cubic, loses its digits where one arm is a million times the other.
    """
    x1, n1, x2, n2 = (float(one) for arm in (control, treatment) for one in (arm.successes, arm.trials))

    def slope(rate: float) -> float:
        other = rate - difference
        return x2 / rate - (n2 - x2) / (1 - rate) + x1 / other - (n1 - x1) / (1 - other)

    least = max(0.0, difference)
    most = min(1.0, 1.0 + difference)
    low, high = least + TINY, most - TINY
    if slope(low) <= 0:
        return least
    if slope(high) >= 0:
        return most
    return float(brentq(slope, low, high, xtol=TINY, rtol=TINY))
