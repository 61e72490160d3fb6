"""Experiments on success rates: how often what is harmless is paused or wins, how soon what is harmful is paused."""

from collections.abc import Iterator, Sequence
from functools import partial
from math import inf
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

from projections.statistics.effective import counts
from projections.statistics.proportions import pooled_z
from projections.statistics.sums import Floats
from tests.bench.experiments_figures import Bound, Figure, median, middle, share
from tests.bench.experiments_looks import TWO_SIDED, Found, Plan, found
from tests.bench.experiments_world import Crowd, Dealer, Job, Looks, at_looks, crowd, once, runs_of, success

RATE = 0.90
PAIRS = 5_000
RUNS = 2_000
FALSE_PAUSES, FALSE_WINNERS = 0.04, 0.05
CROWD, BURSTS = Crowd(), Crowd(concentration=2.0, is_burst=True)


class Harmless(NamedTuple):
    """An experiment whose arms are all the same."""

    title: str
    weights: tuple[int, ...]
    rate: float
    customers: int
    who: Crowd | None = None
    """None: everybody pays once."""

    @property
    def name(self) -> str:
        who = (
            "" if self.who is None else f", customers who differ{', in bursts' if self.who.is_burst else ''}"
        )
        return f"A/A {self.title} at {self.rate:.2f}{who}"


SPLITS = {"50/50": (5_000, 5_000), "90/10": (9_000, 1_000), "10/90": (1_000, 9_000)}
TWO, FOUR = (3_334, 3_333, 3_333), (2_000, 2_000, 2_000, 2_000, 2_000)
HARMLESS = (
    *(
        Harmless(title, weights, rate, 2 * PAIRS, who)
        for who in (None, CROWD)
        for title, weights in SPLITS.items()
        for rate in (0.85, 0.90, 0.95)
    ),
    Harmless("50/50", SPLITS["50/50"], RATE, 2 * PAIRS, BURSTS),
    *(Harmless("two treatments", TWO, rate, 3 * PAIRS) for rate in (0.85, 0.90, 0.95)),
    Harmless("four treatments", FOUR, RATE, 5 * PAIRS),
    Harmless("four treatments of a tenth each", (6_000, *[1_000] * 4), RATE, 4 * PAIRS),
    Harmless("two treatments", TWO, RATE, 3 * PAIRS, CROWD),
    Harmless("four treatments", FOUR, RATE, 2 * PAIRS, CROWD),
)


class Harmful(NamedTuple):
    drop: float
    """Points below .90."""
    target: int
    """The median pairs until a pause, at most."""
    pairs: int
    runs: int


HARMFUL = (
    Harmful(0.03, 1_450, 5_000, 4_000),
    Harmful(0.05, 620, 3_000, 4_000),
    Harmful(0.10, 185, 1_000, 10_000),
    Harmful(0.20, 75, 400, 10_000),
    Harmful(0.60, 20, 200, 10_000),
)
PLANNED, LOOKS, RUNS_AT_ONCE = 10_000, 20, 500
O_BRIEN_FLEMING = 2.126
"""Of twenty looks, two-sided at 5 %: z at look k is significant from this times √(20/k) on."""


def jobs() -> Iterator[Job]:
    yield from (partial(harmless, case) for case in HARMLESS)
    yield from (partial(harmful, case) for case in HARMFUL)
    yield from (better, power)


def harmless(case: Harmless, rng: Generator, scale: float, dealer: Dealer) -> Iterator[Figure]:
    """*A false winner* is a treatment that `judge` calls winner at any look; told beside it is how often any arm would
    be, if control could win as well."""
    rates = [case.rate] * len(case.weights)
    plan = Plan(case.weights, round(case.customers * min(case.weights) / sum(case.weights)))
    seen = _joined(
        found(looks, plan)
        for arms in dealer.dealt(case.weights, runs_of(RUNS, scale), case.customers)
        for looks in ([once(rng, arms, rates)] if case.who is None else _crowds(rng, arms, rates, case.who))
    )
    yield share(
        f"{case.name}: paused",
        seen.paused < inf,
        FALSE_PAUSES,
        beside={"point rule": _share(seen.point_rule), "z at each look": _share(seen.z_pauses)},
    )
    yield share(
        f"{case.name}: a treatment wins",
        seen.won < inf,
        FALSE_WINNERS,
        beside={"control too": _share(seen.differed), "z at each look": _share(seen.z_wins)},
    )


def _crowds(rng: Generator, arms: np.ndarray, rates: Sequence[float], who: Crowd) -> Iterator[Looks]:
    for run in arms:
        yield crowd(rng, run, len(rates), who, success(rates, who))


def _joined(parts: Iterator[Found]) -> Found:
    return Found(*(np.concatenate(one) for one in zip(*parts, strict=True)))


def _share(numbers: Floats) -> float:
    return float(np.mean(numbers < inf))


def harmful(case: Harmful, rng: Generator, scale: float, dealer: Dealer) -> Iterator[Figure]:
    seen = _against(rng, dealer, RATE - case.drop, runs_of(case.runs, scale), case.pairs)
    yield median(
        f"pairs until {100 * case.drop:.0f} points less are paused",
        seen.paused / 2,
        case.target,
        beside={"point rule": middle(seen.point_rule / 2), "z at each look": middle(seen.z_pauses / 2)},
    )


def better(rng: Generator, scale: float, dealer: Dealer) -> Iterator[Figure]:
    seen = _against(rng, dealer, RATE + 0.02, runs_of(8_000, scale), PAIRS)
    yield share(
        "a treatment 2 points better is paused",
        seen.paused < inf,
        0.005,
        beside={"point rule": _share(seen.point_rule), "z at each look": _share(seen.z_pauses)},
    )


def _against(rng: Generator, dealer: Dealer, rate: float, runs: int, pairs: int) -> Found:
    weights = SPLITS["50/50"]
    return _joined(
        found(once(rng, arms, (RATE, rate)), Plan(weights, pairs))
        for arms in dealer.dealt(weights, runs, 2 * pairs)
    )


def power(rng: Generator, scale: float, _: Dealer) -> Iterator[Figure]:
    yield _winning(rng, scale, 0.01, "power for +1 point", 0.60, "at least")
    yield _winning(rng, scale, 0.0, "no gain, and the treatment wins", 0.025, "at most")


def _winning(rng: Generator, scale: float, gain: float, title: str, target: float, bound: Bound) -> Figure:
    won, others = [], []
    for _run in range(runs_of(20_000 // RUNS_AT_ONCE, scale, least=1)):
        looks = at_looks(rng, RUNS_AT_ONCE, LOOKS, PLANNED, (RATE, RATE + gain))
        won.append(found(looks, Plan(SPLITS["50/50"], PLANNED)).won < inf)
        others.append(_as_others_do(looks))
    rules = ("O'Brien-Fleming", "z at each look", "z at the end")
    of_others = np.concatenate(others, axis=1).mean(axis=1).tolist()
    return share(
        f"{title}, {PLANNED:,} an arm, {LOOKS} looks",
        np.concatenate(won),
        target,
        bound,
        dict(zip(rules, of_others, strict=True)),
    )


def _as_others_do(looks: Looks) -> Floats:
    """(rules, runs): whether they call the treatment a winner."""
    control, treatment = (counts(one.total, one.payments) for one in looks)
    z = pooled_z(control, treatment)
    line = O_BRIEN_FLEMING * np.sqrt(LOOKS / np.arange(1, LOOKS + 1))
    return np.array([(z >= line).any(axis=1), (z >= TWO_SIDED).any(axis=1), z[:, -1] >= TWO_SIDED])
