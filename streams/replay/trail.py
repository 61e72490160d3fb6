"""All records of one payment: by the index in Postgres or, where that is away, by a search from its first moment on."""

from collections.abc import Iterable
from contextlib import AsyncExitStack, aclosing, suppress
from datetime import datetime, timedelta
from functools import reduce

from infra.histories import LogHistories
from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from projections.absorption import readable
from projections.payments import evolve
from projections.ports import RawRecord
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.errors import ReadTooFarBehind, StoreUnavailable, Unreadable
from schemas.ids import PaymentId, minted_at
from schemas.views import PaymentHistory
from streams.replay.plan import Asked, Part
from streams.replay.source import Source

CLOCKS_APART = timedelta(seconds=60)
"""So far the clock that minted an id may be ahead of the broker's."""

Trail = list[Recorded[Event]]
"""In the order of offsets, void records too; those that nobody can read are left out."""


async def trail(settings: Settings, payment_id: PaymentId) -> Trail:
    """Empty where there is no such payment. Raises LogUnavailable, LogBroken."""
    try:
        return await _indexed(settings, payment_id)
    except (StoreUnavailable, ReadTooFarBehind):
        source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC)
        return await searched(source, payment_id)


async def searched(source: Source, payment_id: PaymentId) -> Trail:
    found = Trail()
    for record in await records_of(source, payment_id, await part_of(source, payment_id)):
        with suppress(Unreadable):
            found.append(readable(record, PAYMENTS_TOPIC))
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


async def _indexed(settings: Settings, payment_id: PaymentId) -> Trail:
    async with AsyncExitStack() as stack:
        database = await Database.connect(settings.database_url, max_size=1)
        stack.push_async_callback(database.close)
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        histories = LogHistories(PaymentViews(database, partition_for), reader, partition_for)
        return list(await histories.at_head(payment_id))
