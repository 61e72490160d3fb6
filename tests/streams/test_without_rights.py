"""A role that may do nothing in the product's database: whatever it types is answered in a line, and by a code."""

import os
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from infra.kafka.topics import make_topics
from infra.local.stack import Stack
from infra.postgres.migrate import migrate
from tests.streams.replay.world import World

pytestmark = pytest.mark.integration

AWAY = 3
PRODUCT = "postgres://payments@db.example/product"


@pytest.fixture
async def world(stack: Stack) -> AsyncIterator[World]:
    """Its commands come as a bystander."""
    name = f"bystander_{os.getpid()}"
    url = urlsplit(stack.env["DATABASE_URL"])._replace(path=f"/{name}")
    await migrate(url.geturl())
    owner = await asyncpg.connect(url.geturl())
    await owner.execute(f"CREATE ROLE {name} LOGIN")
    theirs = url._replace(netloc=f"{name}@{url.hostname}:{url.port}")
    try:
        world = World({**stack.env, "DATABASE_URL": theirs.geturl()}, partitions=1)
        await make_topics(world.settings)
        yield world
    finally:
        await owner.execute(f"DROP OWNED BY {name}")
        await owner.execute(f"DROP ROLE {name}")
        await owner.close()


@pytest.mark.parametrize(
    "line",
    [
        "verify payments",
        "verify circuits",
        "verify experiments",
        "rebuild payments",
    ],
)
async def test_reading_and_rebuilding_are_refused_in_a_line(world: World, line: str) -> None:
    await refused(world, *line.split())


@pytest.mark.parametrize("projection", ["payments", "circuits", "experiments", "audit"])
async def test_a_replay_into_a_database_that_it_may_not_fill_is_refused_in_a_line(
    world: World, projection: str
) -> None:
    await refused(world, "replay", projection, "--into", world.settings.database_url, DATABASE_URL=PRODUCT)


async def test_a_replay_that_may_not_make_its_database_is_refused_in_a_line(world: World) -> None:
    url = urlsplit(world.settings.database_url)._replace(path="/there_is_none").geturl()
    await refused(world, "replay", "payments", "--into", url, DATABASE_URL=PRODUCT)


async def refused(world: World, *words: str, **environment: str) -> None:
    code, said, complained = await world.types(*words, **environment)
    assert (code, said) == (AWAY, ""), complained
    assert complained.count("\n") == 1, complained
    assert "refuses" in complained
    assert "permission denied" in complained
