"""What it takes to compare the payments' rows with the log, beside the rows themselves."""

from collections.abc import AsyncIterator
from pathlib import Path

from infra.postgres import queries
from infra.postgres.database import Database
from infra.postgres.payments import PROJECTION
from schemas.ids import PaymentId

PAGE = 10_000
PAGE_TIMEOUT_S = 30.0
_sql = queries.load(Path(__file__).with_suffix(".sql"))


async def unreadable(database: Database, topic: str) -> frozenset[tuple[int, int]]:
    """By partition and offset, what the projection could not take in."""
    rows = await database.fetch(_sql.unreadable, *PROJECTION, topic)
    return frozenset((row["partition"], row["offset"]) for row in rows)


async def first_offsets(database: Database) -> AsyncIterator[tuple[PaymentId, int]]:
    """Of every payment that has a row, where its first record lies."""
    last = ""
    while rows := await database.fetch(_sql.page, last, PAGE, timeout_s=PAGE_TIMEOUT_S):
        for row in rows:
            yield row["payment_id"], row["first_offset"]
        last = rows[-1]["payment_id"]
