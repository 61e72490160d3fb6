"""Simulated experiments as the sums that every look at them would see: of each arm, (runs, looks) arrays.

Customers are put into arms by the hash that ships; only how they pay is drawn.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from commands.routing.assignment import allocated, bucket_of
from projections.statistics.sums import Floats, Sums
from schemas.experiment import BUCKETS
from tests.bench.experiments_figures import Figure

SALTS = 20
LOOKS_AT_ONCE = 10_000
"""So few that they stay in the processor's cache: three times as fast as ten times as many."""
MEDIAN_MS, TIMEOUT_MS, TIMEOUT_SHARE = 400.0, 2_500.0, 0.02
"""Latencies are lognormal with this median, cut off at the timeout, which a small share reaches in any case."""
LATENCY_DEVIATION = 0.5
CUSTOMER_DEVIATION = 0.25
"""Of the logarithm of a customer's own median, where customers differ."""

Arms = NDArray[np.int8]
"""Which arm a customer is in, 0 for control."""
Looks = list[Sums]
"""Of every arm, control first; fields are (runs, looks)."""


class Crowd(NamedTuple):
    """Customers who differ: each has a rate of its own, Beta with the arm's mean, and some pay many times."""

    many_share: float = 0.1
    many: int = 50
    concentration: float = 10.0
    """α + β of the Beta distribution: the less, the more they differ."""
    is_burst: bool = False
    """All payments of a customer come at once, or spread over the experiment."""


def runs_of(full: int, scale: float, least: int = 2) -> int:
    """`scale` 1 is a verdict."""
    return max(round(full * scale), least)


def hashed_buckets(customers: int, salt: int) -> NDArray[np.int16]:
    """Where the hash of one experiment puts them; those of all `SALTS` are dealt out."""
    return np.array([bucket_of(f"exp_{salt}", f"cus_{number}") for number in range(customers)], np.int16)


class Dealer:
    """Deals hashed customers out to runs, from the start again where there are not enough."""

    def __init__(self, buckets: NDArray[np.int16]) -> None:
        self._buckets = buckets.ravel()

    def dealt(self, weights: Sequence[int], runs: int, customers: int) -> Iterator[Arms]:
        """(several runs, customers), in the allocation of such weights, which are all buckets."""
        places = [str(place) for place in range(len(weights))]
        arm_of_bucket = np.empty(BUCKETS, np.int8)
        for one in allocated(dict(zip(places, weights, strict=True))):
            arm_of_bucket[one.first : one.end] = int(one.variant)
        at_once = max(LOOKS_AT_ONCE // customers, 1)
        for first in range(0, runs, at_once):
            several = min(at_once, runs - first)
            those = np.arange(first * customers, (first + several) * customers) % len(self._buckets)
            yield arm_of_bucket[self._buckets[those]].reshape(several, customers)


def once(rng: Generator, arms: Arms, rates: Sequence[float]) -> Looks:
    """Every customer pays once; a look after each."""
    succeeded = rng.random(arms.shape) < np.array(rates)[arms]
    found = []
    for arm in range(len(rates)):
        is_here = arms == arm
        trials, successes = (
            np.cumsum(one, axis=1, dtype=np.float64) for one in (is_here, succeeded & is_here)
        )
        found.append(Sums(trials, trials, successes, trials, successes, successes))
    return found


def at_looks(rng: Generator, runs: int, looks: int, customers: int, rates: Sequence[float]) -> Looks:
    """Every customer pays once; so many looks, equally far apart, with as many customers in every arm."""
    each = customers // looks
    trials = np.broadcast_to(np.arange(1.0, looks + 1) * each, (runs, looks))
    drawn = [np.cumsum(rng.binomial(each, rate, (runs, looks)), axis=1).astype(np.float64) for rate in rates]
    return [Sums(trials, trials, total, trials, total, total) for total in drawn]


Job = Callable[[Generator, float, Dealer], Iterable[Figure]]
"""Luck of its own, the scale, and who is in which arm."""
Draw = Callable[[Generator, Arms, NDArray[np.intp]], Floats]
"""What payments come to, from the arms of all customers and who paid them."""


def success(rates: Sequence[float], who: Crowd) -> Draw:
    def drawn(rng: Generator, arms: Arms, payers: NDArray[np.intp]) -> Floats:
        mean = np.array(rates)[arms]
        own = rng.beta(mean * who.concentration, (1 - mean) * who.concentration)
        return (rng.random(len(payers)) < own[payers]).astype(np.float64)

    return drawn


def log_latency(slowdowns: Sequence[float], timeouts: float = TIMEOUT_SHARE) -> Draw:
    """ln(milliseconds); `slowdowns` by arm, control's is 1."""

    def drawn(rng: Generator, arms: Arms, payers: NDArray[np.intp]) -> Floats:
        own = np.log(MEDIAN_MS * np.array(slowdowns))[arms] + CUSTOMER_DEVIATION * rng.standard_normal(
            len(arms)
        )
        logs = own[payers] + LATENCY_DEVIATION * rng.standard_normal(len(payers))
        logs[rng.random(len(payers)) < timeouts] = np.inf
        return np.minimum(logs, np.log(TIMEOUT_MS))

    return drawn


def crowd(rng: Generator, arms: Arms, count: int, who: Crowd, draw: Draw) -> Looks:
    """One run of customers in `count` arms, `arms` (customers,); a look after every payment."""
    payments = np.where(rng.random(len(arms)) < who.many_share, who.many, 1)
    payers = np.repeat(np.arange(len(arms)), payments)
    before = np.repeat(np.cumsum(payments) - payments, payments)
    number = np.arange(len(payers)) - before + 1.0
    value = draw(rng, arms, payers)
    total = np.cumsum(value)
    so_far = total - np.where(before > 0, total[before - 1], 0.0)
    at = slice(None) if who.is_burst else _spread(rng, payers, number)
    n, y, done, arm = number[at], value[at], so_far[at], arms[payers[at]]
    earlier = done - y
    steps = (n == 1, 1.0, y, 2 * n - 1, y * (done + earlier), y * n + earlier)
    return [Sums(*(np.cumsum(step * (arm == one))[None] for step in steps)) for one in range(count)]


def _spread(rng: Generator, payers: NDArray[np.intp], number: Floats) -> NDArray[np.intp]:
    """Places by time: customers arrive one after the other, and come back at any later time."""
    times = payers / payers[-1] + np.where(number == 1, 0.0, rng.random(len(payers)))
    by_time = _sorted(times * 2**15)
    found = np.empty_like(by_time)
    # Of one customer's payments the n-th in time is the n-th in number.
    found[_sorted(payers[by_time])] = np.arange(len(payers))
    return found


def _sorted(numbers: NDArray[Any]) -> NDArray[np.intp]:
    """Places by ascending numbers below 65,536: sixteen bits are sorted by radix, ten times as fast."""
    return np.argsort(numbers.astype(np.uint16), kind="stable")
