"""What a process has of its own: a clock, a reader of the log, somebody to tell; each broken in one way."""

from collections.abc import Sequence
from datetime import datetime

from infra.memory.clock import MemoryClock
from infra.memory.log import MemoryHistories
from schemas.envelope import Position, Recorded
from schemas.ids import ExperimentId, PaymentId
from schemas.payment import PaymentEvent
from schemas.reliability import ReliabilityEvent
from tests.simulation.process import Process

Records = Sequence[Recorded[PaymentEvent]]


class StaleThrough:
    """Folds a payment without what landed in the last seconds, its own take-over apart."""

    def __init__(self, histories: MemoryHistories) -> None:
        self._histories = histories

    async def at_head(self, payment_id: PaymentId) -> Records:
        return await self._histories.at_head(payment_id)

    async def through(self, payment_id: PaymentId, position: Position) -> Records:
        records = await self._histories.through(payment_id, position)
        newest_ms = records[-1].stamp_ms
        return [record for record in records if record.stamp_ms < newest_ms - 10_000 or record is records[-1]]


class SeesNobodyElse:
    """Reads a payment without whoever else has claimed its epoch, or a later one."""

    def __init__(self, histories: MemoryHistories) -> None:
        self._histories = histories

    async def at_head(self, payment_id: PaymentId) -> Records:
        return await self._histories.at_head(payment_id)

    async def through(self, payment_id: PaymentId, position: Position) -> Records:
        records = await self._histories.through(payment_id, position)
        own = records[-1].envelope
        return [
            record
            for record in records
            if record.envelope.epoch < own.epoch or record.envelope.correlation_id == own.correlation_id
        ]


class Silence:
    """Alarms that nobody hears."""

    async def publish(self, alarm: ReliabilityEvent) -> None:
        return None


class StoppingClock:
    """Stands still while the process does, as CLOCK_MONOTONIC does in a suspended machine."""

    def __init__(self, clock: MemoryClock, process: Process) -> None:
        self._clock = clock
        self._process = process

    def now(self) -> datetime:
        return self._clock.now()

    def elapsed_ms(self) -> float:
        return self._clock.elapsed_ms() - self._process.asleep_ms

    def payment_id(self) -> PaymentId:
        return self._clock.payment_id()

    def experiment_id(self) -> ExperimentId:
        return self._clock.experiment_id()

    def event_id(self) -> str:
        return self._clock.event_id()

    def draw(self) -> float:
        return self._clock.draw()
