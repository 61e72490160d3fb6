"""Snapshots reach a process from a real Redis: pushed, asked for, newest first, and after whatever went wrong."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import msgspec
import pytest

from infra.local.stack import Stack
from infra.redis.connection import Client, connect
from infra.redis.snapshots import SnapshotFeed
from schemas.metrics import SNAPSHOT_CHANNEL, SNAPSHOT_KEY, RoutingSnapshot
from tests.waiting import HANGS_AFTER_S

pytestmark = pytest.mark.integration


def snapshot(version: int) -> bytes:
    return msgspec.msgpack.encode(
        RoutingSnapshot(version=version, as_of=datetime(2026, 11, 25, tzinfo=UTC), cells=())
    )


class Listener:
    def __init__(self, redis: Client) -> None:
        self.redis = redis
        self.heard: list[int] = []
        self.failures = 0
        self.feed = SnapshotFeed(redis, self.take)

    def take(self, snapshot: RoutingSnapshot) -> None:
        if self.failures:
            self.failures -= 1
            raise ZeroDivisionError
        self.heard.append(snapshot.version)

    async def push(self, content: bytes) -> None:
        await self.redis.publish(SNAPSHOT_CHANNEL, content)

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(HANGS_AFTER_S):
            while not is_so():  # noqa: ASYNC110  # it is not ours to be told
                await asyncio.sleep(0.01)


@pytest.fixture
def redis_url(stack: Stack) -> str:
    """Servers cannot be started where a loop runs already, as in the fixture below."""
    return stack.env["REDIS_URL"]


@pytest.fixture
async def listener(redis_url: str) -> AsyncIterator[Listener]:
    redis = connect(redis_url)
    await redis.delete(SNAPSHOT_KEY)
    listener = Listener(redis)
    listener.feed.start()
    yield listener
    await listener.feed.stop()
    await redis.delete(SNAPSHOT_KEY)
    await redis.aclose()


async def test_what_no_push_tells_is_asked_for(listener: Listener) -> None:
    await listener.redis.set(SNAPSHOT_KEY, snapshot(1))
    await listener.until(lambda: listener.heard == [1])


async def test_what_is_pushed_is_taken_and_only_what_is_newer(listener: Listener) -> None:
    await listener.redis.set(SNAPSHOT_KEY, snapshot(1))
    await listener.until(lambda: listener.heard == [1])
    for version in (3, 2, 3, 4):
        await listener.push(snapshot(version))
    await listener.until(lambda: listener.heard == [1, 3, 4])


async def test_what_cannot_be_read_is_passed_over(listener: Listener) -> None:
    await listener.redis.set(SNAPSHOT_KEY, b"\xc1")
    await asyncio.sleep(0.4)
    await listener.redis.set(SNAPSHOT_KEY, snapshot(2))
    await listener.until(lambda: listener.heard == [2])


async def test_one_that_cannot_be_made_sense_of_is_not_the_last_one(listener: Listener) -> None:
    listener.failures = 1
    await listener.redis.set(SNAPSHOT_KEY, snapshot(1))
    await listener.until(lambda: listener.failures == 0)
    await listener.redis.set(SNAPSHOT_KEY, snapshot(2))
    await listener.until(lambda: listener.heard == [2])


async def test_a_connection_that_breaks_is_made_anew(listener: Listener) -> None:
    await listener.redis.set(SNAPSHOT_KEY, snapshot(1))
    await listener.until(lambda: listener.heard == [1])
    await listener.redis.client_kill_filter(_type="pubsub")
    await listener.redis.set(SNAPSHOT_KEY, snapshot(2))
    await listener.until(lambda: listener.heard == [1, 2])
