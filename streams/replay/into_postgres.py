"""The payments' read model made again in a database of its own, by the projection that is live.

Rows and watermarks are stored together, so a replay that was stopped or killed goes on from where it had come to.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from functools import partial

import uvloop
from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres.bulk import BulkPaymentSink
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from projections.ports import RawRecord
from projections.project import Projection
from streams.dead_letters import NoLetters
from streams.replay.errors import StoreTaken
from streams.replay.plan import Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source

RECORDS_AT_ONCE = 20_000
"""Of one transaction: a payment whose records lie together is then stored once, for nearly all."""
REMEMBERED = 20_000
"""Payments of a partition, whose next record does not have to ask for them."""


async def prepare(url: str, plan: Plan) -> Plan:
    """What is left to be read into that database, which is made if there is none.

    Raises StoreTaken, StoreUnavailable and what asyncpg raises.
    """
    await migrate(url)
    database = await Database.connect(url, max_size=1)
    try:
        sink = BulkPaymentSink(database)
        if await sink.is_live():
            raise StoreTaken("keys were reserved in that database: it is one that a product works with")
        reached = await sink.begin(plan.topic, {part.partition: part.start for part in plan.parts})
    finally:
        await database.close()
    parts = [replace(part, start=min(reached[part.partition], part.stop)) for part in plan.parts]
    return replace(plan, parts=tuple(parts))


def replay_payments(source: Source, plan: Plan, url: str, processes: int, tell: Tell = lambda _: None) -> int:
    """How many records could not be taken in. Of a plan that was prepared. Raises LogBroken, LogUnavailable,
    StoreUnavailable."""
    return sum(in_processes(partial(_work, source, url), plan.parts, processes, tell))


def _work(source: Source, url: str, parts: Sequence[Part], monitor: Monitor) -> int:
    return uvloop.run(_fill(source, url, parts, monitor))


async def _fill(source: Source, url: str, parts: Sequence[Part], monitor: Monitor) -> int:
    async with AsyncExitStack() as stack:
        database = await Database.connect(url, max_size=1)
        stack.push_async_callback(database.close)
        reader = LogReader(source.bootstrap_servers)
        stack.push_async_callback(reader.stop)
        sink = BulkPaymentSink(database)
        projection = Projection(source.topic, sink, reader, NoLetters(), partition_for, REMEMBERED)
        for part in parts:
            async with aclosing(chunks(source, part, RECORDS_AT_ONCE)) as found:
                async for records in found:
                    await projection.absorb(records)
                    monitor.read(len(records))
        return projection.counts.dead


async def chunks(source: Source, part: Part, size: int) -> AsyncGenerator[Sequence[RawRecord], None]:
    """At least so many records at a time, but for the last ones."""
    gathered: list[RawRecord] = []
    async with aclosing(source.batches(part)) as batches:
        async for batch in batches:
            gathered.extend(batch)
            if len(gathered) >= size:
                yield gathered
                gathered = []
    if gathered:
        yield gathered
