"""One arm of an experiment as six sums over its customers: enough for every test, however many the payments are.

Customers were assigned, so customers are what is independent. One who pays often counts once in every variance, with
all payments together: the rate is a ratio of two sums over customers (Deng, Knoblich and Lu, arXiv 1803.06336, 2018).
Fields may be arrays, of many experiments or many looks at one; every function here works on all of them at once.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Numbers = float | Floats
_ROUNDING = 1e-14


class Sums(NamedTuple):
    """Of a customer, x payments have y in all: successes, or the logarithms of their latencies."""

    customers: Numbers = 0
    payments: Numbers = 0
    """Σx"""
    total: Numbers = 0
    """Σy"""
    payments_squared: Numbers = 0
    """Σx²"""
    total_squared: Numbers = 0
    """Σy²"""
    product: Numbers = 0
    """Σxy"""

    @property
    def rate(self) -> Floats:
        """Per payment; not a number before the first one."""
        with np.errstate(invalid="ignore"):
            return np.divide(self.total, self.payments)

    @property
    def independent_customers(self) -> Floats:
        """As many customers who pay equally often would weigh the same: (Σx)² / Σx² (Kish, Survey Sampling, 1965)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.divide(self.payments, self.payments_squared) * self.payments)


def paid_once(successes: Numbers, trials: Numbers) -> Sums:
    """Of customers with one payment each."""
    return Sums(trials, trials, successes, trials, successes, successes)


def added(sums: Sums, more: Sums) -> Sums:
    """Of other customers."""
    return Sums(*(known + one for known, one in zip(sums, more, strict=True)))


def failures(sums: Sums) -> Sums:
    """Where y are successes: of the payments that are none, x - y."""
    customers, paid, succeeded, paid_squared, succeeded_squared, product = sums
    failed_squared = paid_squared - 2 * product + succeeded_squared
    return Sums(customers, paid, paid - succeeded, paid_squared, failed_squared, paid_squared - product)


def moved(sums: Sums, before: tuple[float, float], after: tuple[float, float]) -> Sums:
    """After one customer went from (x, y) to another; (0, 0) is a customer who had not paid yet."""
    (x0, y0), (x1, y1) = before, after
    return Sums(
        sums.customers + (x1 > 0) - (x0 > 0),
        sums.payments + x1 - x0,
        sums.total + y1 - y0,
        sums.payments_squared + x1**2 - x0**2,
        sums.total_squared + y1**2 - y0**2,
        sums.product + x1 * y1 - x0 * y0,
    )


def scaled(sums: Sums, unit: float) -> Sums:
    """Of y that were counted as integers of so much each, so that folds agree exactly in whatever order."""
    return sums._replace(
        total=sums.total * unit, total_squared=sums.total_squared * unit**2, product=sums.product * unit
    )


def squared_residuals(sums: Sums) -> Floats:
    """Σ(y - rate·x)²: what the customers differ in from what their payments would have at the arm's rate.

    Of y - c·x, which has the same residuals: c is the whole number next to the rate, so that of customers who nearly
    always succeed failures are summed. What rounding alone could have left is 0.
    """
    with np.errstate(invalid="ignore"):
        near = np.rint(sums.rate)
        squared = sums.total_squared - 2 * near * sums.product + near * near * sums.payments_squared
        product = sums.product - near * sums.payments_squared
        rate = np.divide(sums.total - near * sums.payments, sums.payments)
        found = squared - 2 * rate * product + rate * rate * sums.payments_squared
    return np.where(found <= _ROUNDING * sums.total_squared, 0.0, found)


def variance(sums: Sums) -> Floats:
    """Of the rate, by the delta method: k/(k-1) · Σ(y - rate·x)² / (Σx)², k the independent customers.

    Not a number of fewer than two. With k the expectation is exact where payments are independent, however unequally
    customers pay; with their number n, as is usual, it falls short where a few of them weigh most. Where everybody pays
    equally often the two are the same.
    """
    independent = sums.independent_customers
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = independent / (independent - 1)
        found = spread * squared_residuals(sums) / sums.payments / sums.payments
    return np.where(np.greater(sums.customers, 1), found, np.nan)
