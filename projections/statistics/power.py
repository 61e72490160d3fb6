"""How large an experiment must be, how likely it finds an effect, and how long it goes on.

The formulas are for one look at the planned sample (Fleiss, Levin and Paik, Statistical Methods for Rates and
Proportions, 2003, chapter 4); the winner's test may look at any time, and for that takes some more customers.
"""

from math import ceil, sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from projections.statistics.horizon import Fraction, horizon_z
from projections.statistics.normal import critical_at
from schemas.base import Value


class Design(Value, frozen=True, kw_only=True):
    method: str
    control_rate: float
    difference: float
    alpha: float
    """Two-sided."""
    power: float
    customers_control: int
    customers_treatment: int
    """Customers who pay once. Where the design effect is D and a customer pays m times, D/m as many."""
    customers_control_sequential: int
    customers_treatment_sequential: int
    """For the winner's test, whose line at the planned sample is somewhat higher."""


def design(
    control_rate: float, difference: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> Design:
    """`ratio`: treatment's customers for one of control's. The rates lie within 0 and 1."""
    fixed = sample_size(control_rate, difference, alpha=alpha, power=power, ratio=ratio)
    inflated = fixed * ((winning_z(alpha) + ndtri(power)) / (critical_at(alpha) + ndtri(power))) ** 2
    return Design(
        method="two_proportion_z_pooled_under_null",
        control_rate=control_rate,
        difference=difference,
        alpha=alpha,
        power=power,
        customers_control=ceil(fixed),
        customers_treatment=ceil(fixed * ratio),
        customers_control_sequential=ceil(inflated),
        customers_treatment_sequential=ceil(inflated * ratio),
    )


def winning_z(alpha: float) -> float:
    return float(horizon_z(Fraction(np.asarray(1.0)), alpha / 2))


def sample_size(
    control_rate: float, difference: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> float:
    """Of control, not rounded: ((z_(α/2)·σ₀ + z_β·σ₁) / δ)², σ₀ with one rate for both and σ₁ with their own."""
    null, own = _spreads(control_rate, difference, ratio)
    return float(((critical_at(alpha) * null + ndtri(power) * own) / difference) ** 2)


def power_of(
    control_rate: float, difference: float, customers: float, *, alpha: float = 0.05, ratio: float = 1.0
) -> float:
    """That a two-sided test with so many customers in control is significant, in either direction."""
    null, own = _spreads(control_rate, difference, ratio)
    reach, found = critical_at(alpha) * null, abs(difference) * sqrt(customers)
    return float(ndtr((found - reach) / own) + ndtr((-found - reach) / own))


def least_difference(
    control_rate: float, customers: float, *, alpha: float = 0.05, power: float = 0.8, ratio: float = 1.0
) -> float | None:
    """The smallest gain that so many customers in control find with that power; None if not even the largest."""
    largest = (1 - control_rate) * (1 - 1e-12)

    def short_of(difference: float) -> float:
        return power_of(control_rate, difference, customers, alpha=alpha, ratio=ratio) - power

    if short_of(largest) < 0:
        return None
    return float(brentq(short_of, 1e-12, largest, xtol=1e-14))


def remaining_days(planned: float, reached: float, per_day: float) -> float | None:
    """Until the smaller arm has its planned sample, at the pace of late; None if it never comes."""
    if reached >= planned:
        return 0.0
    return (planned - reached) / per_day if per_day > 0 else None


def _spreads(control_rate: float, difference: float, ratio: float) -> tuple[float, float]:
    """√ of n times the variance of the difference, n of control: with one rate for both, and with their own."""
    treated = control_rate + difference
    both = (control_rate + ratio * treated) / (1 + ratio)
    null = both * (1 - both) * (1 + 1 / ratio)
    own = control_rate * (1 - control_rate) + treated * (1 - treated) / ratio
    return sqrt(null), sqrt(own)
