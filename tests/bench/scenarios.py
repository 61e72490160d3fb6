"""Hours that a routing policy is judged on: how likely each gateway is to succeed, second by second."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Points = tuple[tuple[float, float], ...]

MOST_TRANSACTIONS = 1_000_000
"""Of one run: more would not fit into memory."""


class SimulatedGateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`success_rate` is linear between its points (seconds, rate); two points at one time are a jump."""

    name: Annotated[str, Meta(min_length=1, max_length=64)]
    success_rate: Annotated[tuple[tuple[float, Annotated[float, Meta(ge=0, le=1)]], ...], Meta(min_length=1)]
    latency_ms_p50: Annotated[float, Meta(ge=0)] = 300.0
    fee_bps: Annotated[int, Meta(ge=0, le=10_000)] = 0


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    gateways: Annotated[tuple[SimulatedGateway, ...], Meta(min_length=1, max_length=32)]
    transactions_per_second: Annotated[float, Meta(gt=0, le=10_000)] = 10.0
    duration_s: Annotated[float, Meta(gt=0, le=7 * 86_400)] = 3_600.0
    feedback_delay_transactions: Annotated[int, Meta(ge=0, le=100_000)] = 20
    runs: Annotated[int, Meta(ge=1, le=10_000)] = 40
    """A verdict takes 200; so many end within minutes, with an interval that is twice as wide."""
    seed: Annotated[int, Meta(ge=0)] = 1
    name: str = ""

    @property
    def transactions(self) -> int:
        return round(self.duration_s * self.transactions_per_second)

    @property
    def times_s(self) -> Floats:
        times: Floats = np.arange(self.transactions) / self.transactions_per_second
        return times

    def rates(self) -> Floats:
        """(gateways, transactions): the success rate of each gateway at every transaction."""
        return np.array([_rates(gateway, self.times_s) for gateway in self.gateways])


def uniforms(scenario: Scenario, run: int) -> Floats:
    """(2, transactions): whether each payment would succeed, and what its routing draws: of every policy the same."""
    found: Floats = np.random.default_rng([scenario.seed, run]).random((2, scenario.transactions))
    return found


def read(path: Path) -> Scenario:
    """Raises OSError, or msgspec.DecodeError with the place in the file."""
    scenario = msgspec.json.decode(path.read_bytes(), type=Scenario)
    for place, fault in _faults(scenario):
        raise msgspec.ValidationError(f"{fault} - at `${place}`")
    return scenario if scenario.name else msgspec.structs.replace(scenario, name=path.stem)


def _faults(scenario: Scenario) -> Iterable[tuple[str, str]]:
    """What the types do not tell."""
    if not 1 <= scenario.transactions <= MOST_TRANSACTIONS:
        yield (
            ".duration_s",
            f"Expected 1 to {MOST_TRANSACTIONS:,} transactions, got {scenario.transactions:,}",
        )
    names: set[str] = set()
    for number, gateway in enumerate(scenario.gateways):
        if gateway.name in names:
            yield f".gateways[{number}].name", f"Expected a name of its own, got `{gateway.name}` again"
        names.add(gateway.name)
        for point, ((before, _), (after, _)) in enumerate(pairwise(gateway.success_rate), start=1):
            if after < before:
                yield (
                    f".gateways[{number}].success_rate[{point}]",
                    f"Expected a time >= {before:g}, got {after:g}",
                )


def _rates(gateway: SimulatedGateway, times: Floats) -> Floats:
    """Right-continuous at a jump: from that moment on it is the second of the two points."""
    known = np.array([time for time, _ in gateway.success_rate])
    rates = np.array([rate for _, rate in gateway.success_rate])
    right = np.searchsorted(known, times, side="right")
    before, after = np.clip(right - 1, 0, len(known) - 1), np.clip(right, 0, len(known) - 1)
    span = known[after] - known[before]
    share = np.divide(times - known[before], span, out=np.zeros_like(times), where=span > 0)
    found: Floats = rates[before] + np.clip(share, 0, 1) * (rates[after] - rates[before])
    return found


def _flat(name: str, *points: tuple[float, float]) -> SimulatedGateway:
    return SimulatedGateway(name=name, success_rate=points)


def steady(rate: float, *falls: tuple[float, float, float]) -> Points:
    """But for falls of (from, to, rate)."""
    points: list[tuple[float, float]] = [(0.0, rate)]
    for begin, end, low in falls:
        points += [(begin, rate), (begin, low), (end, low), (end, rate)]
    return tuple(points)


STANDARD = (
    Scenario(
        name="S1", gateways=(_flat("beta", (0, 0.92)), _flat("alpha", (0, 0.90)), _flat("gamma", (0, 0.86)))
    ),
    Scenario(
        name="S2",
        gateways=(
            _flat("beta", *steady(0.92, (1200, 1800, 0.05))),
            _flat("alpha", (0, 0.90)),
            _flat("gamma", (0, 0.86)),
        ),
    ),
    Scenario(
        name="S3",
        gateways=(
            _flat("beta", (0, 0.93), (3600, 0.83)),
            _flat("alpha", (0, 0.85), (3600, 0.92)),
            _flat("gamma", (0, 0.87)),
        ),
    ),
    Scenario(
        name="S4",
        gateways=(
            _flat("beta", *steady(0.94, (0, 1200, 0.30), (2400, 3000, 0.80))),
            _flat("alpha", (0, 0.89)),
            _flat("gamma", (0, 0.87)),
        ),
    ),
)
"""Of the reference: stationary; the best gateway broken for ten minutes; two that cross; the best one broken for
twenty minutes from the beginning, as the reference's figures say, with a brown-out of 14 points later. The best is not
the first by name, which is what decides between equals."""
