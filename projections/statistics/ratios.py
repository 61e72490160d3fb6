"""How much more or less the treatment has than control, relatively."""

import numpy as np

from projections.statistics.effective import Counts
from projections.statistics.intervals import Bounds
from projections.statistics.normal import critical
from projections.statistics.results import Interval
from projections.statistics.sums import Floats, Sums, variance


def relative_lift(control: Counts, treatment: Counts, confidence: float) -> Interval:
    """Of independent trials (Katz and others, Biometrics 34, 1978): the variance of ln(rate) is (1-p)/successes."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_log = (1 - control.rate) / control.successes + (1 - treatment.rate) / treatment.successes
    return lift(control.rate, treatment.rate, of_log, confidence, "ratio_log_delta")


def clustered_lift(control: Sums, treatment: Sums, confidence: float) -> Interval:
    """Of customers, whose payments are not independent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        of_log = variance(control) / control.rate**2 + variance(treatment) / treatment.rate**2
    return lift(control.rate, treatment.rate, of_log, confidence, "ratio_log_delta_clustered_by_customer")


def lift(control: Floats, treatment: Floats, of_log: Floats, confidence: float, method: str) -> Interval:
    """treatment / control - 1, with bounds on the logarithm of the ratio (delta method), whose variance is `of_log`.

    There are none where a rate is 0: nothing is known of its logarithm.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.divide(treatment, control)
        reach = np.exp(critical(confidence) * np.sqrt(of_log))
        bounds = Bounds(ratio / reach - 1, ratio * reach - 1)
    if not ratio > 0:
        bounds = Bounds(np.asarray(np.nan), np.asarray(np.nan))
    return Interval.of(method, ratio - 1, bounds, confidence)
