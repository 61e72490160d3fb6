"""`./dev bench what-if`: whether its intervals hold the truth as often as they say, on hours whose truth is known.

An hour is routed by the bandit through the functions that ship (`what_if_world.py`), its events are judged under
other policies as from the log, and the answer is held against the truth. It exits with 1 where a target is missed.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import starmap
from math import nan

import msgspec
import numpy as np
from msgspec.structs import replace
from rich.console import Console
from rich.progress import track
from rich.table import Table

from projections.statistics.off_policy_verdict import WhatIfVerdict
from projections.statistics.results import Interval
from schemas.ids import GatewayId
from schemas.routing_configuration import (
    AlternativePolicy,
    BanditPolicy,
    MerchantRetryPolicy,
    Prefer,
    RoutingRules,
    Rule,
    ScoringWeights,
)
from streams.what_if.evaluation import METRICS, Judged, Metric
from streams.what_if.journeys import Journeys
from streams.what_if.question import Question
from tests.bench.json_figures import STDOUT, add_json_option, write_json
from tests.bench.machine import Machine, this_machine
from tests.bench.scenarios import STANDARD, Scenario
from tests.bench.what_if_world import Hour

COVERAGE = 0.93
PER_SECOND = 0.5
"""1,800 payments an hour, with all of its outages: few, so that intervals are wide and chance is what is tried."""


def _first(*gateways: str) -> AlternativePolicy:
    names = tuple(GatewayId(one) for one in gateways)
    return AlternativePolicy(rules=RoutingRules(rules=(Rule(id="r", then=Prefer(gateways=names)),)))


POLICIES = {
    "bandit off": AlternativePolicy(bandits={"*": BanditPolicy(enabled=False)}),
    "means only": AlternativePolicy(
        bandits={"*": BanditPolicy(enabled=False)}, weights=ScoringWeights(uncertainty=0)
    ),
    "explores more": AlternativePolicy(
        bandits={"*": BanditPolicy(enabled=True, sharpness=0.5, exploration_share=0.2, expected_loss=0.05)}
    ),
    "alpha first": _first("alpha"),
    "one attempt": AlternativePolicy(retry_policies={"*": MerchantRetryPolicy(max_attempts=1)}),
}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Of one policy and metric in one run."""

    policy: str
    metric: Metric
    truth: float
    verdict: WhatIfVerdict
    uplift_holds: bool
    bounds_hold: bool
    estimate: float
    width: float
    effective_sample: float


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """Of a policy and a metric, over all hours."""

    policy: str
    metric: Metric
    runs: int
    truth: float
    """Mean, in points."""
    answered: float
    """The share of runs that history answers; what follows is of these."""
    error: float
    """Mean of estimate less truth, in points."""
    width: float
    """Mean of the bounds', in points."""
    uplift_coverage: float
    bounds_coverage: float
    wrong_signs: int
    """Runs called better or worse where the truth is the other."""
    verdicts: dict[str, int]

    @property
    def is_met(self) -> bool:
        """Where the answer is always that there is none, no interval is held to anything."""
        return self.bounds_coverage >= COVERAGE or self.answered == 0


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    machine: Machine
    rows: list[Row]
    coverage: float
    """Of all that was answered, together."""
    signs: int
    wrong_signs: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=int, default=125, help="of each of four hours (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="other luck")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    add_json_option(parser, "what-if")


def run(args: argparse.Namespace) -> int:
    machine = this_machine()
    hours = [
        (replace(one, transactions_per_second=PER_SECOND, seed=args.seed), number)
        for one in STANDARD
        for number in range(args.runs)
    ]
    console = Console(stderr=True)
    with ProcessPoolExecutor(max(args.workers, 1)) as pool:
        played = pool.map(judged, *zip(*hours, strict=True))
        found = [
            one
            for outcomes in track(played, "judging", len(hours), console=console, transient=True)
            for one in outcomes
        ]
    figures = summary(machine, found)
    write_json(figures, args.json)
    show(figures, Console(stderr=args.json == STDOUT))
    return 0 if all(one.is_met for one in figures.rows) and _signs_agree(figures) else 1


def judged(scenario: Scenario, number: int) -> list[Outcome]:
    hour = Hour.played(scenario, number)
    journeys = Journeys()
    journeys.take(hour.events())
    found = []
    for name, policy in POLICIES.items():
        question = Question(policy)
        question.take(journeys)
        truth = hour.truth(policy)
        found += [_outcome(name, one, truth[one.metric]) for one in question.answer(()).overall]
    return found


def _outcome(policy: str, judged: Judged, truth: float) -> Outcome:
    figures = judged.figures
    lower, upper = _edges(figures.uplift_bounds)
    return Outcome(
        policy=policy,
        metric=judged.metric,
        truth=truth,
        verdict=judged.judgement.verdict,
        uplift_holds=_holds(figures.uplift, truth),
        bounds_hold=_holds(figures.uplift_bounds, truth),
        estimate=nan if figures.uplift.estimate is None else figures.uplift.estimate,
        width=upper - lower,
        effective_sample=figures.overlap.effective_sample or 0.0,
    )


def _edges(interval: Interval) -> tuple[float, float]:
    return (nan if interval.lower is None else interval.lower), (
        nan if interval.upper is None else interval.upper
    )


def _holds(interval: Interval, truth: float) -> bool:
    """Where both are the same for certain, rounding is not held against it."""
    lower, upper = _edges(interval)
    return lower - 1e-9 <= truth <= upper + 1e-9


def summary(machine: Machine, found: Iterable[Outcome]) -> Figures:
    groups: dict[tuple[str, Metric], list[Outcome]] = {}
    for one in found:
        groups.setdefault((one.policy, one.metric), []).append(one)
    every = [one for group in groups.values() for one in group]
    answered = [one for one in every if one.verdict != WhatIfVerdict.CANNOT_ANSWER]
    return Figures(
        machine=machine,
        rows=list(starmap(_summed, groups.items())),
        coverage=_share([one.bounds_hold for one in answered]),
        signs=sum(map(_has_a_sign, every)),
        wrong_signs=sum(map(_is_wrong, every)),
    )


def _summed(of: tuple[str, Metric], group: list[Outcome]) -> Row:
    policy, metric = of
    answered = [one for one in group if one.verdict != WhatIfVerdict.CANNOT_ANSWER]
    return Row(
        policy=policy,
        metric=metric,
        runs=len(group),
        truth=100 * float(np.mean([one.truth for one in group])),
        error=100 * _mean([one.estimate - one.truth for one in answered]),
        width=100 * _mean([one.width for one in answered]),
        answered=len(answered) / len(group),
        uplift_coverage=_share([one.uplift_holds for one in answered]),
        bounds_coverage=_share([one.bounds_hold for one in answered]),
        wrong_signs=sum(map(_is_wrong, group)),
        verdicts={str(verdict): sum(one.verdict == verdict for one in group) for verdict in WhatIfVerdict},
    )


def _mean(several: Sequence[float]) -> float:
    return float(np.mean(several)) if several else nan


def _share(held: Sequence[bool]) -> float:
    return _mean([float(one) for one in held])


def _signs_agree(figures: Figures) -> bool:
    """But for as many as chance, at 95 %, may tell wrongly."""
    return figures.wrong_signs <= 0.025 * max(figures.signs, 1)


def _has_a_sign(one: Outcome) -> bool:
    return one.verdict in (WhatIfVerdict.BETTER, WhatIfVerdict.WORSE)


def _is_wrong(one: Outcome) -> bool:
    if one.verdict == WhatIfVerdict.BETTER:
        return one.truth < 0
    return one.verdict == WhatIfVerdict.WORSE and one.truth > 0


def show(figures: Figures, console: Console) -> None:
    table = Table(
        "policy", "metric", "truth", "error", "width", "answered", "chance alone", "bounds", "signs"
    )
    for row in figures.rows:
        table.add_row(
            row.policy,
            METRICS[METRICS.index(row.metric)].removesuffix("_attempt_success"),
            f"{row.truth:+.2f}",
            f"{row.error:+.2f}",
            f"{row.width:.2f}",
            f"{row.answered:.0%}",
            f"{row.uplift_coverage:.1%}",
            f"{row.bounds_coverage:.1%}" + ("" if row.is_met else " !"),
            "right" if row.wrong_signs == 0 else f"{row.wrong_signs} wrong",
        )
    console.print(table)
    console.print(
        f"all that was answered: {figures.coverage:.1%} of the bounds hold the truth (target {COVERAGE:.0%}); "
        f"{figures.signs:,} called better or worse, {figures.wrong_signs} wrongly"
    )
