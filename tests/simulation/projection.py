"""The read model of a world: the real projection over the log, and a store that forgets answers and at times itself.

Records are delivered as Kafka does it: at least once, again from an earlier offset, and with holes before them.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.memory.log import MemoryLog
from infra.memory.projections import MemoryDeadLetters, MemoryPayments, MemoryTransaction, RawRecord
from infra.memory.reservations import MemoryReservations
from infra.memory.verification_queue import MemoryVerificationQueue
from projections.project import Projection
from projections.verifications import work
from schemas.codec import PAYMENTS_TOPIC, encode
from schemas.envelope import Outgoing
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.ids import PaymentId
from schemas.verification import VerificationWork
from schemas.views import PaymentChanges, PaymentHistory
from tests.simulation.faults import Faults


class RawLog:
    """The log as a reader of offsets sees it: each record in bytes, as it would lie on Kafka."""

    def __init__(self, log: MemoryLog) -> None:
        self._log = log
        self._raw: list[list[RawRecord]] = [[] for _ in log.partitions]

    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]:
        if not self._log.is_available:
            raise LogUnavailable("the log is away")
        return self.between(partition, start, stop)

    async def end_offset(self, topic: str, partition: int) -> int:
        return len(self._log.partitions[partition])

    def between(self, partition: int, start: int, stop: int) -> list[RawRecord]:
        known = self._raw[partition]
        for record in self._log.partitions[partition][len(known) : stop]:
            value, headers = encode(Outgoing(envelope=record.envelope, event=record.event))
            key = record.envelope.aggregate_id.encode()
            position = record.position
            known.append(
                RawRecord(PAYMENTS_TOPIC, partition, position.offset, record.stamp_ms, key, value, headers)
            )
        return known[start:stop]


class ReadModel:
    """In one store with the reservations and the queue: they are told in the transaction that stores the rows."""

    def __init__(
        self,
        log: MemoryLog,
        reservations: MemoryReservations,
        queue: MemoryVerificationQueue,
        faults: Faults,
        *,
        make_sink: Callable[[], MemoryPayments],
        close_after: timedelta,
    ) -> None:
        self.histories: dict[PaymentId, PaymentHistory] = {}
        self._log = log
        self._reservations = reservations
        self._queue = queue
        self._faults = faults
        self._make_sink = make_sink
        self._close_after = close_after
        self.forget()

    def forget(self) -> None:
        """As the reservations and the queue do; the watermarks tell the projection of it."""
        self._sink = self._make_sink()
        self._healed = [0] * len(self._log.partitions)
        self.histories.clear()

    @property
    def work(self) -> Mapping[PaymentId, VerificationWork]:
        return self._sink.work

    @asynccontextmanager
    async def transaction(self, topic: str, partitions: Collection[int]) -> AsyncIterator[MemoryTransaction]:
        if not self._reservations.is_available:
            raise StoreUnavailable("the store is away")
        fate = self._faults.of_a_commit()
        async with self._sink.transaction(topic, partitions) as transaction:
            yield transaction
            if fate == "lost":
                raise StoreUnavailable("the commit was lost")
        if transaction.told is not None:
            self._tell(transaction.told)
        if fate == "answer lost":
            raise StoreUnavailable("nothing was heard of the commit")

    def _tell(self, told: PaymentChanges) -> None:
        for partition, watermark in told.watermarks.items():
            for record in self._log.partitions[partition][self._healed[partition] : watermark.next_offset]:
                self._reservations.heal(record)
            self._healed[partition] = watermark.next_offset
            self._queue.projected(partition, watermark.last_stamp_ms)
        for row in told.payments:
            if (history := self._sink.history(row.payment_id)) is not None:
                self.histories[row.payment_id] = history
                self._queue.tell(self._due(history), history.attempts)

    def _due(self, history: PaymentHistory) -> VerificationWork:
        """What the sink has stored, but that a payment without an attempt is closed sooner, to keep worlds short."""
        due = work(history, self._close_after)
        return due if history.payment.payment_id in self._sink.work else replace(due, due_at=None)


class Deliveries:
    """One consumer of the log. It goes on from where it was, from before it, or from after it, with a hole."""

    def __init__(self, log: MemoryLog, model: ReadModel, faults: Faults) -> None:
        self._log = log
        self._faults = faults
        self._raw = RawLog(log)
        self._delivered = [0] * len(log.partitions)
        self._projection = Projection(PAYMENTS_TOPIC, model, self._raw, MemoryDeadLetters(), partition_for)

    async def deliver(self) -> None:
        """What is new, in one batch. Raises Unavailable; what could not be taken in then comes again."""
        ends = {number: len(records) for number, records in enumerate(self._log.partitions)}
        news = {number: end for number, end in ends.items() if end > self._delivered[number]}
        begins = {
            number: self._faults.of_a_delivery(self._delivered[number], end) for number, end in news.items()
        }
        await self._absorb(begins, news)

    async def catch_up(self) -> None:
        """As a worker that starts: the last record is enough, what is missing before it is fetched first."""
        ends = {number: len(records) for number, records in enumerate(self._log.partitions) if records}
        await self._absorb({number: end - 1 for number, end in ends.items()}, ends)

    async def _absorb(self, begins: Mapping[int, int], ends: Mapping[int, int]) -> None:
        await self._projection.absorb(
            record
            for number, begin in begins.items()
            for record in self._raw.between(number, begin, ends[number])
        )
        for number, end in ends.items():
            self._delivered[number] = end
