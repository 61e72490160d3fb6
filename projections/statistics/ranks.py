"""Whether one arm's latencies tend to be longer, whatever their distribution: Mann and Whitney's test on counters.

Values are in bins, as in a sketch, whose order is all that matters: the cost is that of the bins, not of the payments.
(Annals of Mathematical Statistics 18, 1947; ties and the correction for continuity as in scipy.stats.mannwhitneyu.)
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from projections.sketch import BIN_LOG
from projections.statistics.normal import log10_two_sided, two_sided
from projections.statistics.results import Significance, number
from projections.statistics.sums import Sums, variance
from schemas.base import Value


class Timed(NamedTuple):
    """Latencies of one arm: how many payments are in each bin of the sketch, and the sums of ln(milliseconds)."""

    bins: Mapping[int, int]
    logs: Sums


class Ranks(Value, frozen=True, kw_only=True):
    test: Significance
    """Fixed horizon, two-sided; its statistic is z, above 0 where the treatment is slower."""
    slower_share: float
    """P(treatment slower than control) of a random pair, ties counted half; 0.5 where there is no difference."""
    design_effect: float
    design_effect_method: str = "variance_of_mean_logarithm_over_that_of_independent_payments"


def ranks(
    control: Mapping[int, int] | Mapping[float, int],
    treatment: Mapping[int, int] | Mapping[float, int],
    design_effect: float = 1.0,
) -> Ranks:
    """Counts by bin, or by value, at least one in each arm. Payments of one customer are alike: their design effect
    widens the standard error as it does that of the mean logarithm."""
    places = np.array(sorted({*control, *treatment}))
    here = np.array([treatment.get(place, 0) for place in places], np.float64)
    there = np.array([control.get(place, 0) for place in places], np.float64)
    n, m = here.sum(), there.sum()
    slower = float(here @ (np.cumsum(there) - there / 2))
    tied = here + there
    spread = n * m / 12 * ((n + m + 1) - (tied**3 - tied).sum() / max((n + m) * (n + m - 1), 1.0))
    away = slower - n * m / 2
    z = np.sign(away) * max(abs(away) - 0.5, 0.0) / np.sqrt(spread * design_effect) if spread > 0 else 0.0
    return Ranks(
        test=Significance(
            method="mann_whitney_asymptotic_two_sided",
            statistic=number(z),
            p_value=number(two_sided(z)),
            log10_p=number(log10_two_sided(z)),
        ),
        slower_share=slower / float(n * m),
        design_effect=design_effect,
    )


def clustered_ranks(control: Timed, treatment: Timed) -> Ranks | None:
    """With the design effect of the logarithms, of the arm where it is more; None while an arm has no latency."""
    if not (control.bins and treatment.bins):
        return None
    return ranks(control.bins, treatment.bins, max(_design_effect(control), _design_effect(treatment)))


def _design_effect(arm: Timed) -> float:
    """The variance of the mean logarithm over that of as many independent payments, whose spread the bins tell; at
    least 1."""
    payments = sum(arm.bins.values())
    # Bins are steps of one ratio, so that logarithms differ as their numbers do.
    spread = float(np.cov(list(arm.bins), fweights=list(arm.bins.values()))) if payments > 1 else 0.0
    independent = spread * BIN_LOG**2 / payments
    found = number(variance(arm.logs) / independent) if independent > 0 else None
    return max(found or 1.0, 1.0)
