"""How much more or less the treatment has than control, relatively: bounds on the logarithm of the ratio of two rates.

There are none where a rate is 0: nothing is known of its logarithm.
"""

import numpy as np

from projections.statistics.effective import Counts
from projections.statistics.intervals import Bounds
from projections.statistics.normal import critical
from projections.statistics.results import Interval
from projections.statistics.sums import Floats, Sums, variance
from projections.statistics.welch import Estimate, estimate


def relative_lift(control: Counts, treatment: Counts, confidence: float) -> Interval:
    """Of independent trials (Katz and others, Biometrics 34, 1978): the variance of ln(rate) is (1-p)/successes."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_log = np.asarray(sum(arm.turned.rate / arm.successes for arm in (control, treatment)))
        value = np.log(treatment.rate / control.rate)
        reach = critical(confidence) * np.sqrt(of_log)
        bounds = Bounds(value - reach, value + reach)
    return _lift("ratio_log_delta", value, bounds, confidence)


def clustered_lift(control: Sums, treatment: Sums, confidence: float) -> Interval:
    """Of customers, whose payments are not independent."""
    found = log_ratio(control, treatment)
    method = "ratio_log_delta_welch_t_clustered_by_customer"
    return _lift(method, found.value, found.within(confidence), confidence)


def log_ratio(control: Sums, treatment: Sums) -> Estimate:
    """ln(treatment / control); the variance of ln(rate) is that of the rate over its square."""
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(treatment.rate / control.rate)
        of_logs = [variance(arm) / np.square(arm.rate) for arm in (control, treatment)]
        return estimate(value, control, treatment, of_logs[0], of_logs[1])


def _lift(method: str, of_log: Floats, bounds: Bounds, confidence: float) -> Interval:
    """treatment / control - 1."""
    if not np.isfinite(of_log):
        bounds = Bounds(np.asarray(np.nan), np.asarray(np.nan))
    lower, upper = (np.expm1(one) for one in bounds)
    return Interval.of(method, np.expm1(of_log), Bounds(lower, upper), confidence)
