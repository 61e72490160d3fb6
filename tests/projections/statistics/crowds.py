"""Customers who differ in how often they pay and how often they succeed, as they are and as sums."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from projections.statistics.sums import Sums, moved

Customers = NDArray[np.float64]
"""(customers, 2): payments and successes."""


def crowd(seed: int, customers: int, rate: float = 0.9) -> Customers:
    rng = np.random.default_rng(seed)
    payments = np.where(rng.random(customers) < 0.2, 50, rng.integers(1, 4, customers))
    successes = rng.binomial(payments, rng.beta(10 * rate, 10 * (1 - rate), customers))
    return np.column_stack((payments, successes)).astype(np.float64)


def summed(customers: Customers) -> Sums:
    x, y = customers.T
    return Sums(len(x), x.sum(), y.sum(), float(x @ x), float(y @ y), float(x @ y))


def folded(customers: Customers) -> Sums:
    """One after the other, as events would."""
    sums = Sums()
    for payments, successes in customers.tolist():
        sums = moved(sums, (0, 0), (1, min(successes, 1)))
        sums = moved(sums, (1, min(successes, 1)), (payments, successes))
    return sums


customers = st.lists(
    st.integers(1, 50).flatmap(lambda paid: st.tuples(st.just(paid), st.integers(0, paid))),
    min_size=2,
    max_size=40,
).map(lambda rows: np.array(rows, np.float64))
