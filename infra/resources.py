"""What several processes open alike."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Protocol

from infra.clock import SystemClock
from infra.kafka.adoptions import KafkaAdoptions
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.kafka.tail import TopicTail
from infra.postgres.admission import Admission
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.postgres.replays import refuse_replays
from infra.settings import Settings
from schemas.base import Event
from schemas.circuit import CircuitKey, KnownCircuit
from schemas.codec import CIRCUITS_TOPIC, PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.errors import StoreUnavailable


async def product_database(
    settings: Settings, *, min_size: int, max_size: int, server_settings: Mapping[str, str] | None = None
) -> Database:
    """For whoever acts on what is stored. Raises StoreUnavailable; of a database that a replay filled every connection
    raises FilledByReplay."""
    return await Database.connect(
        settings.database_url,
        min_size=min_size,
        max_size=max_size,
        on_connect=refuse_replays,
        server_settings=server_settings,
    )


@asynccontextmanager
async def admitted(
    settings: Settings,
    clock: SystemClock,
    publisher: Publisher,
    reader: LogReader,
    database: Database,
    views: PaymentViews,
    connections: int,
) -> AsyncIterator[tuple[Admission, Database]]:
    """The gate before every change of ownership, and the pool that leads through it: to the adopted Postgres only."""
    admission = Admission(
        database,
        KafkaAdoptions(publisher, reader, clock),
        lambda: reader.end_offsets(PAYMENTS_TOPIC),
        views.watermarks,
        guard_ms=settings.clock_guard_ms,
    )
    admission.start()
    try:
        pool = await Database.connect(
            settings.database_url, min_size=0, max_size=connections, on_connect=admission.verify
        )
        try:
            yield admission, pool
        finally:
            await pool.close()
    finally:
        await admission.stop()


class Facts(Protocol):
    def restore(self, known: Mapping[CircuitKey, KnownCircuit], next_offset: int) -> None: ...

    def take(self, recorded: Recorded[Event]) -> None: ...


@asynccontextmanager
async def tailed_circuits(
    settings: Settings, clock: SystemClock, store: PostgresCircuits, facts: Facts
) -> AsyncIterator[TopicTail]:
    """Facts of every circuit, in force from then on: the views that the store has, and what the topic has on top.

    The views are some seconds old at most, so a start reads a few records whatever the age of the topic. Without
    Postgres all of it is read, which is right as well and takes longer: half a minute for a million events.
    """
    try:
        known, next_offset = await store.views()
    except StoreUnavailable:
        known, next_offset = {}, 0
    facts.restore(known, next_offset)
    tail = TopicTail(settings.kafka_bootstrap_servers, CIRCUITS_TOPIC, facts.take, clock)
    await tail.start(next_offset)
    try:
        yield tail
    finally:
        await tail.stop()
