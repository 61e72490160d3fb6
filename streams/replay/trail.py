"""All records of one payment: by the index in Postgres or, where that is away or does not know it, by a search from its
first moment on.

From the topic, or from the files of an export and then the topic.
"""

from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime, timedelta
from functools import reduce
from typing import NamedTuple

from infra.histories import LogHistories
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from projections.absorption import readable
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.base import Event
from schemas.envelope import Recorded
from schemas.errors import ReadTooFarBehind, StoreUnavailable, Unreadable
from schemas.ids import PaymentId, minted_at
from schemas.payment import PaymentEvent
from schemas.views import PaymentHistory
from streams.replay.plan import Asked, Part, Seam
from streams.replay.source import Source

CLOCKS_APART = timedelta(seconds=60)
"""So far the clock that minted an id may be ahead of the broker's."""


class Trail(NamedTuple):
    records: Sequence[Recorded[Event]]
    """In the order of offsets, void records too; those that nobody can read are left out."""
    seams: tuple[Seam, ...] = ()
    """Of its partition, where there are files of it."""


async def trail(source: Source, database_url: str, payment_id: PaymentId) -> Trail:
    """Without records where there is no such payment. Raises LogUnavailable, LogBroken."""
    seams = await source.seams([partition_for(payment_id)])
    indexed: Sequence[Recorded[Event]] = ()
    with suppress(StoreUnavailable, ReadTooFarBehind):
        indexed = await _indexed(source, database_url, payment_id)
    return Trail(indexed or await _searched(source, payment_id), seams)


async def _searched(source: Source, payment_id: PaymentId) -> list[Recorded[Event]]:
    found: list[Recorded[Event]] = []
    for record in await records_of(source, payment_id, await part_of(source, payment_id)):
        with suppress(Unreadable):
            found.append(readable(record, source.topic))
    return found


async def part_of(source: Source, payment_id: PaymentId) -> Part:
    """Where a payment's records are, from its first moment to the end of the log."""
    since = minted_at(payment_id) - CLOCKS_APART
    partitions = frozenset({partition_for(payment_id)})
    (part,) = (await source.plan(Asked(topic=source.topic, since=since, partitions=partitions))).parts
    return part


async def records_of(source: Source, payment_id: PaymentId, part: Part) -> list[RawRecord]:
    key = payment_id.encode()
    async with aclosing(source.batches(part)) as batches:
        return [record async for batch in batches for record in batch if record.key == key]


def state_at(records: Iterable[Recorded[Event]], moment: datetime | None) -> PaymentHistory | None:
    """What the read model showed, or would have, when all that the broker had stamped by then was in it. None before
    there was such a payment."""
    until_ms = float("inf") if moment is None else moment.timestamp() * 1000
    known = (record for record in records if record.stamp_ms <= until_ms)
    history: PaymentHistory | None = reduce(evolve, known, None)
    return history if history is not None and history.payment.sequence > 0 else None


class _Reader:
    """By which an index is followed: into the files, too, and refused what has left the log."""

    def __init__(self, source: Source, log: LogReader) -> None:
        self._source = source
        self._log = log

    async def read(self, _: str, partition: int, start: int, stop: int) -> list[RawRecord]:
        async with aclosing(
            self._source.batches(Part(partition=partition, start=start, stop=stop))
        ) as batches:
            return [record async for batch in batches for record in batch]

    async def end_offset(self, topic: str, partition: int) -> int:
        return await self._log.end_offset(topic, partition)


async def _indexed(source: Source, database_url: str, payment_id: PaymentId) -> list[Recorded[PaymentEvent]]:
    async with AsyncExitStack() as stack:
        database = await Database.connect(database_url, max_size=1)
        stack.push_async_callback(database.close)
        log = LogReader(source.bootstrap_servers)
        stack.push_async_callback(log.stop)
        index = PaymentViews(database, partition_for, source.topic)
        histories = LogHistories(index, _Reader(source, log), partition_for, source.topic)
        return await histories.at_head(payment_id)
