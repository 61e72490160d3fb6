"""How often the intervals that results show hold the truth: those of one look, and sequences at all looks together."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.random import Generator

from projections.experiment_comparison import Known
from projections.experiment_results import results
from projections.sketch import bin_of
from projections.statistics.intervals import Bounds
from projections.statistics.latency import DIFFERENCES, LOG_UNIT
from projections.statistics.mixture import always_valid_z
from projections.statistics.sequential import confidence_sequence, is_ripe
from projections.statistics.sums import Floats, Sums, variance
from projections.statistics.verdict import Rules
from projections.statistics.winning import winning_bounds
from schemas.experiment import Design, Variant
from schemas.exposure import Tally
from schemas.ids import ExperimentId
from tests.bench.experiments_figures import Figure, share
from tests.bench.experiments_world import (
    CUSTOMER_DEVIATION,
    LATENCY_DEVIATION,
    MEDIAN_MS,
    Crowd,
    Dealer,
    Job,
    Looks,
    crowd,
    log_latency,
    runs_of,
    success,
)
from tests.builders import AT

NOMINAL = 0.95
LEAST, MOST_ALARMS = 0.94, 0.06
"""Coverage at one look goes up and down with the rate around its nominal one."""
RUNS = 4_000
FIRST, SAVED = (0.85, 0.82), 1 / 3
"""Rates of both arms by the first attempt; so many of what it lost are saved by others."""
ANY = tuple(rate + (1 - rate) * SAVED for rate in FIRST)
UNKNOWN, IN_REVIEW, GIVEN_BACK, AWAITING = 0.2, 0.1, 0.02, 0.01
"""The first two of what did not succeed."""
SLOWDOWN = 1.1
DESIGN = Design(
    name="covered",
    variants=(Variant(name="control", weight=5_000), Variant(name="treatment", weight=5_000)),
    planned_customers=2_000,
    planned_days=14,
)
RULES = Rules(planned_customers=DESIGN.planned_customers)
KNOWN = Known(
    experiment_id=ExperimentId("exp_1"),
    design=DESIGN,
    status="RUNNING",
    started_at=AT,
    paused_for=timedelta(),
    ended_at=None,
    acted_on=None,
)


class Population(NamedTuple):
    title: str
    customers: int
    """In either arm."""
    who: Crowd
    deviation: float
    """Of the logarithms of customers' latencies."""

    @property
    def are_alike(self) -> bool:
        return not self.who.many_share


ALIKE = Crowd(many_share=0.0)
POPULATIONS = (
    Population("100 who pay once", 100, ALIKE, 0.0),
    Population("2,000 who pay once", 2_000, ALIKE, 0.0),
    Population("100 who differ", 100, Crowd(), CUSTOMER_DEVIATION),
    Population("300 who differ", 300, Crowd(), CUSTOMER_DEVIATION),
    Population("2,000 who differ", 2_000, Crowd(), CUSTOMER_DEVIATION),
)
NAIVE = (
    "naive",
    "naive_difference",
    "awaiting_share",
    "unknown_share",
    "in_review_share",
    "given_back_share",
)
"""As if payments were independent, and said to be: of customers who differ they are told, and nothing is asked."""


def jobs() -> Iterator[Job]:
    yield from (partial(at_one_look, one) for one in POPULATIONS)
    yield from (
        partial(at_all_looks, *case) for case in (("pay once", ALIKE, 2_000), ("differ", Crowd(), 1_000))
    )
    yield from (partial(without_a_difference, one) for one in POPULATIONS)


def at_one_look(population: Population, rng: Generator, scale: float, _: Dealer) -> Iterator[Figure]:
    """Of every interval in an experiment's results, by method; of several with one method their share together."""
    held: dict[tuple[str, bool], list[float]] = defaultdict(list)
    for _run in range(runs_of(RUNS, scale)):
        of_run = defaultdict(list)
        for path, interval in having("lower", results_of(rng, population, (0, 1))):
            if interval["lower"] is not None and interval["upper"] is not None:
                is_held = interval["lower"] <= truth(path) <= interval["upper"]
                of_run[interval["method"], path[-1] in NAIVE].append(is_held)
        for key, several in of_run.items():
            held[key].append(float(np.mean(several)))
    for (method, is_naive), shares in held.items():
        title = f"covers, {population.title}: {method}{' of payments' * is_naive}"
        is_told_only = is_naive and not population.are_alike
        yield share(title, shares, None if is_told_only else LEAST, "at least")


def without_a_difference(population: Population, rng: Generator, scale: float, _: Dealer) -> Iterator[Figure]:
    """Of every test in an experiment's results, by method."""
    alarmed: dict[str, list[float]] = defaultdict(list)
    for _run in range(runs_of(RUNS, scale)):
        of_run = defaultdict(list)
        for path, test in having("p_value", results_of(rng, population, (0, 0))):
            if path[0] == "treatments" and test["p_value"] is not None:
                of_run[test["method"]].append(test["p_value"] <= 1 - NOMINAL)
        for method, several in of_run.items():
            alarmed[method].append(float(np.mean(several)))
    for method, shares in alarmed.items():
        yield share(f"alarms at p ≤ .05, {population.title}: {method}", shares, MOST_ALARMS)


def results_of(rng: Generator, population: Population, arms: tuple[int, int]) -> object:
    """As JSON has them."""
    tallies = {
        variant.name: a_tally(rng, population, arm)
        for arm, variant in zip(arms, DESIGN.variants, strict=True)
    }
    return msgspec.to_builtins(results(KNOWN, tallies, {}, RULES, AT))


Path = tuple[str | int, ...]


def having(field: str, answer: object, path: Path = ()) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Whatever has such a field, and where it is."""
    if isinstance(answer, dict):
        if field in answer:
            yield path, answer
        for name, part in answer.items():
            yield from having(field, part, (*path, name))
    elif isinstance(answer, tuple):
        for place, part in enumerate(answer):
            yield from having(field, part, (*path, place))


def truth(path: Path) -> float:
    """Raises LookupError for an interval that nobody has said the truth of."""
    match path:
        case ("variants", int(arm), "any_attempt_success", _):
            return ANY[arm]
        case ("variants", int(arm), "first_attempt_success", _):
            return FIRST[arm]
        case ("variants", _, "awaiting_share"):
            return AWAITING
        case ("variants", int(arm), "unknown_share"):
            return (1 - ANY[arm]) * UNKNOWN
        case ("variants", int(arm), "in_review_share"):
            return (1 - ANY[arm]) * IN_REVIEW
        case ("variants", _, "given_back_share"):
            return GIVEN_BACK
        case ("treatments", _, "latency", "geometric_means", _):
            return SLOWDOWN
        case ("treatments", _, metric, name):
            control, treatment = FIRST if metric == "first_attempt_success" else ANY
            return treatment / control - 1 if name == "relative_lift" else treatment - control
        case _:
            raise LookupError(path)


def a_tally(rng: Generator, population: Population, arm: int) -> Tally:
    """Of an arm's customers, as the fold would count them."""
    count, who = population.customers, population.who
    payments = np.where(rng.random(count) < who.many_share, who.many, 1)
    payers = np.repeat(np.arange(count), payments)
    own = rng.beta(FIRST[arm] * who.concentration, (1 - FIRST[arm]) * who.concentration, count)
    first = rng.random(len(payers)) < own[payers]
    succeeded = first | (rng.random(len(payers)) < SAVED)
    fate = rng.random(len(payers))
    own_log = np.log(MEDIAN_MS * SLOWDOWN**arm) + population.deviation * rng.standard_normal(count)
    logs = own_log[payers] + LATENCY_DEVIATION * rng.standard_normal(len(payers))
    each = (np.ones(len(payers)), succeeded, first, np.rint(logs / LOG_UNIT))
    tally = sums_of(*(np.bincount(payers, one, count).astype(np.float64) for one in each))
    tally["exposed"] = len(payers) + int(rng.negative_binomial(len(payers), 1 - AWAITING))
    tally["unknown"] = int((~succeeded & (fate < UNKNOWN)).sum())
    tally["in_review"] = int((~succeeded & (fate > 1 - IN_REVIEW)).sum())
    tally["given_back"] = int((np.abs(fate - 0.5) < GIVEN_BACK / 2).sum())
    for ms, times in zip(*np.unique(np.rint(np.exp(logs)).astype(int), return_counts=True), strict=True):
        tally[f"latency:{bin_of(int(ms))}"] += int(times)
    return tally


def sums_of(payments: Floats, succeeded: Floats, first: Floats, logs: Floats) -> Tally:
    """From what every customer's payments come to, all of which have a latency."""
    tally = Tally(assigned=len(payments), customers=len(payments), timed_customers=len(payments))
    for name in ("exposed", "payments", "timed"):
        tally[name] = int(payments.sum())
    for name in ("payments_squared", "timed_squared"):
        tally[name] = int(payments @ payments)
    for name, each in (("succeeded", succeeded), ("first_succeeded", first), ("log", logs)):
        tally[name] = int(each.sum())
        tally[f"{name}_squared"] = int(each @ each)
        tally[f"{name}_product"] = int(each @ payments)
    return tally


RATES = (0.90, 0.88)
PAIRS = 5_000


def at_all_looks(
    title: str, who: Crowd, runs: int, rng: Generator, scale: float, dealer: Dealer
) -> Iterator[Figure]:
    """From ten independent customers on."""
    held: dict[str, list[bool]] = defaultdict(list)
    for block in dealer.dealt((5_000, 5_000), runs_of(runs, scale), 2 * PAIRS):
        for arms in block:
            rates = crowd(rng, arms, 2, who, success(RATES, who))
            logs = crowd(rng, arms, 2, who, log_latency((1.0, SLOWDOWN), timeouts=0.0))
            (control, treatment), true = rates, RATES[1] - RATES[0]
            held["confidence sequence"].append(
                _hold(rates, confidence_sequence(control, treatment, NOMINAL), true)
            )
            held["winner's interval"].append(
                _hold(rates, winning_bounds(control, treatment, PAIRS, NOMINAL), true)
            )
            held["latency ratio"].append(_hold(logs, always_valid_logs(*logs), np.log(SLOWDOWN)))
    for name, each in held.items():
        yield share(
            f"covers at all looks, customers who {title}: {name}", np.array(each), NOMINAL, "at least"
        )


def _hold(looks: Looks, bounds: Bounds, true: float) -> bool:
    control, treatment = looks
    is_early = ~is_ripe(control, treatment)
    return bool((is_early | ((bounds.lower <= true) & (true <= bounds.upper))).all())


def always_valid_logs(control: Sums, treatment: Sums) -> Bounds:
    """Of the logarithm of the ratio, as `latency` tells it of one look."""
    slower, spread = treatment.rate - control.rate, variance(control) + variance(treatment)
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = always_valid_z(spread, DIFFERENCES, NOMINAL) * np.sqrt(spread)
    return Bounds(slower - reach, slower + reach)
