"""Makes the shards of hot metrics anew beside the live ones, and puts those that differ in their place.

A worker that finds its shard further on than it left it takes it for one that somebody else has had: it forgets what it
remembers and goes on with what stands there. So a shard is folded from the log to its very end, in our memory, and
written whole, in one script, if its worker has not come as far by then. Nothing of the worker's was changed for that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from infra.clock import SystemClock
from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.kafka.reader import LogReader
from infra.redis.connection import connect
from infra.redis.shards import RedisShards
from infra.settings import Settings
from projections.hot_metrics import NEEDED_MS, fold
from projections.ports import ShardStore, TimedLog
from projections.shard import Shard
from schemas.base import Value
from schemas.metrics import Buckets, StoredShard
from schemas.views import Watermark
from streams.rebuilding.pacer import Pacer
from streams.rebuilding.progress import Tell

STRETCH = 2_000
"""Records that are read and folded at a time."""
AHEAD_WITHIN_S = 60.0
"""A partition to which nothing is appended for so long is left as it is."""
AHEAD_AGAIN_S = 0.02


class Rebuilt(Value, frozen=True, kw_only=True):
    """Partitions."""

    differing: tuple[int, ...]
    """Those whose tallies were not what the log says."""
    switched: tuple[int, ...]


async def rebuild_metrics(settings: Settings, verify_only: bool, tell: Tell) -> Rebuilt:
    """Raises Unavailable, LiveTooLate."""
    topic = settings.metrics_stream_key
    differing, switched = [], []
    async with AsyncExitStack() as stack:
        reader = LogReader(settings.kafka_bootstrap_servers)
        stack.push_async_callback(reader.stop)
        redis = connect(settings.redis_url, timeout_s=10)
        stack.push_async_callback(redis.aclose)
        store = RedisShards(redis, topic, PAYMENT_PARTITIONS)
        pacer = Pacer(topic, store, reader)
        await stack.enter_async_context(pacer.watching())
        for partition in range(PAYMENT_PARTITIONS):
            rebuild = ShardRebuild(topic, partition, store, reader, pacer.rest)
            if await rebuild.is_alike():
                tell(f"partition {partition} is what the log says{pacer.note}")
                continue
            differing.append(partition)
            if verify_only:
                tell(f"partition {partition} differs")
            elif await rebuild.switch():
                switched.append(partition)
                tell(f"partition {partition} differed, and is what the log says now")
            else:
                tell(f"partition {partition} differs and stays as it is: nothing is appended to it")
    return Rebuilt(differing=tuple(differing), switched=tuple(switched))


class ShardRebuild:
    def __init__(
        self,
        topic: str,
        partition: int,
        store: ShardStore,
        log: TimedLog,
        rest: Callable[[float], Awaitable[None]],
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._store = store
        self._log = log
        self._rest = rest
        self._clock = SystemClock()
        self._shard = Shard(partition, StoredShard(Watermark(next_offset=0, last_stamp_ms=0), {}))
        self._gone: Buckets = {}
        """Those that stand there and should not. As empty ones they are heard of by whoever follows the shard."""

    async def is_alike(self) -> bool:
        """Whether what stands there is a fold of the log. What is not there is its worker's to bring back."""
        mark = await self._store.watermark(self._partition)
        if mark is None:
            return True
        needed = await self._log.offset_at(self._topic, self._partition, mark.last_stamp_ms - NEEDED_MS)
        begin = Watermark(next_offset=needed, last_stamp_ms=0)
        self._shard = Shard(self._partition, StoredShard(begin, {}))
        await self._fold_to(mark.next_offset)
        live = await self._store.load(self._partition)
        if live is None:
            return True
        await self._fold_to(live.watermark.next_offset)
        self._gone = {bucket: {} for bucket in live.buckets.keys() - self._shard.buckets.keys()}
        return _filled(live.buckets) == _filled(self._shard.buckets)

    async def switch(self) -> bool:
        """False where nothing was appended that would have brought it ahead of the live one."""
        begun_ms = self._clock.elapsed_ms()
        while self._clock.elapsed_ms() - begun_ms < AHEAD_WITHIN_S * 1000:
            mark = await self._store.watermark(self._partition)
            await self._fold_to(await self._log.end_offset(self._topic, self._partition))
            if mark is not None and mark.next_offset < self._shard.next_offset:
                whole = StoredShard(self._shard.watermark, self._gone | self._shard.buckets)
                if await self._store.replace(self._partition, mark.next_offset, whole):
                    return True
            await asyncio.sleep(AHEAD_AGAIN_S)
        return False

    async def _fold_to(self, end: int) -> None:
        while self._shard.next_offset < end:
            begun_ms = self._clock.elapsed_ms()
            stop = min(end, self._shard.next_offset + STRETCH)
            fold(
                self._shard,
                await self._log.read(self._topic, self._partition, self._shard.next_offset, stop),
            )
            if stop < end:  # the last stretch is a race
                await self._rest(self._clock.elapsed_ms() - begun_ms)


def _filled(buckets: Buckets) -> Buckets:
    """What counts of them: whether an empty one is kept is nobody's business."""
    return {bucket: tallies for bucket, tallies in buckets.items() if tallies}
