"""A database is brought to the newest schema by any number of processes, any number of times."""

import asyncio
import os
from datetime import UTC, datetime
from urllib.parse import urlsplit
from uuid import UUID

import asyncpg
import pytest

from infra.local.stack import Stack
from infra.postgres.migrate import MIGRATIONS, migrate
from schemas import ids

pytestmark = pytest.mark.integration


@pytest.fixture
def no_database(stack: Stack) -> str:
    url = urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/migrate_{os.getpid()}_{os.urandom(4).hex()}")
    return str(url.geturl())


async def test_every_file_is_applied_once_whoever_comes_first(no_database: str) -> None:
    applied = await asyncio.gather(*(migrate(no_database) for _ in range(3)))

    assert sorted(name for names in applied for name in names) == sorted(
        file.stem for file in MIGRATIONS.glob("*.sql")
    )
    assert await migrate(no_database) == []


async def test_the_partitions_of_a_month_begin_and_end_with_its_ids(no_database: str) -> None:
    await migrate(no_database)
    connection = await asyncpg.connect(no_database)
    try:
        for moment in (datetime(2026, 11, 1, tzinfo=UTC), datetime(2031, 2, 28, 23, 59, 59, 999_000, UTC)):
            milliseconds = round(moment.timestamp() * 1000)
            first = ids.payment_id(UUID(int=milliseconds << 80))
            assert await connection.fetchval("SELECT first_payment_id($1)", moment) == first
    finally:
        await connection.close()
