"""Shards and checkpoints in memory: twins of the ones in Redis and Postgres, with the same rules."""

from collections.abc import Mapping, Sequence
from copy import deepcopy

from schemas.metrics import Changes, Found, StoredShard
from schemas.views import Watermark


class MemoryShards:
    def __init__(self) -> None:
        self._shards: dict[int, StoredShard] = {}
        self._written: dict[tuple[int, int], int] = {}

    def flush(self) -> None:
        self._shards.clear()
        self._written.clear()

    async def load(self, partition: int) -> StoredShard | None:
        return await self.changed_since(partition, -1)

    async def changed_since(self, partition: int, next_offset: int) -> StoredShard | None:
        shard = self._shards.get(partition)
        if shard is None:
            return None
        buckets = {
            bucket: tallies
            for bucket, tallies in shard.buckets.items()
            if self._written[partition, bucket] > next_offset
        }
        return deepcopy(StoredShard(shard.watermark, buckets))

    async def watermark(self, partition: int) -> Watermark | None:
        shard = self._shards.get(partition)
        return shard and shard.watermark

    async def store(self, partition: int, expected: int, watermark: Watermark, changes: Changes) -> Found:
        shard = self._shards.get(partition)
        if shard is None:
            return "none"
        if shard.watermark.next_offset != expected:
            return "another"
        buckets = {bucket: cells for bucket, cells in shard.buckets.items() if bucket not in changes.left}
        for bucket, tallies in changes.tallies.items():
            cells = buckets.setdefault(bucket, {})
            for cell, tally in tallies.items():
                cells.pop(cell, None)
                if tally:
                    cells[cell] = dict(tally)
            self._written[partition, bucket] = watermark.next_offset
        self._shards[partition] = StoredShard(watermark, buckets)
        return "expected"

    async def replace(self, partition: int, expected: int | None, shard: StoredShard) -> bool:
        known = self._shards.get(partition)
        if (known and known.watermark.next_offset) != expected:
            return False
        self._shards[partition] = deepcopy(shard)
        for bucket in shard.buckets:
            self._written[partition, bucket] = shard.watermark.next_offset
        return True


class MemoryMetricsCheckpoints:
    def __init__(self) -> None:
        self._checkpoints: dict[int, tuple[Watermark, dict[int, bytes]]] = {}

    async def load(self, partition: int) -> tuple[Watermark, Sequence[bytes]] | None:
        found = self._checkpoints.get(partition)
        return found and (found[0], list(found[1].values()))

    async def save(
        self, partition: int, expected: Watermark | None, watermark: Watermark, slices: Mapping[int, bytes]
    ) -> bool:
        known = self._checkpoints.get(partition)
        if expected is not None and (known is None or known[0].next_offset != expected.next_offset):
            return False
        minutes = dict(known[1]) if known and expected else {}
        for minute, tallies in slices.items():
            minutes.pop(minute, None)
            if tallies:
                minutes[minute] = tallies
        self._checkpoints[partition] = (watermark, minutes)
        return True
