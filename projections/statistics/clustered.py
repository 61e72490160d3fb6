"""Two success rates compared by customers, who were assigned, instead of by payments, which were not.

A ratio metric: the rate is Σ successes / Σ payments over customers, its variance by the delta method (`sums.py`).
"""

import numpy as np

from projections.statistics.effective import design_effect
from projections.statistics.intervals import Bounds
from projections.statistics.normal import critical
from projections.statistics.ratios import clustered_lift
from projections.statistics.results import Interval, Significance, number
from projections.statistics.sums import Floats, Sums, variance
from schemas.base import Value


class Clustered(Value, frozen=True, kw_only=True):
    difference: Interval
    relative_lift: Interval
    standard_error: float | None
    """Of the difference."""
    test: Significance
    control_design_effect: float
    treatment_design_effect: float
    """How many times the variance of as many independent payments; 1 where everybody pays once."""


def clustered(control: Sums, treatment: Sums, confidence: float = 0.95) -> Clustered:
    """Each arm has at least one payment; of fewer than two customers there is no variance, and bounds are null."""
    difference, error = clustered_difference(control, treatment)
    reach = critical(confidence) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.divide(difference, error)
    return Clustered(
        difference=Interval.of(
            "ratio_metric_delta_clustered_by_customer",
            difference,
            Bounds(difference - reach, difference + reach),
            confidence,
        ),
        relative_lift=clustered_lift(control, treatment, confidence),
        standard_error=number(error),
        test=Significance.of_z("ratio_metric_z_clustered_by_customer_two_sided", z),
        control_design_effect=float(design_effect(control)),
        treatment_design_effect=float(design_effect(treatment)),
    )


def clustered_difference(control: Sums, treatment: Sums) -> tuple[Floats, Floats]:
    """Treatment less control, and its standard error."""
    return treatment.rate - control.rate, np.sqrt(variance(control) + variance(treatment))
