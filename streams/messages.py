"""What gateways and persons tell the verifier: from `gateway.notifications.v1` into the store that it works from.

A message that is stored again changes nothing, and the watermark moves with what it covers: whatever is given twice,
or was missed while the store was away or put back, is there once in the end.
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Protocol, cast

import faust

from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.messages import PostgresMessages
from infra.settings import Settings
from projections.absorption import Counts, dead_letter, decoded, grouped
from projections.ports import DeadLetters, RawRecord
from schemas.codec import NOTIFICATIONS_TOPIC
from schemas.errors import Unreadable
from schemas.ids import payment_of
from schemas.notification import NotificationMessage
from schemas.verification import Received, StoredMessage
from schemas.views import DeadLetter, Watermark
from streams.agent import patiently
from streams.consumption import Consumption
from streams.dead_letters import KafkaDeadLetters

CHUNK = 1000
"""Records of a gap that are fetched and stored at a time."""


class Store(Protocol):
    """Raises StoreUnavailable."""

    async def store(
        self, topic: str, messages: Sequence[StoredMessage], next_offsets: Mapping[int, Watermark]
    ) -> None:
        """All of it or nothing. Raises Unreadable when a value is none the store can hold."""

    async def watermarks(self) -> Mapping[tuple[str, int], Watermark]: ...


class Log(Protocol):
    async def read(self, topic: str, partition: int, start: int, stop: int) -> Sequence[RawRecord]: ...


class MessageIntake:
    def __init__(
        self, store: Store, log: Log, dead_letters: DeadLetters, topic: str = NOTIFICATIONS_TOPIC
    ) -> None:
        self._store = store
        self._log = log
        self._dead_letters = dead_letters
        self._topic = topic
        self.counts = Counts()

    async def absorb(self, records: Iterable[RawRecord]) -> None:
        """Take in all of them, whatever is missing before them included. Raises Unavailable."""
        marks = await self._store.watermarks()
        for partition, batch in grouped(records).items():
            mark = marks.get((self._topic, partition))
            async for run in self._runs(partition, batch, mark.next_offset if mark else 0):
                await self._take(run)

    async def _runs(
        self, partition: int, batch: Sequence[RawRecord], expected: int
    ) -> AsyncIterator[Sequence[RawRecord]]:
        """What continues the watermark without a hole: from the batch or, where that has holes, from the log."""
        fresh = [record for record in batch if record.offset >= expected]
        self.counts.known_already += len(batch) - len(fresh)
        stop = expected + len(fresh)
        if [record.offset for record in fresh] == list(range(expected, stop)):
            if fresh:
                yield fresh
            return
        for start in range(expected, fresh[-1].offset + 1, CHUNK):
            missing = await self._log.read(
                self._topic, partition, start, min(start + CHUNK, fresh[-1].offset + 1)
            )
            self.counts.fetched_from_gaps += len(missing)
            yield missing

    async def _take(self, run: Sequence[RawRecord]) -> None:
        """Stored at once, or by halves when the store refuses a value: that finds the record it belongs to."""
        try:
            await self._store_run(run)
        except Unreadable as refusal:
            if len(run) == 1:
                await self._store_run(run, refusal)
            else:
                half = len(run) // 2
                await self._take(run[:half])
                await self._take(run[half:])

    async def _store_run(self, run: Sequence[RawRecord], refusal: Unreadable | None = None) -> None:
        messages: list[StoredMessage] = []
        dead: list[DeadLetter] = []
        for record in run:
            try:
                messages.append(_message(record, refusal))
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                dead.append(dead_letter(record, error))
        if dead:
            await self._dead_letters.publish(dead)
        last = run[-1]
        reached = Watermark(next_offset=last.offset + 1, last_stamp_ms=last.timestamp)
        await self._store.store(self._topic, messages, {last.partition: reached})
        self.counts.taken_in += len(run)
        self.counts.dead += len(dead)


async def intake(
    app: faust.App,
    settings: Settings,
    reader: LogReader,
    publisher: Publisher,
    database: Database,
    elapsed_ms: Callable[[], float],
) -> tuple[MessageIntake, Consumption]:
    """The verifier's part that consumes: to be made before the app runs, caught up, and then watched."""
    await patiently(lambda: reader.end_offsets(NOTIFICATIONS_TOPIC))  # or the app would never hear of it
    store = PostgresMessages(database)
    messages = MessageIntake(store, reader, KafkaDeadLetters(publisher, settings.verifier_consumer_group))
    return messages, Consumption(app, NOTIFICATIONS_TOPIC, messages.absorb, reader, store, elapsed_ms)


def _message(record: RawRecord, refusal: Unreadable | None) -> StoredMessage:
    if refusal is not None:
        raise refusal
    recorded = decoded(record)
    message = cast(NotificationMessage, recorded.event)
    payment_id = payment_of(message.attempt_id)
    if record.key != payment_id.encode():
        raise Unreadable("its key is not the payment of its attempt")
    return StoredMessage(
        payment_id=payment_id,
        received=Received(position=recorded.position, message=message),
        stamp_ms=record.timestamp,
    )
