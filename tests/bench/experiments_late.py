"""Experiments whose arms are the same in the end, of which one is told later: nobody may be paused or win by that."""

from collections.abc import Iterator
from functools import partial
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from projections.statistics.outstanding import Outstanding
from projections.statistics.sums import Bools, Floats, Sums
from tests.bench.experiments_figures import Figure, share
from tests.bench.experiments_looks import Open, Plan, found
from tests.bench.experiments_rates import FALSE_PAUSES, FALSE_WINNERS, SPLITS
from tests.bench.experiments_world import Arms, Dealer, Job, Looks, runs_of

CONTROL, TREATMENT = 0, 1
PAIRS, RUNS = 5_000, 500
EVERY = 100
"""Payments to a look: what is open stays so for many, so that looks after each would see the same again."""


class Late(NamedTuple):
    title: str
    rate: float
    arm: int
    part: float
    """Of its payments."""
    become: float
    """The success rate of these; that of the others makes up for it."""
    after_pairs: int | None
    """None: they are never told."""
    how: Literal["awaiting", "in doubt"]


LATE = (
    Late("5 % of the treatment's abandoned, told 1,000 pairs late", 0.8, TREATMENT, 0.05, 0.0, 1_000, "awaiting"),
    Late("5 % of the treatment's abandoned, told 3,000 pairs late", 0.8, TREATMENT, 0.05, 0.0, 3_000, "awaiting"),
    Late("2 % of the treatment's abandoned, never told", 0.8, TREATMENT, 0.02, 0.0, None, "awaiting"),
    Late("5 % of control's abandoned, told 3,000 pairs late", 0.8, CONTROL, 0.05, 0.0, 3_000, "awaiting"),
    Late("5 % of control's paid 3,000 pairs late", 0.8, CONTROL, 0.05, 1.0, 3_000, "awaiting"),
    Late("5 % of the treatment's in doubt for 50 pairs", 0.9, TREATMENT, 0.05, 0.9, 50, "in doubt"),
    Late("5 % of the treatment's in doubt for 300 pairs", 0.9, TREATMENT, 0.05, 0.9, 300, "in doubt"),
    Late("10 % of the treatment's in doubt for 150 pairs", 0.9, TREATMENT, 0.10, 0.9, 150, "in doubt"),
    Late("5 % of control's in doubt for 3,000 pairs", 0.9, CONTROL, 0.05, 0.9, 3_000, "in doubt"),
)  # fmt: skip


def jobs() -> Iterator[Job]:
    yield from (partial(late, case) for case in LATE)


def late(case: Late, rng: Generator, scale: float, dealer: Dealer) -> Iterator[Figure]:
    """Told beside: were what is open left out, and what is in doubt counted as failed."""
    weights = SPLITS["50/50"]
    plan = Plan(weights, PAIRS)
    each = [
        (found(looks, plan, outstanding), found(looks, plan))
        for arms in dealer.dealt(weights, runs_of(RUNS, scale), 2 * PAIRS)
        for looks, outstanding in [_told(rng, arms, case)]
    ]
    for what, target in (("paused", FALSE_PAUSES), ("won", FALSE_WINNERS)):
        seen, as_counted = (np.concatenate([getattr(run[way], what) for run in each]) for way in (0, 1))
        verb = "paused" if what == "paused" else "a treatment wins"
        beside = {"as if nothing were open": float(np.mean(as_counted < inf))}
        yield share(f"A/A, {case.title}: {verb}", seen < inf, target, beside=beside)


def _told(rng: Generator, arms: Arms, case: Late) -> tuple[Looks, Open]:
    """Everybody pays once."""
    is_late = (arms == case.arm) & (rng.random(arms.shape) < case.part)
    at_once = np.where(arms == case.arm, (case.rate - case.part * case.become) / (1 - case.part), case.rate)
    succeeds = rng.random(arms.shape) < np.where(is_late, case.become, at_once)
    looks: Looks = []
    outstanding = []
    for arm in range(2):
        known, unknown = (arms == arm) & ~is_late, (arms == arm) & is_late
        still_open = _sum(unknown) - _later(unknown, case)
        successes = _sum(known & succeeds) + _later(unknown & succeeds, case)
        trials = _sum(known) + (_sum(unknown) if case.how == "in doubt" else _later(unknown, case))
        trials, successes, still_open = (
            one[:, EVERY - 1 :: EVERY] for one in (trials, successes, still_open)
        )
        none = np.zeros_like(still_open)
        looks.append(Sums(trials, trials, successes, trials, successes, successes))
        outstanding.append(
            Outstanding(still_open, none) if case.how == "awaiting" else Outstanding(none, still_open)
        )
    return looks, outstanding


def _sum(which: Bools) -> Floats:
    return np.cumsum(which, axis=1, dtype=np.float64)


def _later(which: Bools, case: Late) -> Floats:
    """As far as it is told by then."""
    told = np.zeros(which.shape)
    if case.after_pairs is not None:
        looks = 2 * case.after_pairs
        told[:, looks:] = _sum(which)[:, :-looks]
    return told
