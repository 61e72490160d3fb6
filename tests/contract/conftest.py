"""What the suites of stores share: real servers beside the twin in memory, and a database of its own for every test."""

from collections.abc import AsyncIterator

import pytest

from infra.local.stack import Stack
from infra.postgres.database import Database
from tests.databases import new_database


@pytest.fixture(params=["memory", pytest.param("postgres", marks=pytest.mark.integration)])
def servers(request: pytest.FixtureRequest) -> Stack | None:
    """None for the twin in memory. Servers cannot be started where a loop runs already, as in the fixture below."""
    return None if request.param == "memory" else request.getfixturevalue("stack")


@pytest.fixture
async def database(servers: Stack | None) -> AsyncIterator[Database | None]:
    """Migrated and empty; None for the twin in memory."""
    if servers is None:
        yield None
        return
    database = await Database.connect(await new_database(servers.env["DATABASE_URL"]))
    yield database
    await database.close()
