"""What several processes open alike."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infra.clock import SystemClock
from infra.kafka.adoptions import KafkaAdoptions
from infra.kafka.producer import Publisher
from infra.kafka.reader import LogReader
from infra.postgres.admission import Admission
from infra.postgres.database import Database
from infra.postgres.payments import PaymentViews
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC


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
