"""Experiments on latency: how soon what is slow is paused, and that what is hardly slower is left alone."""

from collections.abc import Iterator
from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from projections.statistics.latency import is_slow
from projections.statistics.sums import Floats
from projections.statistics.verdict import Rules
from tests.bench.experiments_figures import Figure, median, share
from tests.bench.experiments_looks import first
from tests.bench.experiments_world import Crowd, Dealer, Job, crowd, log_latency, runs_of

RULES = Rules(planned_customers=5_000)


RUNS, LEFT_ALONE = 1_000, 0.005


class Payers(NamedTuple):
    title: str
    who: Crowd
    target: float | None
    """The median pairs until ×1.5 is paused, at most. Nothing is asked where so few customers are independent that the
    minimum of them takes longer by itself."""


PAYERS = (
    Payers("customers who pay once", Crowd(many_share=0.0), 150),
    Payers("a third pay three times", Crowd(many_share=0.3, many=3), 150),
    Payers("a tenth pay 50 times", Crowd(), None),
)


def jobs() -> Iterator[Job]:
    yield from (partial(left_alone, payers, slowdown) for slowdown in (1.0, 1.1) for payers in PAYERS)
    yield from (partial(paused, payers, RULES.max_latency_multiplier) for payers in PAYERS)


def left_alone(
    payers: Payers, slowdown: float, rng: Generator, scale: float, dealer: Dealer
) -> Iterator[Figure]:
    pairs = _pairs(payers.who, slowdown, 5_000, rng, scale, dealer)
    yield share(f"a latency ×{slowdown} is paused, {payers.title}", pairs < inf, LEFT_ALONE)


def paused(payers: Payers, slowdown: float, rng: Generator, scale: float, dealer: Dealer) -> Iterator[Figure]:
    pairs = _pairs(payers.who, slowdown, 1_500, rng, scale, dealer)
    yield median(f"pairs until a latency ×{slowdown} is paused, {payers.title}", pairs, payers.target)


def _pairs(who: Crowd, slowdown: float, most: int, rng: Generator, scale: float, dealer: Dealer) -> Floats:
    """Of customers seen until the pause, with a look after every payment; infinite where there is none."""
    found = []
    for block in dealer.dealt((5_000, 5_000), runs_of(RUNS, scale), 2 * most):
        for arms in block:
            control, treatment = crowd(rng, arms, 2, who, log_latency((1.0, slowdown)))
            limit, least = RULES.max_latency_multiplier, RULES.min_samples
            at = first(is_slow(control, treatment, limit, least_customers=least))[0]
            seen = np.ravel(control.customers + treatment.customers) / 2
            found.append(inf if at == inf else seen[int(at) - 1])
    return np.array(found)
