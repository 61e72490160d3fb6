"""Simulated experiments, many at once, as the sums that every look at them would see: (runs, looks) arrays.

Customers are put into arms by the hash that ships; only how they pay is drawn.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from commands.routing.assignment import allocated, bucket_of, variant_of
from projections.statistics.sums import Bools, Floats, Sums, paid_once
from schemas.experiment import BUCKETS

SALTS = 20
RUNS_AT_ONCE = 5
"""Few, so that their looks stay in the processor's cache: three times as fast as a hundred."""
MEDIAN_MS, TIMEOUT_MS, TIMEOUT_SHARE = 400.0, 2_500.0, 0.02
"""Latencies are lognormal with this median, cut off at the timeout, which a small share reaches in any case."""
LATENCY_DEVIATION = 0.5


class Looks(NamedTuple):
    """Every field of both is (runs, looks)."""

    control: Sums
    treatment: Sums


class Crowd(NamedTuple):
    """Customers who differ: each has a rate of its own, Beta with the arm's mean, and some pay many times."""

    many_share: float = 0.1
    many: int = 50
    concentration: float = 10.0
    """α + β of the Beta distribution: the less, the more they differ."""
    is_burst: bool = False
    """All payments of a customer come at once, or spread over the experiment."""


def hashed_buckets(customers: int) -> NDArray[np.int16]:
    """(salts, customers): where every experiment's hash puts the same customers."""
    return np.array(
        [[bucket_of(f"exp_{salt}", f"cus_{number}") for number in range(customers)] for salt in range(SALTS)],
        np.int16,
    )


class Arms:
    """Who is treated: the hashed buckets dealt out to runs, in the allocation of a share."""

    def __init__(self, buckets: NDArray[np.int16]) -> None:
        self._buckets = buckets.ravel()

    def treated(self, share: float, runs: int, customers: int) -> Iterator[Bools]:
        """(runs, customers) of a few runs at a time; dealt again from the start where there are not enough."""
        weight = round(share * BUCKETS)
        allocation = allocated({"control": BUCKETS - weight, "treatment": weight})
        is_treatment = np.array([variant_of(bucket, allocation) == "treatment" for bucket in range(BUCKETS)])
        treated = is_treatment[self._buckets]
        for first in range(0, runs, RUNS_AT_ONCE):
            several = min(RUNS_AT_ONCE, runs - first)
            places = np.arange(first * customers, (first + several) * customers) % len(treated)
            yield treated[places].reshape(several, customers)


def once(rng: np.random.Generator, treated: Bools, control_rate: float, treatment_rate: float) -> Looks:
    """Every customer pays once; a look after each."""
    succeeded = rng.random(treated.shape) < np.where(treated, treatment_rate, control_rate)
    return Looks(
        *(
            paid_once(
                np.cumsum(succeeded & arm, axis=1, dtype=np.float64),
                np.cumsum(arm, axis=1, dtype=np.float64),
            )
            for arm in (~treated, treated)
        )
    )


def at_looks(
    rng: np.random.Generator, runs: int, looks: int, customers: int, rates: tuple[float, float]
) -> Looks:
    """Every customer pays once; so many looks, equally far apart, with as many customers in both arms."""
    each = customers // looks
    trials = np.broadcast_to(np.arange(1.0, looks + 1) * each, (runs, looks))
    control, treatment = (
        paid_once(np.cumsum(rng.binomial(each, rate, (runs, looks)), axis=1).astype(np.float64), trials)
        for rate in rates
    )
    return Looks(control, treatment)


def crowd(rng: np.random.Generator, treated: Bools, mean: float, who: Crowd) -> Looks:
    """One run, `treated` (customers,), of customers who differ; a look after every payment."""
    payments = np.where(rng.random(len(treated)) < who.many_share, who.many, 1)
    rates = rng.beta(mean * who.concentration, (1 - mean) * who.concentration, len(treated))
    customer = np.repeat(np.arange(len(treated)), payments)
    before = np.repeat(np.cumsum(payments) - payments, payments)
    number = np.arange(len(customer)) - before + 1.0
    succeeded = (rng.random(len(customer)) < rates[customer]).astype(np.float64)
    total = np.cumsum(succeeded)
    so_far = total - np.where(before > 0, total[before - 1], 0.0)
    order = np.arange(len(customer)) if who.is_burst else _spread(rng, customer, number)
    n, y, done, is_treated = number[order], succeeded[order], so_far[order], treated[customer[order]]
    steps = (
        n == 1,
        np.ones_like(n),
        y,
        2 * n - 1,
        done**2 - (done - y) ** 2,
        n * done - (n - 1) * (done - y),
    )
    return Looks(
        *(Sums(*(np.cumsum(step * arm)[None] for step in steps)) for arm in (~is_treated, is_treated))
    )


def _spread(rng: np.random.Generator, customer: NDArray[np.intp], number: Floats) -> NDArray[np.intp]:
    """Places by time: customers arrive one after the other, and come back at any later time."""
    arrived = customer / customer[-1]
    at = arrived + np.where(number == 1, 0.0, rng.random(len(customer)))
    at = at[np.lexsort((at, customer))]
    return np.argsort(at, kind="stable")


def log_latencies(rng: np.random.Generator, runs: int, pairs: int, slowdown: float) -> Looks:
    """ln(milliseconds) of customers who pay once; a look after every pair."""
    arms = []
    trials = np.broadcast_to(np.arange(1.0, pairs + 1), (runs, pairs))
    for factor in (1.0, slowdown):
        logs = np.log(MEDIAN_MS * factor) + LATENCY_DEVIATION * rng.standard_normal((runs, pairs))
        logs = np.where(rng.random((runs, pairs)) < TIMEOUT_SHARE, np.inf, logs)
        logs = np.minimum(logs, np.log(TIMEOUT_MS))
        total, squares = np.cumsum(logs, axis=1), np.cumsum(logs**2, axis=1)
        arms.append(Sums(trials, trials, total, trials, squares, total))
    return Looks(*arms)
