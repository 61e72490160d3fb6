"""A migrated database of its own for every test."""

import os
from collections.abc import AsyncIterator
from itertools import count
from urllib.parse import urlsplit

import pytest

from infra.local.stack import Stack
from infra.postgres.database import Database
from infra.postgres.migrate import migrate

_numbers = count(1)


@pytest.fixture
async def url(stack: Stack) -> str:
    name = f"/postgres_{os.getpid()}_{next(_numbers)}"
    url = str(urlsplit(stack.env["DATABASE_URL"])._replace(path=name).geturl())
    await migrate(url)
    return url


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.connect(url)
    yield database
    await database.close()
