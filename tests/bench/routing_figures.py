"""The figures of `./dev bench routing`: over all runs of a scenario, per policy."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from tests.bench.machine import Machine
from tests.bench.routing_measures import Run, falls
from tests.bench.scenarios import Floats, Scenario


class Loss(Struct, frozen=True, kw_only=True):
    """Expected payments lost against the best gateway of every moment."""

    mean: float
    standard_error: float
    p95: float


class Delay(Struct, frozen=True, kw_only=True):
    """The median over runs, of which those that never did count as the longest: None where that is most of them."""

    transactions: float | None
    seconds: float | None
    never: float
    """The share of the runs."""


class Outage(Struct, frozen=True, kw_only=True):
    gateway: str
    at_s: float
    evacuation: Delay
    return_after_it: Delay | None = None
    """None where the outage did not end."""


class PolicyFigures(Struct, frozen=True, kw_only=True):
    name: str
    loss: Loss
    traffic_share: dict[str, float]
    worse_share_once_learned: float
    """Of the second half's payments, on gateways 5 points or more worse than the best one."""
    outages: tuple[Outage, ...]
    loss_over_time: tuple[tuple[float, ...], tuple[float, ...]]
    """The mean until each of 120 equally spaced moments, and its standard error."""


class ScenarioFigures(Struct, frozen=True, kw_only=True):
    scenario: Scenario
    transactions: int
    runs: int
    policies: dict[str, PolicyFigures]


class Figures(Struct, frozen=True, kw_only=True):
    machine: Machine
    scenarios: dict[str, ScenarioFigures]


def summary(name: str, scenario: Scenario, runs: Sequence[Run]) -> PolicyFigures:
    losses = np.array([run.lost for run in runs])
    curves = np.array([run.curve for run in runs])
    shares = np.mean([run.shares for run in runs], axis=0)
    return PolicyFigures(
        name=name,
        loss=Loss(
            mean=round(float(losses.mean()), 2),
            standard_error=round(float(_standard_error(losses)), 2),
            p95=round(float(np.quantile(losses, 0.95)), 2),
        ),
        traffic_share={
            gateway.name: round(float(share), 4)
            for gateway, share in zip(scenario.gateways, shares, strict=True)
        },
        worse_share_once_learned=round(float(np.mean([run.worse_share for run in runs])), 5),
        outages=_outages(scenario, runs),
        loss_over_time=(
            tuple(curves.mean(axis=0).round(2).tolist()),
            tuple(_standard_error(curves).round(2).tolist()),
        ),
    )


def _outages(scenario: Scenario, runs: Sequence[Run]) -> tuple[Outage, ...]:
    found = []
    ended = 0
    for number, fall in enumerate(falls(scenario.rates())):
        returned = None
        if fall.until is not None:
            returned = _delay(scenario, [run.returned[ended] for run in runs])
            ended += 1
        found.append(
            Outage(
                gateway=scenario.gateways[fall.place].name,
                at_s=fall.since / scenario.transactions_per_second,
                evacuation=_delay(scenario, [run.left[number] for run in runs]),
                return_after_it=returned,
            )
        )
    return tuple(found)


def _delay(scenario: Scenario, delays: Sequence[int | None]) -> Delay:
    never = sum(delay is None for delay in delays) / len(delays)
    middle = float(np.quantile([np.inf if one is None else one for one in delays], 0.5, method="higher"))
    if middle == np.inf:
        return Delay(transactions=None, seconds=None, never=never)
    return Delay(
        transactions=middle, seconds=round(middle / scenario.transactions_per_second, 2), never=never
    )


def _standard_error(values: Floats) -> Floats:
    """Of the mean over the first axis. One run alone says nothing of it, and 0 stands for that."""
    if len(values) < 2:
        return np.zeros(values.shape[1:])
    error: Floats = values.std(axis=0, ddof=1) / len(values) ** 0.5
    return error
