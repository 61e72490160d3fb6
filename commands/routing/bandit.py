"""Thompson sampling with its propensities computed: how likely each gateway is to be drawn as the best one.

Thompson (1933) draws a success rate from every posterior and takes the highest. Here the probability of each outcome of
that lottery is computed by quadrature, so that it can be recorded and bounded, and one number draws from it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from schemas.base import Value
from schemas.routing_configuration import BanditPolicy

Floats = NDArray[np.float64]

_SIGMAS: Floats = np.linspace(-6.0, 6.0, 49)


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

    On the union of grids that are fine where each of them lies; the error is below 0.002
    (`tests/commands/test_bandit.py`). Densities would do worse: they are infinite at 0 or 1 for α or β below 1, and
    jump there for those at 1.
    """
    alpha = np.array([arm.alpha for arm in arms]) * sharpness
    beta = np.array([arm.beta for arm in arms]) * sharpness
    worth = np.array([arm.worth for arm in arms])
    total = alpha + beta
    logit = np.log(alpha / beta)
    deviation = 1 / np.sqrt(alpha * beta / total)
    rates: Floats = 1 / (1 + np.exp(-(logit[:, None] + deviation[:, None] * _SIGMAS)))
    grid: Floats = np.sort((rates + worth[:, None]).ravel())
    inside = np.clip(grid - worth[:, None], 0.0, 1.0)
    below = np.pad(
        betainc(alpha[:, None], beta[:, None], inside), ((0, 0), (1, 1)), constant_values=(0.0, 1.0)
    )
    others = _products_of_others(below)
    best = (np.diff(below) * (others[:, 1:] + others[:, :-1]) / 2).sum(axis=1)
    result: Floats = best / best.sum()
    return result


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
