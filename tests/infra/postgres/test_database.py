"""A process that stands still in the middle of a transaction keeps nobody waiting for ever."""

import asyncio

import pytest

from infra.local.stack import Stack
from infra.postgres.database import IDLE_IN_TRANSACTION_MS, Connection, Database
from infra.postgres.experiments import PostgresExperiments
from schemas.errors import StoreUnavailable
from tests.waiting import HANGS_AFTER_S

pytestmark = pytest.mark.integration


async def test_every_connection_has_the_limit(database: Database) -> None:
    (limit,) = await database.fetch("SHOW idle_in_transaction_session_timeout")
    assert limit[0] == f"{IDLE_IN_TRANSACTION_MS // 1000}s"


async def test_an_analyzer_that_stands_still_loses_its_turn_to_another_and_learns_it(
    url: str, database: Database
) -> None:
    other = PostgresExperiments(database)
    frozen = await Database.connect(url, server_settings={"idle_in_transaction_session_timeout": "2000"})

    async def stand_still() -> None:
        async with PostgresExperiments(frozen).turn() as is_ours:
            assert is_ours
            async with other.turn() as is_theirs:
                assert not is_theirs
            while True:
                if await _gets_a_turn(other):
                    return
                await asyncio.sleep(0.05)

    async with asyncio.timeout(HANGS_AFTER_S):
        with pytest.raises(StoreUnavailable):
            await stand_still()
    assert await _gets_a_turn(PostgresExperiments(frozen))
    await frozen.close()


async def test_what_a_connection_is_asked_first_is_bounded_too(stack: Stack, url: str) -> None:
    met = asyncio.Event()

    async def meets_a_hung_server(connection: Connection) -> None:
        met.set()
        stack.postgres.pause()
        await connection.fetch("SELECT")

    database = await Database.connect(url, min_size=0, on_connect=meets_a_hung_server)
    try:
        async with asyncio.timeout(HANGS_AFTER_S):
            while not met.is_set():  # to connect may take longer than that
                with pytest.raises(StoreUnavailable):
                    await database.fetch("SELECT", timeout_s=0.5)
    finally:
        stack.postgres.resume()
    await database.close()


async def _gets_a_turn(store: PostgresExperiments) -> bool:
    async with store.turn() as is_ours:
        return is_ours
