"""Two success rates compared so that looking every minute does no harm: the harm test and the confidence sequence.

z is the signed root of the likelihood ratio of the two effective binomials (`effective.py`): its tails are normal where
those of a difference over its standard error are not, in a small arm or at a rate near 1.
"""

import numpy as np

from projections.statistics.divergence import excess
from projections.statistics.effective import Counts, effective, observed, rate_difference, together
from projections.statistics.intervals import Bounds, newcombe
from projections.statistics.mixture import Effects, Scale, always_valid_p, always_valid_z, log_evidence
from projections.statistics.normal import LOG_10
from projections.statistics.results import Interval
from projections.statistics.sums import Bools, Floats, Sums
from schemas.base import Value

DROPS = (Effects(0.035, 0.02, 0.62), Effects(0.105, 0.045, 0.34), Effects(0.45, 0.18, 0.04))
"""A few points, ten points, and dead treatments: chosen by simulation, for the soonest pause of all of them."""
DIFFERENCES = (Scale(0.02, 0.6), Scale(0.1, 0.4))
"""The sizes for which the confidence sequence of a difference is narrow: late, and early."""
LEAST_CUSTOMERS = 10
"""In each arm, as many as `Sums.independent_customers` says, before harm is judged."""
HARM_ALPHA = 0.038
"""So many harmless treatments are paused at most, ever, as far as outcomes are about normal: some 3 % in 10,000."""

HARM_METHOD = "normal_mixture_of_signed_root_likelihood_ratio"


class Sequential(Value, frozen=True, kw_only=True):
    method: str
    difference: Interval
    """A confidence sequence: all of its intervals, over all looks, hold the truth together."""
    harm_p: float
    """Always valid, one-sided: that the treatment succeeds less often than control."""
    harm_log10_evidence: float
    is_harmful: bool
    alpha: float
    is_ripe: bool
    """Whether both arms have the customers that it takes to call a treatment harmful."""


def sequential(
    control: Sums, treatment: Sums, *, confidence: float = 0.95, alpha: float = HARM_ALPHA
) -> Sequential:
    evidence = harm_evidence(control, treatment)
    ripe = bool(is_ripe(control, treatment))
    return Sequential(
        method=HARM_METHOD,
        difference=Interval.of(
            "confidence_sequence_normal_mixture_newcombe",
            rate_difference(observed(control), observed(treatment)),
            confidence_sequence(control, treatment, confidence),
            confidence,
        ),
        harm_p=float(always_valid_p(evidence)),
        harm_log10_evidence=float(evidence) / LOG_10,
        is_harmful=ripe and bool(evidence >= -np.log(alpha)),
        alpha=alpha,
        is_ripe=ripe,
    )


def harm_evidence(control: Sums, treatment: Sums) -> Floats:
    """ln of the evidence that the treatment succeeds less often than control; ln(1/α) calls it harmful."""
    here, there = effective(control, treatment)
    return log_evidence(-signed_root(here, there), pooled_variance(here, there), DROPS)


def is_harmful(control: Sums, treatment: Sums, alpha: float = HARM_ALPHA) -> Bools:
    evidence = harm_evidence(control, treatment)
    return np.asarray(is_ripe(control, treatment) & (evidence >= -np.log(alpha)))


def is_ripe(control: Sums, treatment: Sums, least_customers: float = LEAST_CUSTOMERS) -> Bools:
    """Of customers who pay very unequally, fewer are independent than there are."""
    fewest = np.minimum(control.independent_customers, treatment.independent_customers)
    return np.asarray(fewest >= least_customers)


def signed_root(control: Counts, treatment: Counts) -> Floats:
    """±√(2 ln L₁/L₀), positive where the treatment succeeds more often; L₀ is the likelihood of one rate for both."""
    both, away = together(control, treatment), rate_difference(control, treatment)
    statistic = _divergence(control, both, -away * treatment.trials / both.trials)
    statistic += _divergence(treatment, both, away * control.trials / both.trials)
    return np.asarray(np.sign(away) * np.sqrt(2 * statistic))


def _divergence(arm: Counts, both: Counts, away: Floats) -> Floats:
    """ln of the likelihood of the arm's own rate, `away` from that of both, over that of theirs.

    Of parts that are never below 0, so that no digits are lost where the two are nearly alike.
    """
    found = both.rate * excess(away / both.rate)
    found += both.turned.rate * excess(-away / both.turned.rate)
    return np.asarray(arm.trials * found)


def pooled_variance(control: Counts, treatment: Counts) -> Floats:
    """Of the difference, were both rates the same."""
    both = together(control, treatment)
    return np.asarray(both.rate * both.turned.rate * (1 / control.trials + 1 / treatment.trials))


def confidence_sequence(control: Sums, treatment: Sums, confidence: float = 0.95) -> Bounds:
    """Of treatment less control."""
    here, there = effective(control, treatment)
    reach = always_valid_z(pooled_variance(here, there), DIFFERENCES, confidence)
    return newcombe(here, there, reach)
