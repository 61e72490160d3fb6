"""Hot metrics made again: of each partition the tallies of the hour before the end of what is read, in memory.

Nothing that was stamped longer ago says anything about that hour, and it is not read.
"""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import uvloop
from msgspec.structs import replace

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.redis.connection import connect, is_empty
from infra.redis.shards import RedisShards
from projections.hot_metrics import NEEDED_MS, fold
from projections.shard import Shard
from schemas.base import Value
from schemas.metrics import BUCKET_S, CellKind, StoredShard, Tally
from schemas.views import Watermark
from streams.replay.errors import StoreTaken
from streams.replay.lines import encode_lines, whole_file
from streams.replay.plan import Log, Part, Plan
from streams.replay.processes import Monitor, Tell, in_processes
from streams.replay.source import Source


class TallyRow(Value, frozen=True, kw_only=True):
    partition: int
    at: datetime
    """When its ten seconds begin."""
    gateway: str
    method: str
    kind: CellKind
    value: str
    tally: Tally


class Refolded(NamedTuple):
    partition: int
    stored: StoredShard
    dead: int
    """Records that could not be taken in."""


async def last_hour(source: Source, plan: Plan) -> Plan:
    """What of it says anything about the hour before its end. Raises LogBroken, LogUnavailable."""
    async with source.log() as log:
        return replace(plan, parts=tuple([await _needed(source, log, part) for part in plan.parts]))


async def refolded(source: Source, part: Part, monitor: Monitor) -> Refolded:
    """From nothing. Raises LogBroken, LogUnavailable."""
    begin = Watermark(next_offset=part.start, last_stamp_ms=0)
    shard, dead = Shard(part.partition, StoredShard(begin, {})), 0
    async with aclosing(source.batches(part)) as batches:
        async for batch in batches:
            dead += len(fold(shard, batch))
            monitor.read(len(batch))
    return Refolded(part.partition, shard.stored, dead)


def metrics_into_redis(
    source: Source, plan: Plan, url: str, processes: int, tell: Tell = lambda _: None
) -> int:
    """How many records could not be taken in. Raises LogBroken, LogUnavailable, StoreTaken, StoreUnavailable."""
    uvloop.run(_store(source.topic, url, []))
    shards = _shards(source, plan, processes, tell)
    uvloop.run(_store(source.topic, url, shards))
    return sum(shard.dead for shard in shards)


def metrics_into_file(
    source: Source, plan: Plan, path: Path, processes: int, tell: Tell = lambda _: None
) -> int:
    """By partition, time and cell. How many records could not be taken in. Raises LogBroken, LogUnavailable."""
    with whole_file(path) as file:
        shards = _shards(source, plan, processes, tell)
        for shard in shards:
            file.write(encode_lines(_rows(shard)))
    return sum(shard.dead for shard in shards)


async def _needed(source: Source, log: Log, part: Part) -> Part:
    if not part.records:
        return part
    async with aclosing(source.batches(replace(part, start=part.stop - 1))) as batches:
        (last,) = await anext(batches)
    first = await log.offset_at(source.topic, part.partition, last.timestamp - NEEDED_MS)
    return replace(part, start=max(part.start, min(first, part.stop - 1)))


async def _store(topic: str, url: str, shards: Sequence[Refolded]) -> None:
    """All of them, into a database that has nothing by then."""
    redis = connect(url, timeout_s=10)
    try:
        if not await is_empty(redis):
            raise StoreTaken("that database of Redis is not empty: it may be one that a product works with")
        store = RedisShards(redis, topic, PAYMENT_PARTITIONS)
        for shard in shards:
            await store.replace(shard.partition, None, shard.stored)
    finally:
        await redis.aclose()


def _shards(source: Source, plan: Plan, processes: int, tell: Tell) -> list[Refolded]:
    """In the order of their partitions."""
    shares = in_processes(partial(_refold, source), plan.parts, processes, tell)
    return sorted((shard for share in shares for shard in share), key=lambda one: one.partition)


async def _refold(source: Source, parts: Sequence[Part], monitor: Monitor) -> list[Refolded]:
    return [await refolded(source, part, monitor) for part in parts]


def _rows(shard: Refolded) -> list[TallyRow]:
    return [
        TallyRow(
            partition=shard.partition,
            at=datetime.fromtimestamp(bucket * BUCKET_S, UTC),
            gateway=cell.gateway,
            method=cell.method,
            kind=cell.kind,
            value=cell.value,
            tally=tally,
        )
        for bucket, cells in sorted(shard.stored.buckets.items())
        for cell, tally in sorted(cells.items())
        if tally
    ]
