"""What another policy would have come to, from what was logged of this one: estimates, and how far to believe them.

A payment that chance sent to a gateway stands for all that would have been sent there: it weighs the probability that
the other policy gives its gateway, over the one that it had. IPS is the mean of weighted rewards (Horvitz and Thompson,
JASA 47, 1952), SNIPS divides by the weights' own sum (Swaminathan and Joachims, NIPS 2015), and the doubly robust
estimate weights only what a model of the rewards got wrong (Dudík, Langford and Li, ICML 2011).

History was collected by a policy that learns, so payments are not independent. Propensities and predictions here know
nothing but what came before their payment; then each payment's error has mean 0 whatever came before, which is enough
for an interval (as in Bibaut and others, NeurIPS 2021). What history has no examples of is bounded and not estimated
(Manski, American Economic Review 80, 1990).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from projections.statistics.results import Interval, number
from projections.statistics.sums import Floats, Sums, variance
from projections.statistics.welch import Estimate
from schemas.base import Value

Integers = NDArray[np.int64]

RARE = 0.01
EXAMPLES = 100
"""So many payments at least that would have been given to a gateway at its propensity, or it counts as never tried."""


_ROUNDING = 1e-9


class Logged(NamedTuple):
    """n payments, k gateways. Rows are in any order; what is not a candidate of a payment has 0 in all three tables."""

    customers: Integers
    """(n,): who paid, from 0."""
    chosen: Integers
    """(n,): the gateway that was tried first."""
    propensities: Floats
    """(n, k): the probability that it would be."""
    target: Floats
    """(n, k): the same under the policy that is judged; a row of zeros is a payment that it would refuse."""
    predicted: Floats
    """(n, k): of the reward there; from before the payment, or from other customers."""
    unrecorded: Floats
    """(n,): the probability that the judged policy takes a gateway that the payment's event says nothing of."""
    reward: Floats
    """(n,): 1 or 0; not a number while nobody knows."""
    otherwise: Floats
    """(n,): what the same gateway would have been worth to the judged policy, whose retries may be others; not a number
    where history cannot tell."""

    def of(self, rows: NDArray[np.bool_]) -> "Logged":
        picked = Logged._make(one[rows] for one in self)
        _, customers = np.unique(picked.customers, return_inverse=True)
        return picked._replace(customers=customers)


class Overlap(Value, frozen=True, kw_only=True):
    """How much of what the judged policy does was done. Shares are of its payments."""

    effective_sample: float | None
    """(Σw)²/Σw²: as many payments of equal weight say as much."""
    largest_weight: float
    mean_weight: float
    """1 less `never`, but for chance, if the recorded propensities are those that were drawn by."""
    never: float
    """Given to gateways that had no chance at all."""
    rarely: float
    """To such as had a chance below 0.01; these are among them."""
    least_propensity: float
    without_examples: float
    """To such as had less than that, and would have more."""
    unrecorded: float
    """To such as nothing was recorded of."""
    open: float
    """Payments of history whose reward nobody knows yet."""
    untold: float
    """Payments of which history cannot tell what the judged policy's own retries would have come to."""


class OffPolicy(Value, frozen=True, kw_only=True):
    payments: int
    customers: int
    logged: Interval
    """What there was."""
    ips: Interval
    snips: Interval
    doubly_robust: Interval
    """Of the judged policy's reward, by every weight as it is."""
    uplift: Interval
    """Judged less logged, payment by payment, of what has examples; the model's word for the rest."""
    uplift_bounds: Interval
    """The same whatever is true of all that history cannot tell."""
    weights_off: float | None
    """Standard errors that the mean weight is from where it should be."""
    overlap: Overlap
    is_same: bool
    """The judged policy does what was done, of every payment."""


def off_policy(logged: Logged, confidence: float = 0.95) -> OffPolicy:
    """Of one payment at least."""
    payments = np.arange(len(logged.chosen))
    chance = logged.propensities[payments, logged.chosen]
    wanted = logged.target[payments, logged.chosen]
    predicted = logged.predicted[payments, logged.chosen]
    reward, otherwise = np.nan_to_num(logged.reward), _otherwise(logged)
    weight = np.divide(wanted, chance, out=np.zeros_like(wanted), where=chance > 0)
    modelled = (logged.target * logged.predicted).sum(axis=1)
    ones = np.ones_like(weight)

    def over(x: Floats, y: Floats) -> Estimate:
        return _ratio(logged.customers, x, y)

    found = over(weight, weight * otherwise)
    uplift = _Uplift.of(logged, weight, reward, otherwise)
    balance = over(ones, uplift.kept - uplift.covered)
    with np.errstate(divide="ignore", invalid="ignore"):
        off = number(np.divide(balance.value, balance.error)) if abs(balance.value) > _ROUNDING else 0.0
    low, middle, high = (
        _with_one_more(over(ones, one), uplift.kept - 1) for one in (uplift.low, uplift.point, uplift.high)
    )
    bounds = low.within(confidence).lower, high.within(confidence).upper
    return OffPolicy(
        payments=len(payments),
        customers=int(logged.customers.max()) + 1,
        logged=_interval("mean", over(ones, reward), confidence),
        ips=_interval("inverse_propensity", over(ones, weight * otherwise), confidence),
        snips=_interval("self_normalised_inverse_propensity", found, confidence),
        doubly_robust=_interval(
            "doubly_robust", over(ones, modelled + weight * (otherwise - predicted)), confidence
        ),
        uplift=_interval("doubly_robust_paired", middle, confidence),
        uplift_bounds=Interval(
            method="doubly_robust_paired_whatever_is_unknown",
            estimate=number(middle.value),
            lower=number(bounds[0]),
            upper=number(bounds[1]),
            confidence=confidence,
        ),
        weights_off=off,
        overlap=_overlap(logged, weight, uplift),
        is_same=bool(
            np.allclose(logged.target, logged.propensities, atol=1e-12)
            and not logged.unrecorded.any()
            and np.array_equal(logged.otherwise, logged.reward, equal_nan=True)
        ),
    )


class _Uplift(NamedTuple):
    """By payment."""

    least: float
    kept: Floats
    """Weights of what has examples."""
    covered: Floats
    """What these are expected to be."""
    point: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, logged: Logged, weight: Floats, reward: Floats, otherwise: Floats) -> "_Uplift":
        """Both policies' doubly robust estimates, so that what they do alike cancels: their difference is

        Σₐ (target - logged)·predicted + (w - 1)·(reward - predicted).
        """
        payments, target = np.arange(len(weight)), logged.target
        least = min(RARE, EXAMPLES / len(weight))
        has_examples = _has_examples(logged, least)
        kept = np.where(has_examples[payments, logged.chosen], weight, 0.0)
        predicted = logged.predicted[payments, logged.chosen]
        usual = (logged.propensities * logged.predicted).sum(axis=1)
        modelled = (target * logged.predicted).sum(axis=1) + logged.unrecorded * usual
        point = modelled - usual + kept * (otherwise - predicted) - (reward - predicted)
        without = np.where(has_examples, 0.0, target)
        least_there = (without * logged.predicted).sum(axis=1) + logged.unrecorded * usual
        most_there = without.sum(axis=1) + logged.unrecorded - least_there
        is_open = np.isnan(logged.reward)
        is_untold = np.isnan(logged.otherwise) & ~is_open
        low = np.where(is_open, np.minimum(kept - 1, 0), np.where(is_untold, -kept * otherwise, 0.0))
        high = np.where(is_open, np.maximum(kept - 1, 0), np.where(is_untold, kept * (1 - otherwise), 0.0))
        return cls(
            least=least,
            kept=kept,
            covered=np.where(has_examples, target, 0.0).sum(axis=1),
            point=point,
            low=point - least_there + low,
            high=point + most_there + high,
        )


def _has_examples(logged: Logged, least: float) -> NDArray[np.bool_]:
    """What is done no oftener than it was needs none: its weight is 1 at most."""
    return (logged.propensities >= least) | (logged.target <= logged.propensities)


def _otherwise(logged: Logged) -> Floats:
    """Where nobody knows, as it was: no success while that is open too."""
    return np.where(np.isnan(logged.otherwise), np.nan_to_num(logged.reward), logged.otherwise)


def _overlap(logged: Logged, weight: Floats, uplift: _Uplift) -> Overlap:
    squared = float(weight @ weight)
    mass, propensities = logged.target, logged.propensities
    without = [propensities == 0, propensities < RARE, ~_has_examples(logged, uplift.least)]
    shares = [float(np.where(those, mass, 0.0).sum(axis=1).mean()) for those in without]
    is_open = np.isnan(logged.reward)
    is_untold = np.isnan(logged.otherwise) & ~is_open & (weight > 0)
    return Overlap(
        effective_sample=number(weight.sum() ** 2 / squared) if squared else 0.0,
        largest_weight=float(weight.max()),
        mean_weight=float(weight.mean()),
        never=shares[0],
        rarely=shares[1],
        least_propensity=uplift.least,
        without_examples=shares[2],
        unrecorded=float(logged.unrecorded.mean()),
        open=float(is_open.mean()),
        untold=float((is_untold * weight).sum() / max(weight.sum(), 1e-300)),
    )


def _ratio(customers: Integers, x: Floats, y: Floats) -> Estimate:
    """Σy / Σx, with the variance of a ratio of two sums over customers."""
    of_x, of_y = (np.asarray(np.bincount(customers, one), np.float64) for one in (x, y))
    sums = Sums(len(of_x), of_x.sum(), of_y.sum(), of_x @ of_x, of_y @ of_y, of_x @ of_y)
    return Estimate(sums.rate, np.sqrt(variance(sums)), sums.independent_customers - 1)


def _with_one_more(found: Estimate, excess: Floats) -> Estimate:
    """As unsure as with one failure more, where one matters: of few heavy payments none may have met one yet.

    Its excess weight is that of payments by what they add to the variance, Σ(w - 1)⁴ / Σ(w - 1)².
    """
    squares = np.square(excess)
    total = float(squares.sum())
    more = float(squares @ squares) / total if total else 0.0
    return found._replace(error=np.hypot(found.error, np.sqrt(more) / len(excess)))


def _interval(method: str, found: Estimate, confidence: float) -> Interval:
    return Interval.of(f"{method}_clustered_by_customer", found.value, found.within(confidence), confidence)
