"""The fixed-horizon read-out of two success rates, right if it is looked at once: shown, and never acted on alone."""

import numpy as np

from projections.statistics.effective import Counts, rate_difference, together
from projections.statistics.intervals import newcombe, wilson
from projections.statistics.normal import critical
from projections.statistics.ratios import relative_lift
from projections.statistics.results import Interval, Significance
from projections.statistics.sums import Floats
from schemas.base import Value


class Proportions(Value, frozen=True, kw_only=True):
    """Differences are treatment less control, in parts of 1."""

    control_rate: Interval
    treatment_rate: Interval
    difference: Interval
    relative_lift: Interval
    """treatment / control - 1; without bounds where an arm has no success."""
    test: Significance
    least_expected: float
    """Of the four cells of the table, were the rates the same; below 5, prefer Fisher's exact test."""


def proportions(control: Counts, treatment: Counts, confidence: float = 0.95) -> Proportions:
    """As if all trials were independent. Each arm has at least one."""
    z = critical(confidence)
    difference = rate_difference(control, treatment)
    return Proportions(
        control_rate=rate_interval(control, confidence),
        treatment_rate=rate_interval(treatment, confidence),
        difference=Interval.of(
            "newcombe_hybrid_score", difference, newcombe(control, treatment, z), confidence
        ),
        relative_lift=relative_lift(control, treatment, confidence),
        test=Significance.of_z("two_proportion_z_pooled_two_sided", pooled_z(control, treatment)),
        least_expected=_least_expected(control, treatment),
    )


def rate_interval(arm: Counts, confidence: float = 0.95) -> Interval:
    return Interval.of("wilson_score", arm.rate, wilson(arm, critical(confidence)), confidence)


def pooled_z(control: Counts, treatment: Counts) -> Floats:
    """(p₂ - p₁) / √(p(1-p)(1/n₁ + 1/n₂)), p that of both together; 0 where nobody or everybody succeeded."""
    both = together(control, treatment)
    error = np.sqrt(both.rate * both.turned.rate * (1 / control.trials + 1 / treatment.trials))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(error > 0, rate_difference(control, treatment) / error, 0.0)


def _least_expected(control: Counts, treatment: Counts) -> float:
    both = together(control, treatment)
    rarer, smaller = np.minimum(*both), np.minimum(control.trials, treatment.trials)
    return float(rarer * smaller / both.trials)
