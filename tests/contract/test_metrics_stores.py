"""What hot metrics are promised by their stores: all that is written changes with its watermark, or nothing does."""

import asyncio
import os
from collections.abc import AsyncIterator
from itertools import count

import pytest

from infra.local.stack import Stack
from infra.memory.metrics import MemoryMetricsCheckpoints, MemoryShards
from infra.postgres.database import Database
from infra.postgres.metrics import PostgresMetricsCheckpoints
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from projections.ports import MetricsCheckpoints, ShardStore
from schemas.errors import StoreUnavailable
from schemas.metrics import Buckets, Cell, Changes, StoredShard
from schemas.views import Watermark

_names = count(1)
UPI, CARD = Cell("alpha", "UPI", "method", ""), Cell("alpha", "CARD", "issuer", "o'bänk\n\0{}")
NOTHING = Changes({}, frozenset())


def reached(next_offset: int) -> Watermark:
    return Watermark(next_offset=next_offset, last_stamp_ms=next_offset * 1_000)


def shard(next_offset: int, buckets: Buckets) -> StoredShard:
    return StoredShard(reached(next_offset), buckets)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.integration)])
def servers(request: pytest.FixtureRequest) -> Stack | None:
    """None for the twins in memory. Servers cannot be started where a loop runs already, as in the fixtures below."""
    return None if request.param == "memory" else request.getfixturevalue("stack")


@pytest.fixture
async def store(servers: Stack | None) -> AsyncIterator[ShardStore]:
    if servers is None:
        yield MemoryShards()
        return
    redis = connect(servers.env["REDIS_URL"])
    yield RedisShards(redis, f"topic-{os.getpid()}-{next(_names)}", partitions=12)
    await redis.aclose()


@pytest.fixture
def checkpoints(database: Database | None) -> MetricsCheckpoints:
    return MemoryMetricsCheckpoints() if database is None else PostgresMetricsCheckpoints(database, "topic")


async def test_a_shard_that_was_never_written_is_not_there(store: ShardStore) -> None:
    assert await store.load(7) is None
    assert await store.watermark(7) is None
    assert await store.changed_since(7, 0) is None
    assert await store.store(7, 0, reached(1), NOTHING) == "none"
    assert await store.load(7) is None


async def test_what_is_written_is_read_back_with_its_watermark(store: ShardStore) -> None:
    written = shard(5, {1: {UPI: {"succeeded": 3, "ms:240": 3}, CARD: {"not_sent:connect": 1}}, 2: {}})
    assert await store.replace(7, None, written)
    assert await store.load(7) == shard(5, {1: written.buckets[1]}) or await store.load(7) == written
    assert await store.watermark(7) == reached(5)
    assert await store.load(8) is None


async def test_changes_are_written_on_top_of_the_watermark_that_the_writer_knows(store: ShardStore) -> None:
    await store.replace(
        7, None, shard(5, {1: {UPI: {"succeeded": 1}, CARD: {"succeeded": 1}}, 2: {UPI: {"a": 1}}})
    )
    changes = Changes({1: {UPI: {"succeeded": 2}, CARD: None}, 3: {UPI: {"b": 1}}}, frozenset({2}))
    assert await store.store(7, 5, reached(9), changes) == "expected"
    assert await store.load(7) == shard(9, {1: {UPI: {"succeeded": 2}}, 3: {UPI: {"b": 1}}})


async def test_a_writer_that_knows_another_watermark_writes_nothing(store: ShardStore) -> None:
    before = shard(5, {1: {UPI: {"succeeded": 1}}})
    await store.replace(7, None, before)
    assert (
        await store.store(7, 4, reached(9), Changes({1: {UPI: {"succeeded": 9}}}, frozenset({1})))
        == "another"
    )
    assert not await store.replace(7, None, shard(9, {}))
    assert not await store.replace(7, 4, shard(9, {}))
    assert await store.load(7) == before


async def test_of_two_writers_at_once_one_writes(store: ShardStore) -> None:
    await store.replace(7, None, shard(5, {}))
    found = await asyncio.gather(
        *(store.store(7, 5, reached(6 + n), Changes({n: {UPI: {"a": n}}}, frozenset())) for n in range(1, 9))
    )
    assert sorted(found) == ["another"] * 7 + ["expected"]
    stored = await store.load(7)
    assert stored is not None
    assert list(stored.buckets) == [stored.watermark.next_offset - 6]


async def test_a_shard_is_replaced_as_a_whole(store: ShardStore) -> None:
    await store.replace(7, None, shard(5, {1: {UPI: {"a": 1}, CARD: {"a": 1}}, 2: {UPI: {"a": 1}}}))
    assert await store.replace(7, 5, shard(3, {1: {UPI: {"a": 2}}}))
    assert await store.load(7) == shard(3, {1: {UPI: {"a": 2}}})


async def test_a_shard_of_any_size_is_one_step(store: ShardStore) -> None:
    cells = {Cell("alpha", "UPI", "issuer", f"bank{n}"): {"succeeded": n + 1} for n in range(9_000)}
    big = shard(5, {1: cells, 2: dict(cells)})
    assert await store.replace(7, None, big)
    assert await store.load(7) == big
    gone = Changes({1: dict.fromkeys(cells)}, frozenset())
    assert await store.store(7, 5, reached(6), gone) == "expected"
    stored = await store.load(7)
    assert stored is not None
    assert not stored.buckets.get(1)


async def test_who_follows_a_shard_is_given_the_buckets_that_changed(store: ShardStore) -> None:
    await store.replace(7, None, shard(5, {1: {UPI: {"a": 1}}, 2: {UPI: {"a": 1}}}))
    await store.store(7, 5, reached(8), Changes({2: {CARD: {"b": 1}}}, frozenset()))
    assert await store.changed_since(7, 5) == shard(8, {2: {UPI: {"a": 1}, CARD: {"b": 1}}})
    assert await store.changed_since(7, 8) == shard(8, {})


@pytest.mark.integration
async def test_a_redis_that_forgot_everything_has_no_watermarks(stack: Stack) -> None:
    redis = connect(stack.env["REDIS_URL"])
    store = RedisShards(redis, f"topic-{os.getpid()}-{next(_names)}", partitions=3)
    await store.replace(2, None, shard(5, {1: {UPI: {"a": 1}}}))
    assert list((await store.watermarks()).values()) == [reached(5)]
    await redis.flushall()
    assert await store.watermarks() == {}
    assert await store.store(2, 5, reached(6), NOTHING) == "none"
    await redis.aclose()


@pytest.mark.integration
async def test_a_shard_that_cannot_be_read_is_not_there_and_can_be_replaced(stack: Stack) -> None:
    redis = connect(stack.env["REDIS_URL"])
    topic = f"topic-{os.getpid()}-{next(_names)}"
    store = RedisShards(redis, topic, partitions=3)
    for field, value in ((b"[1]", b"{}"), (b'["alpha","UPI","method",""]', b'{"succeeded":1.5}')):
        await store.replace(2, None, shard(5, {1: {UPI: {"a": 1}}}))
        await redis.hset(f"{{{topic}:2}}:v1:bucket:1", field, value)
        assert await store.load(2) is None
        assert await store.changed_since(2, 0) is None
        assert await store.watermark(2) == reached(5)
        assert await store.replace(2, 5, shard(3, {}))
        assert await store.load(2) == shard(3, {})
        await redis.delete(f"{{{topic}:2}}:v1:watermark")
    await redis.aclose()


async def test_a_redis_that_is_away_has_our_name_for_it() -> None:
    redis = connect("redis://127.0.0.1:1/", timeout_s=0.2)
    store = RedisShards(redis, "topic", partitions=12)
    for asked in (store.load(7), store.watermarks(), store.replace(7, None, shard(5, {}))):
        with pytest.raises(StoreUnavailable):
            await asked
    await redis.aclose()


# Checkpoints


async def test_a_checkpoint_is_read_back_with_its_watermark(checkpoints: MetricsCheckpoints) -> None:
    assert await checkpoints.load(7) is None
    assert await checkpoints.save(7, None, reached(5), {1: b"one", 2: b"two", 3: b""})
    assert await checkpoints.load(7) == (reached(5), [b"one", b"two"])
    assert await checkpoints.load(8) is None


async def test_what_changed_is_saved_on_top_of_the_checkpoint_that_is_expected(
    checkpoints: MetricsCheckpoints,
) -> None:
    await checkpoints.save(7, None, reached(5), {1: b"one", 2: b"two"})
    assert await checkpoints.save(7, reached(5), reached(6), {1: b"", 2: b"new", 3: b"three"})
    assert await checkpoints.load(7) == (reached(6), [b"new", b"three"])
    assert not await checkpoints.save(7, reached(5), reached(9), {1: b"late"})
    assert await checkpoints.load(7) == (reached(6), [b"new", b"three"])


async def test_without_an_expectation_it_is_saved_instead_of_any(checkpoints: MetricsCheckpoints) -> None:
    await checkpoints.save(7, None, reached(5), {1: b"one", 2: b"two"})
    assert await checkpoints.save(7, None, reached(3), {2: b"other"})
    assert await checkpoints.load(7) == (reached(3), [b"other"])
