"""The store of experiments' figures, in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager

from infra.clock import SystemClock
from infra.memory.nul import refuse_nul
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable
from schemas.experiment_end import SeenEnd
from schemas.exposure import ArmKey, CustomerKey, Exposure, Figures, Tally
from schemas.ids import ExperimentId, PaymentId
from schemas.views import Watermark

_elapsed_ms = SystemClock().elapsed_ms
_NOT_BEGUN = Watermark(next_offset=0, last_stamp_ms=0)


class MemoryExperiments:
    def __init__(self, elapsed_ms: Callable[[], float] = _elapsed_ms) -> None:
        self.is_away = False
        self._elapsed_ms = elapsed_ms
        self._last_turn_ms: float | None = None
        self._ends: dict[ExperimentId, SeenEnd] = {}
        self._turn = asyncio.Lock()
        self._is_judged = False
        self.marks: dict[tuple[str, int], Watermark] = {}
        self.exposures: dict[PaymentId, Exposure] = {}
        self.customers: dict[CustomerKey, Figures] = {}
        self.parts: dict[tuple[ArmKey, int], Tally] = {}
        self._changes: Counter[ExperimentId] = Counter()

    @asynccontextmanager
    async def transaction(
        self, topic: str, partitions: Collection[int]
    ) -> AsyncIterator["MemoryExposureTransaction"]:
        async with self._turn:
            self._answer()
            marks = {one: self.marks.get((topic, one), _NOT_BEGUN) for one in partitions}
            transaction = MemoryExposureTransaction(self, marks)
            yield transaction
            self._answer()
            for payment_id in transaction.forgotten_exposures:
                del self.exposures[payment_id]
            for customer in transaction.forgotten_customers:
                del self.customers[customer]
            self.exposures |= transaction.exposures
            self.customers |= transaction.customers
            for part, tally in transaction.arms.items():
                self._changes[part[0].experiment_id] += 1
                known = self.parts.setdefault(part, Tally())
                for name, count in tally.items():
                    known[name] += count
            self.marks |= {(topic, one): mark for one, mark in transaction.moved.items()}

    async def watermarks(self) -> dict[tuple[str, int], Watermark]:
        self._answer()
        return dict(self.marks)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[bool]:
        """Whether it is ours to judge, and nobody else's until the block ends."""
        self._answer()
        if self._is_judged:
            yield False
            return
        self._is_judged = True
        try:
            yield True
            self._answer()
            self._last_turn_ms = self._elapsed_ms()
        finally:
            self._is_judged = False

    async def since_last_turn_s(self) -> float | None:
        self._answer()
        if self._last_turn_ms is None:
            return None
        return (self._elapsed_ms() - self._last_turn_ms) / 1000

    async def ends(self, experiments: Collection[ExperimentId]) -> dict[ExperimentId, SeenEnd]:
        self._answer()
        return {one: self._ends[one] for one in experiments if one in self._ends}

    async def keep_end(self, experiment_id: ExperimentId, end: SeenEnd) -> None:
        self._answer()
        before = self._ends.get(experiment_id)
        if before is None or before.version < end.version:
            self._ends[experiment_id] = end

    async def forget_end(self, experiment_id: ExperimentId, version: int) -> None:
        self._answer()
        if experiment_id in self._ends and self._ends[experiment_id].version == version:
            del self._ends[experiment_id]

    async def changes(self, experiments: Collection[ExperimentId]) -> dict[ExperimentId, int]:
        self._answer()
        return {one: self._changes[one] for one in experiments if one in self._changes}

    async def tallies(self, experiment_id: ExperimentId) -> tuple[dict[str, Tally], dict[int, Watermark]]:
        self._answer()
        found: dict[str, Tally] = {}
        for (arm, _), tally in self.parts.items():
            if arm.experiment_id == experiment_id:
                known = found.setdefault(arm.variant, Tally())
                for name, count in tally.items():
                    known[name] += count
        marks = {
            partition: mark for (topic, partition), mark in self.marks.items() if topic == PAYMENTS_TOPIC
        }
        return {variant: _without_zeros(tally) for variant, tally in found.items()}, marks

    def _answer(self) -> None:
        if self.is_away:
            raise StoreUnavailable("the store is away")


def _without_zeros(tally: Tally) -> Tally:
    return Tally({name: count for name, count in tally.items() if count})


class MemoryExposureTransaction:
    """Keeps what it is told until the block has ended without an error."""

    def __init__(self, store: MemoryExperiments, watermarks: Mapping[int, Watermark]) -> None:
        self._store = store
        self.watermarks = watermarks
        self.exposures: Mapping[PaymentId, Exposure] = {}
        self.customers: dict[CustomerKey, Figures] = {}
        self.arms: Mapping[tuple[ArmKey, int], Tally] = {}
        self.moved: Mapping[int, Watermark] = {}
        self.forgotten_exposures: list[PaymentId] = []
        self.forgotten_customers: list[CustomerKey] = []

    async def load(self, payment_ids: Collection[PaymentId]) -> dict[PaymentId, Exposure]:
        known = self._store.exposures
        return {payment_id: known[payment_id] for payment_id in payment_ids if payment_id in known}

    async def add_to_customers(self, more: Mapping[CustomerKey, Figures]) -> dict[CustomerKey, Figures]:
        refuse_nul(list(more))
        known = self._store.customers
        self.customers = {one: known.get(one, Figures()) + figures for one, figures in more.items()}
        return self.customers

    async def store(
        self,
        *,
        exposures: Mapping[PaymentId, Exposure],
        arms: Mapping[tuple[ArmKey, int], Tally],
        watermarks: Mapping[int, Watermark],
    ) -> None:
        refuse_nul(list(exposures.values()))
        self.exposures, self.arms, self.moved = exposures, arms, watermarks

    async def forget(self, before: PaymentId, ended: Collection[ExperimentId], most: int) -> int:
        known = self._store
        self.forgotten_exposures = sorted(one for one in known.exposures if one < before)[:most]
        self.forgotten_customers = [one for one in known.customers if one.experiment_id in ended][:most]
        return max(len(self.forgotten_exposures), len(self.forgotten_customers))
