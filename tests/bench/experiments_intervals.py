"""How often intervals hold the truth, how often a sound split is called broken, and what assignment is worth."""

from collections.abc import Iterator
from itertools import combinations
from math import log
from timeit import repeat

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare

from commands.routing.assignment import Assigner, allocated
from projections.statistics.clustered import difference
from projections.statistics.effective import counts, design_effect, divided, effective
from projections.statistics.intervals import newcombe, wilson
from projections.statistics.normal import critical
from projections.statistics.ratios import log_ratio
from projections.statistics.sample_ratio import ALPHA, mismatch_evidence
from projections.statistics.sequential import confidence_sequence, is_ripe
from projections.statistics.sums import Bools, Floats, Sums
from projections.statistics.winning import winning_bounds
from schemas.experiment import BUCKETS
from tests.bench.experiments_figures import Figure, share
from tests.bench.experiments_world import Arms, Crowd, once

CONTROL, TREATMENT = 0.90, 0.88
NOMINAL, LEAST = 0.95, 0.94
"""Coverage of an interval at a fixed horizon goes up and down with the rate around its nominal one."""
MANY_LOOKS = 2_000


def intervals(rng: np.random.Generator, runs: int, arms: Arms) -> Iterator[Figure]:
    for trials in (30, 1_000):
        control, treatment = (
            counts(rng.binomial(trials, rate, 10 * runs).astype(np.float64), trials)
            for rate in (CONTROL, TREATMENT)
        )
        z = critical(NOMINAL)
        yield _covered(f"Wilson, {trials} trials", *wilson(control, z), CONTROL)
        yield _covered(f"Newcombe, {trials} trials", *newcombe(control, treatment, z), TREATMENT - CONTROL)
    yield from _clustered(rng, runs)
    yield from _sequences(rng, runs, arms)


def _clustered(rng: np.random.Generator, runs: int) -> Iterator[Figure]:
    """Of customers a tenth of whom pay fifty times, each with a rate, and with a speed, of their own."""
    control, treatment = (_customers(rng, 10 * runs, 300, rate, Crowd()) for rate in (CONTROL, TREATMENT))
    true = TREATMENT - CONTROL
    yield _covered("difference, clustered", *difference(control, treatment).within(NOMINAL), true)
    lift = log_ratio(control, treatment).within(NOMINAL)
    yield _covered("relative lift, clustered", *lift, log(TREATMENT / CONTROL))
    z = critical(NOMINAL)
    rate = wilson(divided(control, design_effect(control, (control, treatment))), z)
    yield _covered("Wilson of effective counts", *rate, CONTROL)
    yield _covered("Newcombe of effective counts", *newcombe(*effective(control, treatment), z), true)
    slow = difference(*(_latencies(rng, 10 * runs, 300, Crowd()) for _ in range(2)))
    yield _covered("ratio of latencies, clustered", *slow.within(NOMINAL), 0.0)


def _sequences(rng: np.random.Generator, runs: int, arms: Arms) -> Iterator[Figure]:
    """Over all looks of a run together."""
    always: list[Bools | np.bool_] = []
    planned: list[Bools | np.bool_] = []
    for treated in arms.treated(0.5, max(runs // 4, 10), 10_000):
        looks = once(rng, treated, CONTROL, TREATMENT)
        early = ~is_ripe(*looks)
        for found, (low, high) in (
            (always, confidence_sequence(*looks, NOMINAL)),
            (planned, winning_bounds(*looks, 5_000, NOMINAL)),
        ):
            true = TREATMENT - CONTROL
            found.append((early | ((low <= true) & (true <= high))).all(axis=1))
    yield share("covers at all looks: confidence sequence", np.concatenate(always), NOMINAL, "at least")
    yield share("covers at all looks: the winner's interval", np.concatenate(planned), NOMINAL, "at least")


def _customers(rng: np.random.Generator, runs: int, customers: int, rate: float, who: Crowd) -> Sums:
    x = np.where(rng.random((runs, customers)) < who.many_share, float(who.many), 1.0)
    rates = rng.beta(rate * who.concentration, (1 - rate) * who.concentration, x.shape)
    y = rng.binomial(x.astype(np.int64), rates).astype(np.float64)
    return Sums(float(customers), *(part.sum(axis=1) for part in (x, y, x * x, y * y, x * y)))


def _latencies(rng: np.random.Generator, runs: int, customers: int, who: Crowd) -> Sums:
    """Logarithms, of a mean of 6."""
    x = np.where(rng.random((runs, customers)) < who.many_share, float(who.many), 1.0)
    y = x * rng.normal(6, 0.4, x.shape) + np.sqrt(x) * rng.normal(0, 0.5, x.shape)
    return Sums(float(customers), *(part.sum(axis=1) for part in (x, y, x * x, y * y, x * y)))


def _covered(name: str, low: Floats, high: Floats, truth: float) -> Figure:
    return share(f"covers: {name}", np.asarray((low <= truth) & (truth <= high)), LEAST, "at least")


def splits(rng: np.random.Generator, runs: int) -> Iterator[Figure]:
    for shares in ((0.5, 0.5), (0.9, 0.1), (0.5, 0.25, 0.25)):
        configured = np.array(shares)
        alarms = [_is_alarmed(rng, min(500, runs - first), configured) for first in range(0, runs, 500)]
        title = "/".join(f"{100 * one:g}" for one in shares)
        yield share(f"SRM false alarms {title}, {MANY_LOOKS:,} looks", np.concatenate(alarms), ALPHA)


def _is_alarmed(rng: np.random.Generator, runs: int, shares: Floats) -> Bools:
    """A look after every ten customers."""
    seen = np.cumsum(rng.multinomial(10, shares, (runs, MANY_LOOKS)), axis=1).astype(np.float64)
    return np.asarray((mismatch_evidence(seen, shares) >= -np.log(ALPHA)).any(axis=1))


def assignment(buckets: NDArray[np.int16]) -> Iterator[Figure]:
    salts, customers = buckets.shape
    p_values = [chisquare(np.bincount(row // 100, minlength=BUCKETS // 100)).pvalue for row in buckets]
    yield Figure(
        name=f"assignment: least chi-square p of {salts} salts, {customers:,} customers",
        measured=float(min(p_values)),
        bound="at least",
        target=5e-5,
        runs=salts,
    )
    halves = np.where(buckets < BUCKETS // 2, 1.0, -1.0)
    associations = [abs(float(np.corrcoef(one, other)[0, 1])) for one, other in combinations(halves, 2)]
    yield Figure(
        name="assignment: largest Cramér's V of two experiments",
        measured=max(associations),
        bound="at most",
        target=0.02,
        runs=len(associations),
    )
    assigner = Assigner("exp_01hzxabcdefghijklmnopqrstu", allocated({"control": 5_000, "treatment": 5_000}))
    seconds = min(repeat(lambda: assigner.variant("cus_0123456789"), number=50_000, repeat=5)) / 50_000
    yield Figure(
        name="assignment: µs each", measured=round(seconds * 1e6, 3), bound="at most", target=2.0, runs=5
    )
