"""Whether a treatment is better than control, as its plan asks: by the winner's test on effective counts."""

import numpy as np

from projections.statistics.effective import effective, observed, rate_difference
from projections.statistics.horizon import Fraction, fraction, horizon_z, log_horizon_p
from projections.statistics.intervals import Bounds, newcombe
from projections.statistics.normal import LOG_10
from projections.statistics.results import Interval, Significance, number
from projections.statistics.sequential import signed_root
from projections.statistics.sums import Floats, Sums
from schemas.base import Value

METHOD = "horizon_tuned_always_valid_signed_root_likelihood_ratio"
REACHED_METHOD = "effective_trials_of_the_smaller_arm_over_plan"


class Winning(Value, frozen=True, kw_only=True):
    test: Significance
    """One-sided: that the treatment succeeds more often than control. Valid at every look."""
    difference: Interval
    """Narrowest at the planned sample, and valid at every look."""
    planned_customers: float
    """Of the smaller arm."""
    reached: float
    """Of the planned sample, in the smaller arm: independent customers who pay once, or what tells as much."""
    reached_method: str = REACHED_METHOD


def winning(control: Sums, treatment: Sums, planned: float, confidence: float = 0.95) -> Winning:
    """`planned` independent customers in each arm, or in the smaller one."""
    reached = reached_fraction(control, treatment, planned)
    log_p = winning_log_p(control, treatment, planned)
    return Winning(
        test=Significance(
            method=METHOD,
            statistic=number(signed_root(*effective(control, treatment))),
            p_value=float(np.exp(log_p)),
            log10_p=float(log_p) / LOG_10,
        ),
        difference=Interval.of(
            "horizon_tuned_confidence_sequence_newcombe",
            rate_difference(observed(control), observed(treatment)),
            winning_bounds(control, treatment, planned, confidence),
            confidence,
        ),
        planned_customers=float(planned),
        reached=float(reached.t),
    )


def winning_log_p(control: Sums, treatment: Sums, planned: float) -> Floats:
    here, there = effective(control, treatment)
    return log_horizon_p(signed_root(here, there), fraction(here.trials, there.trials, planned))


def winning_bounds(control: Sums, treatment: Sums, planned: float, confidence: float) -> Bounds:
    here, there = effective(control, treatment)
    reached = fraction(here.trials, there.trials, planned)
    return newcombe(here, there, horizon_z(reached, (1 - confidence) / 2))


def reached_fraction(control: Sums, treatment: Sums, planned: float) -> Fraction:
    here, there = effective(control, treatment)
    return fraction(here.trials, there.trials, planned)
