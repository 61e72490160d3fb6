"""A log and what lies on it, in memory and on a real broker, for the suites that both have to pass."""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from typing import Protocol, cast

import pytest

from commands.ports import EventLog
from infra.clock import SystemClock
from infra.kafka.log import KafkaLog
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.local.stack import Stack
from infra.memory.clock import MemoryClock
from infra.memory.fate import UNTROUBLED, Fate
from infra.memory.log import MemoryLog
from schemas.codec import PAYMENTS_TOPIC, decode
from schemas.envelope import Envelope, Outgoing, Position, Recorded, Window
from schemas.ids import PaymentId
from schemas.payment import PaymentEvent
from tests.builders import AT

Record = Recorded[PaymentEvent]

LONG = Window(valid_from_ms=0, valid_until_ms=2**50)
OVER = Window(valid_from_ms=0, valid_until_ms=1)
"""What is written in it is void."""
NOBODY_LISTENS = "127.0.0.1:1"
PATIENCE_MS = 4_000
"""No acknowledgement takes so long, on whatever machine."""
HASTE_MS = 100
"""For an acknowledgement that never comes."""
BROKER_SKEW_MS = -3_600_000
"""How far the twin's broker is behind its writers: a stamp of theirs would not be taken for one of its own."""

_clock = SystemClock()


class Broker(Protocol):
    @property
    def log(self) -> EventLog: ...

    @property
    def unreachable(self) -> EventLog:
        """Another log, of which nothing was ever heard."""

    def now_ms(self) -> int: ...

    async def end_offset(self, partition: int) -> int: ...

    async def records(self, partition: int, start: int, stop: int) -> list[Record]: ...

    def silent(self) -> AbstractContextManager[None]:
        """Meanwhile no append is acknowledged."""


class MemoryBroker:
    def __init__(self) -> None:
        self.clock = MemoryClock(skew_ms=BROKER_SKEW_MS)
        self._fate = UNTROUBLED
        self.log = MemoryLog(self.clock, fate=lambda: self._fate, acknowledgement_timeout_ms=HASTE_MS)
        self.unreachable = MemoryLog(self.clock)
        self.unreachable.is_available = False

    def now_ms(self) -> int:
        return self.clock.now_ms()

    async def end_offset(self, partition: int) -> int:
        return len(self.log.partitions[partition])

    async def records(self, partition: int, start: int, stop: int) -> list[Record]:
        return self.log.partitions[partition][start:stop]

    @contextmanager
    def silent(self) -> Iterator[None]:
        self._fate = Fate(answer_ms=None)
        yield
        self._fate = UNTROUBLED


class KafkaBroker:
    def __init__(self, stack: Stack, publisher: Publisher, reader: LogReader) -> None:
        self.log = KafkaLog(publisher)
        self.unreachable = KafkaLog(Publisher(NOBODY_LISTENS, HASTE_MS))
        self.reader = reader
        self._stack = stack

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def end_offset(self, partition: int) -> int:
        return await self.reader.end_offset(PAYMENTS_TOPIC, partition)

    async def records(self, partition: int, start: int, stop: int) -> list[Record]:
        return [
            cast(Record, decode(record.value, record.headers, _position(record), record.timestamp))
            for record in await self.reader.read(PAYMENTS_TOPIC, partition, start, stop)
        ]

    @contextmanager
    def silent(self) -> Iterator[None]:
        if self._stack.kafka not in self._stack.servers:
            pytest.skip("somebody else's Kafka is not ours to pause")
        self._stack.kafka.pause()
        try:
            yield
        finally:
            self._stack.kafka.resume()


@asynccontextmanager
async def kafka_broker(stack: Stack) -> AsyncIterator[KafkaBroker]:
    servers = stack.env["KAFKA_BOOTSTRAP_SERVERS"]
    publisher, reader = Publisher(servers, PATIENCE_MS), LogReader(servers)
    await publisher.start()
    yield KafkaBroker(stack, publisher, reader)
    await reader.stop()
    await publisher.stop()


def _position(record: object) -> Position:
    topic, partition, offset = record.topic, record.partition, record.offset  # type: ignore[attr-defined]
    return Position(topic=topic, partition=partition, offset=offset)


def new_payment(*, partition: int | None = None) -> PaymentId:
    """Of that partition, where one is given."""
    while True:
        payment = _clock.payment_id()
        if partition in (None, partition_for(payment)):
            return payment


def outgoing(
    payment: PaymentId, *events: PaymentEvent, after: int = 0, window: Window = LONG
) -> list[Outgoing[PaymentEvent]]:
    """The payment's next events, when it has had `after` of them; by their writer's clock it is another year."""
    return [
        Outgoing(
            envelope=Envelope(
                event_id=_clock.event_id(),
                aggregate_id=payment,
                sequence=sequence,
                at=AT,
                epoch=1,
                window=window,
                correlation_id="req_1",
                causation_id="req_1",
            ),
            event=event,
        )
        for sequence, event in enumerate(events, start=after + 1)
    ]
