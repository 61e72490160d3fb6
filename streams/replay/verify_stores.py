"""Hot metrics in Redis and views of circuits in Postgres against folds of their topics, up to their watermarks."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.reader import LogReader
from infra.postgres.circuits import PostgresCircuits
from infra.postgres.database import Database
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.hot_metrics import NEEDED_MS
from schemas.base import Value
from schemas.circuit import circuit_name
from schemas.codec import CIRCUITS_TOPIC
from schemas.metrics import BUCKET_S, Buckets
from streams.replay.circuits import folded as folded_circuits
from streams.replay.hot_metrics import refolded
from streams.replay.plan import Part
from streams.replay.processes import Monitor
from streams.replay.source import Source

MOST_NAMED = 100
_unwatched = Monitor(lambda _: None)


class Entry(Value, frozen=True, kw_only=True):
    """One that differs; None on the side that does not have it."""

    name: str
    stored: object
    folded: object


class Compared(Value, frozen=True, kw_only=True):
    entries: int
    differences: int
    named: tuple[Entry, ...]
    """The first of them."""

    @property
    def agrees(self) -> bool:
        return not self.differences


def compared(stored: Mapping[str, object], folded: Mapping[str, object]) -> Compared:
    names = sorted(stored.keys() | folded.keys())
    differing = [name for name in names if stored.get(name) != folded.get(name)]
    return Compared(
        entries=len(names),
        differences=len(differing),
        named=tuple(
            Entry(name=name, stored=stored.get(name), folded=folded.get(name))
            for name in differing[:MOST_NAMED]
        ),
    )


async def verify_metrics(settings: Settings) -> Compared:
    """Every tally of the hour. Raises LogUnavailable, LogBroken, StoreUnavailable."""
    topic = settings.metrics_stream_key
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=topic)
    stored, folded = dict[str, object](), dict[str, object]()
    async with AsyncExitStack() as stack:
        redis = connect(settings.redis_url, timeout_s=10)
        stack.push_async_callback(redis.aclose)
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        shards = RedisShards(redis, topic, PAYMENT_PARTITIONS)
        for partition, end in (await reader.end_offsets(topic)).items():
            found = await shards.load(partition)
            if found is None:
                folded |= {f"partition {partition}": "records"} if end else {}
                continue
            first = await reader.offset_at(topic, partition, found.watermark.last_stamp_ms - NEEDED_MS)
            part = Part(partition=partition, start=first, stop=found.watermark.next_offset)
            shard = await refolded(source, part, _unwatched)
            stored |= _named(partition, found.buckets)
            folded |= _named(partition, shard.stored.buckets)
    return compared(stored, folded)


async def verify_circuits(settings: Settings) -> Compared:
    """Each circuit as a start of an API process finds it. Raises LogUnavailable, LogBroken, StoreUnavailable."""
    source = Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=CIRCUITS_TOPIC)
    database = await Database.connect(settings.database_url, max_size=1)
    try:
        views, reached = await PostgresCircuits(database).views()
    finally:
        await database.close()
    known, _ = await folded_circuits(source, reached, _unwatched)
    return compared(
        {circuit_name(*key): circuit for key, circuit in views.items()},
        {circuit_name(*key): circuit for key, circuit in known.items()},
    )


def _named(partition: int, buckets: Buckets) -> dict[str, object]:
    """Each tally by its place and time; that one is empty is nobody's business."""
    named: dict[str, object] = {}
    for bucket, cells in buckets.items():
        at = datetime.fromtimestamp(bucket * BUCKET_S, UTC)
        named |= {
            f"{partition} {at:%H:%M:%S} {':'.join(cell)}": tally for cell, tally in cells.items() if tally
        }
    return named
