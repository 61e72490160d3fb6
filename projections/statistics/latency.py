"""Whether a treatment is slower: by the ratio of geometric means, of which there is an always-valid test, and by ranks.

Logarithms of latencies have the variance that latencies themselves, with their long tail, have not. A customer's are
summed like successes (`sums.py`), so that those who pay often do not make them surer than they are.
"""

from math import log

import numpy as np

from projections.statistics.clustered import difference
from projections.statistics.intervals import Bounds
from projections.statistics.mixture import Effects, Scale, always_valid_p, always_valid_z, log_evidence
from projections.statistics.results import Interval, Significance, number
from projections.statistics.sequential import is_ripe
from projections.statistics.sums import Bools, Floats, Sums
from projections.statistics.welch import Estimate
from schemas.base import Value

SLOWDOWNS = (Effects(0.0, 0.2, 1.0),)
DIFFERENCES = (Scale(0.2, 1.0),)
"""In logarithms: how much slower than tolerated the slow ones that are looked for are."""
TOLERATED_PART = 0.4
"""Of the limit, in logarithms. A limit of 1.5 tolerates 1.18, so that 1.1 is left alone, and 1.5 is soon credible."""
SLOW_ALPHA = 0.05
METHOD = "welch_t_of_logarithms_clustered_by_customer"
SLOW_METHOD = "normal_mixture_of_logarithms_clustered_by_customer"

LOG_UNIT = 0.001
"""What a fold may count logarithms in: a thousandth is less than a tenth of a percent of a latency."""


def log_units(latency_ms: int) -> int:
    """ln(milliseconds) as an integer of `LOG_UNIT`, for sums that are `scaled` when they are read."""
    return round(log(max(latency_ms, 1)) / LOG_UNIT)


class Latency(Value, frozen=True, kw_only=True):
    ratio: Interval
    """Of geometric means, treatment over control, at a fixed horizon."""
    always_valid_ratio: Interval
    test: Significance
    """Fixed horizon, two-sided."""
    tolerated_ratio: float
    slow_p: float | None
    """Always valid, one-sided: that the treatment is slower than tolerated."""
    slow_p_method: str = SLOW_METHOD
    is_slow: bool
    alpha: float


def latency(
    control: Sums,
    treatment: Sums,
    limit: float = 1.5,
    *,
    least_customers: float = 100,
    confidence: float = 0.95,
    alpha: float = SLOW_ALPHA,
) -> Latency:
    """Sums of ln(milliseconds), of two customers or more in each arm; `limit` is the ratio that is always paused."""
    slower = difference(control, treatment)
    evidence = slow_evidence(control, treatment, limit)
    return Latency(
        ratio=_ratio(slower, confidence),
        always_valid_ratio=_always_valid_ratio(slower, confidence),
        test=slower.significance(METHOD),
        tolerated_ratio=limit**TOLERATED_PART,
        slow_p=number(always_valid_p(evidence)),
        is_slow=bool(is_slow(control, treatment, limit, least_customers=least_customers, alpha=alpha)),
        alpha=alpha,
    )


def slow_evidence(control: Sums, treatment: Sums, limit: float) -> Floats:
    """ln of the evidence that the treatment is slower than tolerated; not a number where there is no variance."""
    slower = difference(control, treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (slower.value - TOLERATED_PART * np.log(limit)) / slower.error
        return log_evidence(z, np.square(slower.error), SLOWDOWNS)


def is_slow(
    control: Sums, treatment: Sums, limit: float, *, least_customers: float = 100, alpha: float = SLOW_ALPHA
) -> Bools:
    evidence = slow_evidence(control, treatment, limit)
    return np.asarray(is_ripe(control, treatment, least_customers) & (evidence >= -np.log(alpha)))


def _ratio(slower: Estimate, confidence: float) -> Interval:
    lower, upper = slower.within(confidence)
    return Interval.of(METHOD, np.exp(slower.value), Bounds(np.exp(lower), np.exp(upper)), confidence)


def _always_valid_ratio(slower: Estimate, confidence: float) -> Interval:
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = always_valid_z(np.square(slower.error), DIFFERENCES, confidence) * slower.error
    bounds = Bounds(np.exp(slower.value - reach), np.exp(slower.value + reach))
    method = "confidence_sequence_normal_mixture_of_logarithms_clustered_by_customer"
    return Interval.of(method, np.exp(slower.value), bounds, confidence)
