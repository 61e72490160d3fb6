"""Two success rates compared by customers, who were assigned, instead of by payments, which were not.

A ratio metric: the rate is Σ successes / Σ payments over customers, its variance by the delta method (`sums.py`).
"""

from collections.abc import Sequence

from projections.statistics.effective import design_effect, divided, effective, observed, rate_difference
from projections.statistics.intervals import newcombe, wilson
from projections.statistics.normal import critical
from projections.statistics.ratios import clustered_lift
from projections.statistics.results import Interval, Significance, number
from projections.statistics.sums import Sums, variance
from projections.statistics.welch import Estimate, estimate
from schemas.base import Value

DESIGN_EFFECT_METHOD = "rao_scott_variance_over_that_of_independent_payments"
INDEPENDENT_METHOD = "kish_effective_sample_size"


class ClusteredRate(Value, frozen=True, kw_only=True):
    rate: Interval
    """Wilson's, of as many independent payments as tell as much."""
    design_effect: float | None
    """How many times the variance of as many independent payments; 1 where everybody pays once."""
    design_effect_method: str = DESIGN_EFFECT_METHOD
    independent_customers: float | None
    """As many who pay equally often would weigh the same: (Σx)²/Σx²."""
    independent_customers_method: str = INDEPENDENT_METHOD


class Clustered(Value, frozen=True, kw_only=True):
    control: ClusteredRate
    treatment: ClusteredRate
    score_difference: Interval
    """Newcombe's, of the same counts: it behaves also in a small arm or at a rate near 1."""
    difference: Interval
    relative_lift: Interval
    test: Significance
    standard_error: float | None
    """Of the difference."""
    degrees_of_freedom: float | None
    """Of t."""


def clustered(control: Sums, treatment: Sums, confidence: float = 0.95) -> Clustered:
    """Each arm has at least one payment; of fewer than two customers there is no variance, and bounds are null."""
    found = difference(control, treatment)
    method = "ratio_metric_delta_welch_t_clustered_by_customer"
    return Clustered(
        control=clustered_rate(control, (control, treatment), confidence),
        treatment=clustered_rate(treatment, (control, treatment), confidence),
        score_difference=score_difference(control, treatment, confidence),
        difference=Interval.of(method, found.value, found.within(confidence), confidence),
        relative_lift=clustered_lift(control, treatment, confidence),
        test=found.significance(method),
        standard_error=number(found.error),
        degrees_of_freedom=number(found.degrees),
    )


def clustered_rate(sums: Sums, arms: Sequence[Sums], confidence: float = 0.95) -> ClusteredRate:
    """Of one of these arms: if it has met no bad customer yet, it is as unsure as the others have shown."""
    effect = design_effect(sums, arms)
    bounds = wilson(divided(sums, effect), critical(confidence))
    return ClusteredRate(
        rate=Interval.of("wilson_score_of_effective_counts", sums.rate, bounds, confidence),
        design_effect=number(effect) if sums.payments else None,
        independent_customers=number(sums.independent_customers),
    )


def score_difference(control: Sums, treatment: Sums, confidence: float = 0.95) -> Interval:
    bounds = newcombe(*effective(control, treatment), critical(confidence))
    found = rate_difference(observed(control), observed(treatment))
    return Interval.of("newcombe_hybrid_score_of_effective_counts", found, bounds, confidence)


def difference(control: Sums, treatment: Sums) -> Estimate:
    """Treatment less control."""
    value = rate_difference(observed(control), observed(treatment))
    return estimate(value, control, treatment, variance(control), variance(treatment))
