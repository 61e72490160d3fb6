"""What the suites of stores share: real servers beside the twin in memory, and a database of its own for every test."""

import os
from collections.abc import AsyncIterator
from itertools import count
from urllib.parse import urlsplit

import pytest

from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate

_numbers = count(1)


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
    path = f"/contract_{os.getpid()}_{next(_numbers)}"
    url = str(urlsplit(servers.env["DATABASE_URL"])._replace(path=path).geturl())
    await migrate(url)
    database = await Database.connect(url)
    yield database
    await database.close()
