"""What assignment is worth, how often a sound split is called broken, and how soon a broken one is."""

from collections.abc import Iterator
from functools import partial
from itertools import combinations
from math import inf, log
from time import process_time
from timeit import repeat

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.stats import chisquare

from commands.routing.assignment import Assigner, allocated
from projections.statistics.sample_ratio import ALPHA, PRECISIONS, mismatch_evidence
from projections.statistics.sums import Floats
from schemas.experiment import BUCKETS
from tests.bench.experiments_figures import Figure, median, share
from tests.bench.experiments_world import Dealer, Job, runs_of

SOUND = ((0.5, 0.5), (0.9, 0.1), (0.5, 0.25, 0.25), (0.6, 0.1, 0.1, 0.1, 0.1))
BROKEN = ((0.505, 0.495, 1_000), (0.52, 0.48, 100))
"""Shares where halves were configured, and after how many customers each there is a look."""
RUNS, LOOKS, CUSTOMERS_A_LOOK = 4_000, 2_000, 10
RUNS_AT_ONCE = 50


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
    # Of the processor's time: another process beside it is not its fault.
    each = repeat(lambda: assigner.variant("cus_0123456789"), timer=process_time, number=50_000, repeat=5)
    seconds = min(each) / 50_000
    yield Figure(
        name="assignment: µs each", measured=round(seconds * 1e6, 3), bound="at most", target=2.0, runs=5
    )


def jobs() -> Iterator[Job]:
    yield from (partial(sound, shares) for shares in SOUND)
    yield from (partial(broken, *case) for case in BROKEN)


def sound(shares: tuple[float, ...], rng: Generator, scale: float, _: Dealer) -> Iterator[Figure]:
    """Of alarms so rare a direct count says little. So customers are split as the test's mixture says, where it raises
    most of them, and each alarm counts by how much more likely it is there than where the split is sound."""
    configured, chances = np.array(shares), []
    for _run in range(runs_of(RUNS // RUNS_AT_ONCE, scale, least=2)):
        evidence = _evidence(rng, configured, _mixed(rng, configured), CUSTOMERS_A_LOOK, LOOKS)
        alarmed = evidence >= -log(ALPHA)
        at = alarmed.argmax(axis=1)
        crossed = np.take_along_axis(evidence, at[:, None], axis=1)[:, 0]
        chances.append(np.where(alarmed.any(axis=1), np.exp(-crossed), 0.0))
    name = f"a sound split {_title(shares)} is called broken, {LOOKS:,} looks"
    yield share(name, np.concatenate(chances), ALPHA)


def broken(
    first: float, second: float, a_look: int, rng: Generator, scale: float, _: Dealer
) -> Iterator[Figure]:
    runs = runs_of(1_000, scale)
    shares = np.broadcast_to([first, second], (RUNS_AT_ONCE, 2))
    looks = []
    for _run in range(max(runs // RUNS_AT_ONCE, 1)):
        alarmed = _evidence(rng, np.array([0.5, 0.5]), shares, a_look, LOOKS) >= -log(ALPHA)
        looks.append(np.where(alarmed.any(axis=1), alarmed.argmax(axis=1) + 1.0, inf))
    yield median(
        f"customers until {_title((first, second))} instead of halves is called broken",
        a_look * np.concatenate(looks),
    )


def _mixed(rng: Generator, configured: Floats) -> Floats:
    """(runs, arms)."""
    precisions = rng.choice(PRECISIONS, RUNS_AT_ONCE)
    return np.array([rng.dirichlet(precision * configured) for precision in precisions])


def _evidence(rng: Generator, configured: Floats, shares: Floats, a_look: int, looks: int) -> Floats:
    """(runs, looks)."""
    drawn = rng.multinomial(a_look, shares[:, None, :], (len(shares), looks))
    return mismatch_evidence(np.cumsum(drawn, axis=1).astype(np.float64), configured)


def _title(shares: tuple[float, ...]) -> str:
    return "/".join(f"{100 * one:g}" for one in shares)
