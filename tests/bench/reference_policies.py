"""Policies to hold ours against, as the field has them, each deciding for many runs of a scenario at once.

Arrays are (runs, gateways), or (runs,) of one number per run. Between equals the name decides, as with us.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tests.bench.reference_breaker import BACK_OFF, RESILIENCE4J, SEED_LIKE, Bools, BreakerPolicy, Places
from tests.bench.scenarios import Floats, Scenario

CHUNK = 500
"""Transactions whose normal deviates are made at once."""


class Policy(Protocol):
    def choose(self, number: int, allowed: Bools) -> Places: ...

    def learn(self, places: Places, succeeded: Bools) -> None:
        """One outcome per run; they come as late as the scenario says."""

    def forget(self, runs: Places, places: Places) -> None:
        """The circuits of these have closed."""


class World(Protocol):
    """What a policy may need to begin."""

    scenario: Scenario
    rates: Floats
    """(gateways, transactions): the truth, for those who know it."""
    draws: Floats
    """(runs, transactions): uniform."""
    generators: list[np.random.Generator]
    """Of each run, for those who need more than one number."""


class _Blind:
    def learn(self, places: Places, succeeded: Bools) -> None:
        """Nothing."""

    def forget(self, runs: Places, places: Places) -> None:
        """Nothing."""


class Oracle(_Blind):
    def __init__(self, world: World) -> None:
        self._best = world.rates.argmax(axis=0)

    def choose(self, number: int, allowed: Bools) -> Places:
        return np.full(len(allowed), self._best[number])


class Random(_Blind):
    def __init__(self, world: World) -> None:
        self._draws = world.draws

    def choose(self, number: int, allowed: Bools) -> Places:
        places: Places = (self._draws[:, number] * allowed.shape[1]).astype(np.intp)
        return places


class FixedOrder(_Blind):
    """By what each can do in its best moment, with the second best or the best one first."""

    def __init__(self, world: World, *, best_first: bool) -> None:
        order = np.argsort(-world.rates.max(axis=1), kind="stable")
        self._order = order if best_first else np.concatenate((order[1:2], order[:1], order[2:]))

    def choose(self, number: int, allowed: Bools) -> Places:
        places: Places = self._order[allowed[:, self._order].argmax(axis=1)]
        return places


class SuccessRateBuckets:
    """Juspay's SRv3: the rate of each gateway's last 125 outcomes, at first all successes, and the best one is taken;
    5 % of the payments go to the others, to keep their buckets fresh."""

    BUCKET, HEDGE = 125, 0.05

    def __init__(self, world: World) -> None:
        runs, gateways = len(world.draws), len(world.rates)
        self._draws, self._ties, self._runs = world.draws, _ties(world), np.arange(runs)
        self._outcomes = np.ones((runs, gateways, self.BUCKET), dtype=bool)
        self._count = np.zeros((runs, gateways), dtype=np.intp)
        self._successes = np.full((runs, gateways), float(self.BUCKET))

    def choose(self, number: int, allowed: Bools) -> Places:
        best = _best(self._successes + self._ties, allowed)
        others = allowed.shape[1] - 1
        draws = self._draws[:, number]
        step = (draws / self.HEDGE * others).astype(np.intp) + 1
        places: Places = np.where((draws < self.HEDGE) & (others > 0), (best + step) % (others + 1), best)
        return places

    def learn(self, places: Places, succeeded: Bools) -> None:
        slots = self._count[self._runs, places] % self.BUCKET
        self._successes[self._runs, places] += succeeded - 1.0 * self._outcomes[self._runs, places, slots]
        self._outcomes[self._runs, places, slots] = succeeded
        self._count[self._runs, places] += 1

    def forget(self, runs: Places, places: Places) -> None:
        self._outcomes[runs, places], self._successes[runs, places] = True, self.BUCKET


class MovingAverage:
    """The highest exponentially weighted success rate; what is low is never tried again."""

    WEIGHT = 0.02

    def __init__(self, world: World) -> None:
        self._rates = np.ones((len(world.draws), len(world.rates)))
        self._ties, self._runs = _ties(world), np.arange(len(world.draws))

    def choose(self, number: int, allowed: Bools) -> Places:
        return _best(self._rates + self._ties, allowed)

    def learn(self, places: Places, succeeded: Bools) -> None:
        self._rates[self._runs, places] += self.WEIGHT * (succeeded - self._rates[self._runs, places])

    def forget(self, runs: Places, places: Places) -> None:
        """It does not: that is the seed's way."""


class Thompson:
    """A draw from every Beta posterior, whose evidence keeps `kept` of its weight with every payment (dTS)."""

    def __init__(self, world: World, kept: float = 1.0) -> None:
        runs, gateways = len(world.draws), len(world.rates)
        self._kept, self._runs, self._generators = kept, np.arange(runs), world.generators
        self._outcomes = np.zeros((2, runs, gateways))
        """Succeeded and failed."""
        self._normals: NDArray[np.float64] = np.empty((runs, 0, 2, gateways))

    def choose(self, number: int, allowed: Bools) -> Places:
        if number % CHUNK == 0:
            shape = (CHUNK, 2, allowed.shape[1])
            self._normals = np.array([one.standard_normal(shape) for one in self._generators])
        normals = self._normals[:, number % CHUNK].transpose(1, 0, 2)
        succeeded, failed = _gamma(self._outcomes + 1.0, normals)
        return _best(succeeded / (succeeded + failed), allowed)

    def learn(self, places: Places, succeeded: Bools) -> None:
        if self._kept < 1.0:
            self._outcomes *= self._kept
        self._outcomes[1 - succeeded, self._runs, places] += 1.0

    def forget(self, runs: Places, places: Places) -> None:
        self._outcomes[:, runs, places] = 0.0


def _gamma(shape: Floats, normals: Floats) -> Floats:
    """Marsaglia and Tsang (2000) without their rejections, which are fewer than one in twenty."""
    third = shape - 1 / 3
    drawn: Floats = third * np.maximum(1 + normals / np.sqrt(9 * third), 1e-9) ** 3
    return drawn


def _ties(world: World) -> Floats:
    names = [gateway.name for gateway in world.scenario.gateways]
    return np.array([-1e-9 * sorted(names).index(name) for name in names])


def _best(values: Floats, allowed: Bools) -> Places:
    places: Places = np.where(allowed, values, -1.0).argmax(axis=1)
    return places


REFERENCES: dict[str, tuple[str, Callable[[World], Policy], BreakerPolicy | None]] = {
    "oracle": ("oracle", Oracle, None),
    "random": ("random", Random, None),
    "fixed": ("fixed order, 2nd best first", lambda world: FixedOrder(world, best_first=False), None),
    "fixed-best": ("fixed order, best first", lambda world: FixedOrder(world, best_first=True), None),
    "r4j": (
        "fixed, 2nd best first + resilience4j",
        lambda world: FixedOrder(world, best_first=False),
        RESILIENCE4J,
    ),
    "srv3": ("SRv3 B125, hedge 5 %", SuccessRateBuckets, None),
    "ewma": ("EWMA .02 + breaker", MovingAverage, SEED_LIKE),
    "ts": ("Thompson", Thompson, None),
    "ts-breaker": ("Thompson + breaker, back-off", Thompson, BACK_OFF),
    "dts-breaker": ("dTS .9998 + breaker, back-off", lambda world: Thompson(world, 0.9998), BACK_OFF),
}
