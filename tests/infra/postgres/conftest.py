"""A migrated database of its own for every test."""

from collections.abc import AsyncIterator

import pytest

from infra.local.stack import Stack
from infra.postgres.database import Database
from tests.databases import new_database


@pytest.fixture
async def url(stack: Stack) -> str:
    return await new_database(stack.env["DATABASE_URL"])


@pytest.fixture
async def database(url: str) -> AsyncIterator[Database]:
    database = await Database.connect(url)
    yield database
    await database.close()
