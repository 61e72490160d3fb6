"""Thompson sampling with its propensities computed: how likely each gateway is to be drawn as the best one.

Thompson (1933) draws a success rate from every posterior and takes the highest. Here the probability of each outcome of
that lottery is computed by quadrature, so that it can be recorded and bounded, and one number draws from it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln

from schemas.base import Value
from schemas.routing_configuration import BanditPolicy

Floats = NDArray[np.float64]

_SIGMAS: Floats = np.linspace(-8.0, 8.0, 97)
_STEP = 16 / 96


class Arm(Value, frozen=True, kw_only=True):
    """A posterior Beta(alpha, beta) of the success rate, and what else the gateway is worth in points of that rate."""

    alpha: float
    beta: float
    worth: float = 0.0


def propensities(arms: Sequence[Arm], policy: BanditPolicy) -> tuple[float, ...]:
    """Of every arm, the probability that the policy takes it first; they sum to 1."""
    if len(arms) < 2:
        return (1.0,) * len(arms)
    return _within_budget(arms, probabilities_best(arms, policy.sharpness), policy)


def probabilities_best(arms: Sequence[Arm], sharpness: float = 1.0) -> Floats:
    """P(θᵢ + worthᵢ is the largest), θᵢ ~ Beta(sharpness·αᵢ, sharpness·βᵢ): ∫ ∏ⱼ Fⱼ(u) dFᵢ(u), j ≠ i.

    On the union of grids that are fine where each of them lies; the error is below 0.002, as
    `tests/commands/test_bandit.py` holds it to.
    """
    worth = np.array([arm.worth for arm in arms])
    rates, below = _distributions(
        np.array([[arm.alpha] for arm in arms]) * sharpness,
        np.array([[arm.beta] for arm in arms]) * sharpness,
    )
    values = rates + worth[:, None]
    grid: Floats = np.sort(values.ravel())
    reached = np.array(
        [np.interp(grid, own, known, left=0.0, right=1.0) for own, known in zip(values, below, strict=True)]
    )
    reached = np.pad(reached, ((0, 0), (1, 1)), constant_values=(0.0, 1.0))
    others = _products_of_others(reached)
    best = (np.diff(reached) * (others[:, 1:] + others[:, :-1]) / 2).sum(axis=1)
    result: Floats = best / best.sum()
    return result


def _distributions(alpha: Floats, beta: Floats) -> tuple[Floats, Floats]:
    """Of every Beta distribution, a grid of rates and the distribution function there.

    In logits z the density is θ^α (1-θ)^β / B(α, β), smooth and without poles whatever α and β are: sums of it at equal
    steps are exact but for the last one, of which Euler and Maclaurin correct the half step and the slope.
    """
    total = alpha + beta
    deviation = 1 / np.sqrt(alpha * beta / total)
    rates: Floats = 1 / (1 + np.exp(-(np.log(alpha / beta) + deviation * _SIGMAS)))
    rest = 1 / (1 + np.exp(np.log(alpha / beta) + deviation * _SIGMAS))
    density = np.exp(alpha * np.log(rates) + beta * np.log(rest) - betaln(alpha, beta))
    step = deviation * _STEP
    slope = density * (alpha - total * rates)
    below: Floats = np.cumsum(density, axis=1) * step - density * step / 2 - slope * step**2 / 12
    rising: Floats = np.maximum.accumulate(np.maximum(below, 0.0), axis=1)
    return rates, rising / rising[:, -1:]


def _products_of_others(values: Floats) -> Floats:
    """Row i holds the product of all rows but i."""
    ones = np.ones((1, values.shape[1]))
    before: Floats = np.multiply.accumulate(np.vstack((ones, values[:-1])))
    after: Floats = np.multiply.accumulate(np.vstack((ones, values[:0:-1])))[::-1]
    product: Floats = before * after
    return product


def _within_budget(arms: Sequence[Arm], best: Floats, policy: BanditPolicy) -> tuple[float, ...]:
    """Pulled towards the gateway with the best mean, as far as the two budgets of exploration ask.

    A gateway counts as worse by what it is worse for certain: with one standard deviation in its favour. What may
    still be as good costs nothing, or nothing would ever be learned of it.
    """
    means = [arm.alpha / (arm.alpha + arm.beta) for arm in arms]
    values = [mean + arm.worth for mean, arm in zip(means, arms, strict=True)]
    leader = max(range(len(arms)), key=values.__getitem__)
    share = loss = 0.0
    for place, arm in enumerate(arms):
        total = arm.alpha + arm.beta
        deviation = (means[place] * (1 - means[place]) / (total + 1)) ** 0.5
        worse = values[leader] - values[place] - deviation
        if place != leader and worse > 0:
            loss += float(best[place]) * worse
            share += float(best[place]) if worse >= policy.worse_by else 0.0
    factor = min(
        1.0, policy.exploration_share / share if share else 1.0, policy.expected_loss / loss if loss else 1.0
    )
    if factor < 1.0:
        best = best * factor
        best[leader] += 1.0 - factor
    return tuple(float(one) for one in best)
