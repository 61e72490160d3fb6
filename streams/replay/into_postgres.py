"""Projections made again in a database of their own, by the code that is live.

Rows and watermarks are stored together, so a replay that was stopped or killed goes on from where it had come to.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from infra.kafka.partition import partition_for
from infra.kafka.reader import LogReader
from infra.postgres import experiments, payments
from infra.postgres.bulk import BulkPaymentSink
from infra.postgres.database import Database
from infra.postgres.migrate import migrate
from infra.postgres.replays import Begun, begin, take
from infra.postgres.watermarks import Projection as Name
from projections.absorption import Absorption
from projections.experiment_intake import ExperimentIntake
from projections.ports import RawRecord
from projections.project import Projection
from streams.dead_letters import NoLetters
from streams.replay.errors import StoreTaken
from streams.replay.plan import Part, Plan, Stored
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source

REMEMBERED = 20_000
"""Payments of a partition, whose next record does not have to ask for them."""


class Kind(NamedTuple):
    """A projection that takes records in."""

    name: Name
    records_at_once: int
    """Of one transaction."""
    made: Callable[[str, Database, LogReader], Absorption]
    """Of the topic."""


def _payments(topic: str, database: Database, log: LogReader) -> Absorption:
    return Projection(topic, BulkPaymentSink(database), log, NoLetters(), partition_for, REMEMBERED)


def _experiments(topic: str, database: Database, log: LogReader) -> Absorption:
    store = experiments.PostgresExperiments(database)
    return ExperimentIntake(topic, store, log, NoLetters(), partition_for)


PAYMENTS = Kind(payments.PROJECTION, 20_000, _payments)
"""A payment whose records lie together is then stored once, for nearly all."""
EXPERIMENTS = Kind(experiments.PROJECTION, 2_000, _experiments)
"""Customers' rows are locked as long as a transaction lasts, and processes meet at them."""


@asynccontextmanager
async def database_of_a_replay(url: str) -> AsyncIterator[Database]:
    """Made if there is none. Raises StoreTaken, StoreUnavailable and what asyncpg raises."""
    await migrate(url)
    database = await Database.connect(url, max_size=1)
    try:
        if not await take(database):
            raise StoreTaken(
                "that database was not begun by a replay: it may be one that a product works with"
            )
        yield database
    finally:
        await database.close()


async def prepare(kind: Kind, url: str, plan: Plan) -> Plan:
    """What is left to be read into that database. Raises what `database_of_a_replay` and `go_on` do."""
    async with database_of_a_replay(url) as database:
        return await go_on(database, kind.name, plan)


async def go_on(database: Database, name: Name, plan: Plan) -> Plan:
    """What is left of it, behind what is there already. Raises StoreUnavailable, and, with nothing begun, StoreTaken
    where what is before that would be missing, or what is there goes beyond what was asked for."""
    starts = {part.partition: part.start for part in plan.parts}
    async with database.transaction() as connection:
        begun = await begin(connection, name, plan.topic, starts)
        for part in plan.parts:
            _require_that_it_fits(plan.topic, part, begun[part.partition])
    parts = [replace(part, start=begun[part.partition].reached) for part in plan.parts]
    return replace(plan, parts=tuple(parts), stored=_stored(starts, begun))


def _require_that_it_fits(topic: str, part: Part, begun: Begun) -> None:
    there = f"that database has {topic}-{part.partition} "
    if part.start < begun.start:
        raise StoreTaken(
            f"{there}from offset {begun.start} on, and {part.start} was asked for: ask for no earlier start, or begin "
            "another database"
        )
    if part.stop < begun.reached:
        raise StoreTaken(
            f"{there}up to offset {begun.reached}, and {part.stop} was asked for: ask for no earlier end, or begin "
            "another database"
        )


def _stored(starts: Mapping[int, int], begun: Mapping[int, Begun]) -> Stored | None:
    records = sum(one.reached - one.start for one in begun.values())
    is_longer = any(begun[partition].start < start for partition, start in starts.items())
    return Stored(records=records, is_longer=is_longer) if records or is_longer else None


def into_postgres(
    kind: Kind, source: Source, plan: Plan, url: str, processes: int, tell: Tell = lambda _: None
) -> int:
    """How many records could not be taken in. Of a plan that was prepared. Raises LogBroken, LogUnavailable,
    StoreUnavailable."""
    return sum(in_processes(partial(_fill, kind, source, url), plan.parts, processes, tell))


async def _fill(kind: Kind, source: Source, url: str, parts: Sequence[Part], monitor: Monitor) -> int:
    async with AsyncExitStack() as stack:
        database = await Database.connect(url, max_size=1)
        stack.push_async_callback(database.close)
        reader = LogReader(source.bootstrap_servers)
        stack.push_async_callback(reader.stop)
        dead = 0
        for part in parts:
            # A new one: what it remembers is of no use to the next part.
            projection = kind.made(source.topic, database, reader)
            async with aclosing(chunks(source, part, kind.records_at_once)) as found:
                async for records in found:
                    await projection.absorb(records)
                    monitor.read(len(records))
            dead += projection.counts.dead
        return dead


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
