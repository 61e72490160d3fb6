"""A hundred experiments end to end: customers assigned by the hash, their payments as events, folded and judged.

Fifty run at a time, as many as may. What is folded must be what was paid, to the last integer.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from structlog.testing import capture_logs

from commands.experiment_state import Paused, Running
from commands.routing.assignment import Assigner
from infra.kafka.partition import partition_for
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.experiment_figures import success_sums
from projections.experiment_intake import ExperimentIntake
from schemas.codec import PAYMENTS_TOPIC
from schemas.experiment import BUCKETS, MOST_RUNNING, Design, Variant
from schemas.exposure import Tally
from schemas.ids import ExperimentId, attempt_id
from tests.bench.experiments_figures import Figure
from tests.projections.exposed import assigned
from tests.projections.story import (
    declined,
    failed,
    new_payment_id,
    paid,
    raw,
    recorded,
    requested,
    routed,
    started,
    succeeded,
)
from tests.streams.experiment_world import World

EXPERIMENTS = 100
RATE, DEAD_RATE = 0.90, 0.30
PAIRS, DEAD_PAIRS = 200, 60
PAIRS_A_LOOK = 5
FALSE_PAUSES = 0.10
"""Of a hundred, where 4 % are allowed: more than that is bad luck in one of 500."""


def folded(seed: int, scale: float) -> Iterator[Figure]:
    lots = max(round(EXPERIMENTS * min(scale, 1.0)) // MOST_RUNNING, 1)
    least = max(round(min(scale, 1.0) * MOST_RUNNING), 3) if scale < 1 else MOST_RUNNING
    with capture_logs():  # standard output is for the figures
        harmless = [asyncio.run(Lot(seed, lot, least, RATE).play(PAIRS)) for lot in range(lots)]
        dead = [asyncio.run(Lot(seed, lots + lot, least, DEAD_RATE).play(DEAD_PAIRS)) for lot in range(lots)]
    paused = np.array([pairs for lot in harmless for pairs in lot.paused_after])
    stopped = np.array([pairs for lot in dead for pairs in lot.paused_after])
    runs = len(paused)
    yield _figure(
        "A/A through events, folds and analyzer: paused", float(np.mean(paused < np.inf)), FALSE_PAUSES, runs
    )
    middle = float(np.quantile(stopped, 0.5, method="higher"))
    yield _figure(
        "a drop of 60 points through events, a look every 5 pairs: pairs until the pause", middle, 30, runs
    )
    wrong = sum(lot.wrong for lot in (*harmless, *dead))
    yield _figure("arms that differ from what was paid", wrong, 0, 4 * runs)


def _figure(name: str, measured: float, target: float, runs: int) -> Figure:
    return Figure(name=name, measured=float(measured), bound="at most", target=target, runs=runs)


def _design(name: str) -> Design:
    return Design(
        name=name,
        variants=(
            Variant(name="control", weight=BUCKETS // 2),
            Variant(name="treatment", weight=BUCKETS // 2),
        ),
        planned_customers=1_000_000,
        planned_days=7,
    )


class Lot:
    """Experiments side by side, each with customers and luck of its own."""

    def __init__(self, seed: int, number: int, experiments: int, treated_rate: float) -> None:
        self._rng = np.random.default_rng([seed, 7, number])
        self._rates = {"control": RATE, "treatment": treated_rate}
        self._names = [ExperimentId(f"exp_{seed}_{number}_{one}") for one in range(experiments)]
        self._world = World()
        letters = MemoryDeadLetters()
        self._intake = ExperimentIntake(
            PAYMENTS_TOPIC, self._world.store, MemoryRecords(), letters, partition_for
        )
        self._offsets: dict[int, int] = defaultdict(int)
        self._payments = number * 10_000_000
        self._paid: dict[tuple[str, str], dict[str, tuple[int, int]]] = defaultdict(dict)
        """By experiment and variant: payments and successes of every customer."""
        self.paused_after = [np.inf] * experiments
        self.wrong = 0

    async def play(self, pairs: int) -> "Lot":
        for name in self._names:
            await self._world.start(_design(name), name)
        for seen in range(PAIRS_A_LOOK, pairs + 1, PAIRS_A_LOOK):
            records = [
                record
                for name in self._names
                if isinstance(self._world.experiments.known[name], Running)
                for _ in range(2 * PAIRS_A_LOOK)
                for record in self._payment(name)
            ]
            await self._intake.absorb(records)
            await self._world.look()
            for place, name in enumerate(self._names):
                if isinstance(self._world.experiments.known[name], Paused):
                    self.paused_after[place] = min(self.paused_after[place], seen)
        for name in self._names:
            tallies, _ = await self._world.store.tallies(name)
            self.wrong += sum(self._is_wrong(name, variant, tally) for variant, tally in tallies.items())
        return self

    def _payment(self, name: ExperimentId) -> list[RawRecord]:
        """Of a customer of many, so that some come again."""
        self._payments += 1
        payment = new_payment_id(self._payments)
        attempt = attempt_id(payment, 1, 1)
        customer = f"cus_{self._rng.integers(400)}"
        experiment = self._world.experiments.known[name]
        variant = Assigner(experiment.salt, experiment.allocation).variant(customer)
        assert variant is not None
        is_paid = self._rng.random() < self._rates[variant]
        known = self._paid[name, variant].get(customer, (0, 0))
        self._paid[name, variant][customer] = known[0] + 1, known[1] + is_paid
        fate = [succeeded(attempt), paid(attempt)] if is_paid else [declined(attempt), failed()]
        partition, records = partition_for(payment), []
        for event in (requested(), assigned(variant, customer, name), routed(), started(attempt), *fate):
            records.append(raw(recorded(event, self._offsets[partition], payment=payment, stamp_ms=1)))
            self._offsets[partition] += 1
        return records

    def _is_wrong(self, name: ExperimentId, variant: str, tally: Tally) -> bool:
        expected = np.array(list(self._paid[name, variant].values()), float)
        x, y = expected[:, 0], expected[:, 1]
        sums = (len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y)
        return tuple(success_sums(tally, "any_attempt_success")) != tuple(map(float, sums))
