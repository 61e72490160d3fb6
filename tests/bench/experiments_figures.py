"""What `./dev bench experiments` measures, each figure beside what it has to be."""

from collections.abc import Iterable, Iterator
from math import inf, sqrt
from typing import Literal

import numpy as np
from msgspec import Struct

from projections.statistics.latency import is_slow
from projections.statistics.sequential import is_harmful, is_ripe
from projections.statistics.sums import Bools
from projections.statistics.winning import winning_log_p
from tests.bench.experiments_world import Arms, Crowd, Looks, at_looks, crowd, log_latencies, once

PAIRS = 5_000
RATE = 0.90
LEAST_CUSTOMERS = 100
WINNER_ALPHA = 0.025
"""One-sided, as a verdict asks of a single treatment."""
DROPS = {
    0.03: (1_450, 5_000, 4_000),
    0.05: (620, 3_000, 4_000),
    0.10: (185, 1_000, 10_000),
    0.20: (75, 400, 10_000),
    0.60: (20, 100, 10_000),
}
"""Points below .90: the median pairs until a pause, at most, how many pairs are played, and how often."""


class Figure(Struct, frozen=True, kw_only=True):
    name: str
    measured: float | None
    """None: a median that is never reached."""
    bound: Literal["at most", "at least"]
    target: float
    runs: int
    standard_error: float | None = None
    """Of a share."""

    @property
    def is_met(self) -> bool:
        measured = inf if self.measured is None else self.measured
        return measured <= self.target if self.bound == "at most" else measured >= self.target


def share(
    name: str, found: Bools | np.bool_, target: float, bound: Literal["at most", "at least"] = "at most"
) -> Figure:
    measured = float(np.mean(found))
    error = sqrt(measured * (1 - measured) / found.size)
    return Figure(
        name=name, measured=measured, bound=bound, target=target, runs=found.size, standard_error=error
    )


def median(name: str, pairs: np.ndarray, target: float) -> Figure:
    middle = float(np.quantile(pairs, 0.5, method="higher"))
    return Figure(
        name=name,
        measured=None if middle == inf else middle,
        bound="at most",
        target=target,
        runs=len(pairs),
    )


class Experiments:
    """`scale` 1 is the 2,000 runs of a verdict."""

    def __init__(self, arms: Arms, seed: int, scale: float) -> None:
        self._arms = arms
        self._rng = np.random.default_rng(seed)
        self._scale = scale

    def figures(self) -> Iterator[Figure]:
        yield from self._harmless()
        yield from self._crowds()
        yield from self._harmful()
        yield from self._winners()
        yield from self._latencies()

    def _runs(self, full: int) -> int:
        return max(round(full * self._scale), 10)

    def _harmless(self) -> Iterator[Figure]:
        for treated, title in ((0.5, "50/50"), (0.1, "90/10"), (0.9, "10/90")):
            for rate in (0.85, 0.90, 0.95):
                looks = [
                    once(self._rng, arms, rate, rate)
                    for arms in self._arms.treated(treated, self._runs(2_000), 2 * PAIRS)
                ]
                yield from _false_alarms(
                    f"A/A {title} at {rate:.2f}", looks, PAIRS * 2 * min(treated, 1 - treated)
                )

    def _crowds(self) -> Iterator[Figure]:
        for treated, title in ((0.5, "50/50"), (0.1, "90/10"), (0.9, "10/90")):
            for who in (Crowd(), Crowd(is_burst=True), Crowd(concentration=2.0, is_burst=True)):
                name = (
                    f"A/A {title}, customers who differ (β {who.concentration:g}{', bursts' * who.is_burst})"
                )
                customers = 2_000
                looks = (
                    crowd(self._rng, arms, RATE, who)
                    for block in self._arms.treated(treated, self._runs(500), customers)
                    for arms in block
                )
                yield from _false_alarms(name, looks, customers * min(treated, 1 - treated))

    def _harmful(self) -> Iterator[Figure]:
        for drop, (target, pairs, runs) in DROPS.items():
            found = [
                _first(is_harmful(*once(self._rng, arms, RATE, RATE - drop))) / 2
                for arms in self._arms.treated(0.5, self._runs(runs), 2 * pairs)
            ]
            yield median(
                f"pairs until a drop of {100 * drop:.0f} points is paused", np.concatenate(found), target
            )
        better = [
            is_harmful(*once(self._rng, arms, RATE, RATE + 0.02)).any(axis=1)
            for arms in self._arms.treated(0.5, self._runs(8_000), 2 * PAIRS)
        ]
        yield share("a treatment 2 points better is paused", np.concatenate(better), 0.005)

    def _winners(self) -> Iterator[Figure]:
        looks = at_looks(self._rng, self._runs(20_000), 20, 10_000, (RATE, RATE + 0.01))
        found = np.asarray((winning_log_p(*looks, 10_000) <= np.log(WINNER_ALPHA)).any(axis=1))
        yield share("power for +1 point, 10,000 an arm, 20 looks", found, 0.60, "at least")

    def _latencies(self) -> Iterator[Figure]:
        for slowdown, pairs in ((1.0, 5_000), (1.1, 5_000), (1.5, 1_500)):
            looks = log_latencies(self._rng, self._runs(1_000), pairs, slowdown)
            paused = is_slow(*looks, 1.5, least_customers=LEAST_CUSTOMERS)
            if slowdown == 1.5:
                yield median("pairs until a latency ×1.5 is paused", _first(paused), 150)
            else:
                yield share(f"a latency ×{slowdown} is paused", paused.any(axis=1), 0.005)


def _false_alarms(name: str, looks: Iterable[Looks], planned: float) -> Iterator[Figure]:
    paused, won = [], []
    for control, treatment in looks:
        paused.append(is_harmful(control, treatment).any(axis=1))
        log_p = winning_log_p(control, treatment, planned)
        ripe = is_ripe(control, treatment, LEAST_CUSTOMERS)
        won.append((ripe & (log_p <= np.log(WINNER_ALPHA))).any(axis=1))
    yield share(f"{name}: false pauses", np.concatenate(paused), 0.04)
    yield share(f"{name}: treatment falsely a winner", np.concatenate(won), 0.05)


def _first(found: Bools) -> np.ndarray:
    """Looks until the first look that found something; infinite where none did."""
    return np.where(found.any(axis=1), found.argmax(axis=1) + 1.0, inf)
