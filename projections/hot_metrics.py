"""Takes records into the shards of their partitions, effectively once, and brings a shard back from wherever it is.

A shard lives in memory, in a store (Redis) and, some seconds behind, in checkpoints (Postgres). Each of these is a fold
of the log up to the watermark beside it, so that each is a true beginning. A batch goes to the store in one step with
the new watermark, if the old one is still there. Where the store has none, the shard in memory is put there as a whole;
without one the checkpoint is; without that the last hour of the log is folded. What cannot be had or read, or is from
before that hour, is as good as lost.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

import msgspec

from projections.absorption import Counts, dead_letter, grouped, readable
from projections.ports import DeadLetters, MetricsCheckpoints, RawRecord, ShardStore, TimedLog
from projections.shard import KEPT, Shard, minute_of, slices
from projections.shard import Counts as ShardCounts
from projections.tallies import OUTCOMES, observe
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import StoreUnavailable
from schemas.metrics import BUCKET_S, Buckets, Cell, Changes, StoredShard
from schemas.views import DeadLetter, Watermark

GAP_CHUNK = 2_000
"""Records of a gap that are fetched and stored at a time."""
READ_AT_ONCE = 3
"""Gaps, of different partitions: a read's time begins to run before its turn does."""
NEEDED_MS = (KEPT + 1) * BUCKET_S * 1000
"""No record stamped longer ago says anything about the last hour: an outcome is appended after its attempt started,
but for clocks that differ, and a correction of an attempt from before belongs to a bucket that has left."""

_OUTCOMES = frozenset(name.encode() for name in OUTCOMES)
_encode_slice = msgspec.msgpack.Encoder().encode
_slices = msgspec.msgpack.Decoder(Buckets)


class HotMetrics:
    def __init__(
        self,
        topic: str,
        store: ShardStore,
        checkpoints: MetricsCheckpoints,
        log: TimedLog,
        dead_letters: DeadLetters,
        now_ms: Callable[[], float],
        warn: Callable[[str], object] = id,
    ) -> None:
        self._topic = topic
        self._store = store
        self._checkpoints = checkpoints
        self._log = log
        self._dead_letters = dead_letters
        self._now_ms = now_ms
        self._warn = warn
        self._turns: dict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._readers = asyncio.Semaphore(READ_AT_ONCE)
        self._saved: dict[int, Watermark] = {}
        self._unsaved: dict[int, set[int]] = {}
        self._news: dict[int, dict[int, set[Cell]]] = {}
        self._filled: set[int] = set()
        """Those that were read to the end of the log, whatever offsets the group had committed."""
        self._doubtful: set[int] = set()
        """Those whose last change may not have reached the store."""
        self._whole = asyncio.Semaphore(1)
        self.shards: dict[int, Shard] = {}
        self.counts = Counts()
        self.shard_counts = ShardCounts()

    async def absorb(self, records: Iterable[RawRecord]) -> None:
        """Take in all of them, whatever is missing before them included. Raises Unavailable."""
        await _all(self._absorb(partition, batch) for partition, batch in grouped(records).items())

    async def tend(self, partition: int) -> None:
        """What no record asks for: to put back what the store has lost. Raises Unavailable."""
        async with self._turns[partition]:
            known = self.shards.get(partition)
            if known is not None:
                await self._compare(known)
            if partition not in self._filled:
                await self._fill(partition)

    def look_for_more(self) -> None:
        """The next tending reads every partition to its end, though the agent may be about to bring the same."""
        self._filled.clear()

    def keep(self, partitions: Collection[int]) -> None:
        """And let go of those that others have."""
        for partition in self.shards.keys() - set(partitions):
            self._forget(partition)

    async def checkpoint(self) -> None:
        """Raises StoreUnavailable. Nobody waits for it: what is behind is read from the log."""
        for partition in list(self.shards):
            await self._checkpoint(partition)

    def take_news(self, partition: int) -> dict[int, set[Cell]]:
        """The tallies that changed since the last time, in a shard that is still the same."""
        return self._news.pop(partition, {})

    async def _absorb(self, partition: int, batch: Sequence[RawRecord]) -> None:
        async with self._turns[partition]:
            shard = await self._shard(partition)
            self.counts.known_already += sum(record.offset < shard.next_offset for record in batch)
            while batch := [record for record in batch if record.offset >= shard.next_offset]:
                gap = min(batch[0].offset, shard.next_offset + GAP_CHUNK)
                if gap > shard.next_offset:
                    await self._fetch(shard, gap)
                else:
                    await self._take(shard, _unbroken(batch))
                shard = await self._shard(partition)

    async def _compare(self, shard: Shard) -> None:
        mark = await self._store.watermark(shard.partition)
        if mark is not None and mark.next_offset > shard.next_offset:
            self._forget(shard.partition)  # somebody else has it, or had it for a while
            return
        behind = mark is None or mark.next_offset < shard.next_offset
        if behind and not await self._replace(shard.partition, _expecting(mark), shard.stored):
            self._forget(shard.partition)
        self._doubtful.discard(shard.partition)

    async def _replace(self, partition: int, expected: int | None, stored: StoredShard) -> bool:
        """One whole shard at a time: twelve with an hour each, all at once, would keep the store from answering."""
        async with self._whole:
            return await self._store.replace(partition, expected, stored)

    async def _fill(self, partition: int) -> None:
        """Up to the end of the log; what comes after it is the agent's."""
        end = await self._log.end_offset(self._topic, partition)
        while (shard := await self._shard(partition)).next_offset < end:
            await self._fetch(shard, min(end, shard.next_offset + GAP_CHUNK))
        self._filled.add(partition)

    async def _fetch(self, shard: Shard, stop: int) -> None:
        async with self._readers:
            missing = await self._log.read(self._topic, shard.partition, shard.next_offset, stop)
        self.counts.fetched_from_gaps += len(missing)
        await self._take(shard, missing)

    async def _shard(self, partition: int) -> Shard:
        if partition in self._doubtful:
            await self._compare(self.shards[partition])
        while partition not in self.shards:
            mark = await self._store.watermark(
                partition
            )  # before the shard: who writes in between is not replaced
            stored = await self._store.load(partition)
            if stored is None or await self._is_too_old(partition, stored.watermark):
                stored = await self._beginning(partition)
                if not await self._replace(partition, _expecting(mark), stored):
                    continue
            self.shards[partition] = Shard(partition, stored, self.shard_counts)
        return self.shards[partition]

    async def _is_too_old(self, partition: int, watermark: Watermark) -> bool:
        """To fold on from there: hours would be read that no window holds, before today is heard of."""
        if watermark.last_stamp_ms >= self._now_ms() - NEEDED_MS:
            return False
        return watermark.next_offset < await self._needed(partition)

    async def _needed(self, partition: int) -> int:
        return await self._log.offset_at(self._topic, partition, int(self._now_ms() - NEEDED_MS))

    async def _beginning(self, partition: int) -> StoredShard:
        needed = await self._needed(partition)
        checkpoint = await self._checkpointed(partition)
        if checkpoint is None or checkpoint.watermark.next_offset < needed:
            return StoredShard(Watermark(next_offset=needed, last_stamp_ms=0), {})
        return checkpoint

    async def _checkpointed(self, partition: int) -> StoredShard | None:
        """None also while their store is away: the log says the same, only later."""
        try:
            checkpoint = await self._checkpoints.load(partition)
        except StoreUnavailable as error:
            self._warn(f"the checkpoint of partition {partition} cannot be had: {error}")
            return None
        if checkpoint is None:
            return None
        buckets: Buckets = {}
        try:
            for part in checkpoint[1]:
                buckets |= _slices.decode(part)
        except msgspec.DecodeError as error:
            self._warn(f"the checkpoint of partition {partition} cannot be read: {error}")
            return None
        return StoredShard(checkpoint[0], buckets)

    async def _take(self, shard: Shard, run: Sequence[RawRecord]) -> None:
        """Into memory and the store. A shard whose store says no is forgotten, and loaded anew; one whose store does
        not answer is right all the same, and is compared before anything is added to it."""
        expected = shard.next_offset
        try:
            dead = fold(shard, run)
            changes = shard.take_changes()
            if dead:
                await self._dead_letters.publish(dead)
            self._note(shard.partition, changes)
            self.counts.taken_in += len(run)
            self.counts.dead += len(dead)
            found = await self._store.store(shard.partition, expected, shard.watermark, changes)
            if found == "none" and await self._replace(shard.partition, None, shard.stored):
                found = "expected"
        except StoreUnavailable:
            if self.shards.get(shard.partition) is shard:  # others may have the partition by now
                self._doubtful.add(shard.partition)
            raise
        except BaseException:
            self._forget(shard.partition)
            raise
        if found != "expected":
            self._forget(shard.partition)

    def _note(self, partition: int, changes: Changes) -> None:
        news, unsaved = self._news.setdefault(partition, {}), self._unsaved.setdefault(partition, set())
        for bucket, cells in changes.tallies.items():
            news.setdefault(bucket, set()).update(cells)
            unsaved.add(minute_of(bucket))
        unsaved.update(map(minute_of, changes.left))

    def _forget(self, partition: int) -> None:
        for memory in (self.shards, self._saved, self._unsaved, self._news):
            memory.pop(partition, None)
        self._filled.discard(partition)
        self._doubtful.discard(partition)

    async def _checkpoint(self, partition: int) -> None:
        async with self._turns[partition]:  # not while a batch is half taken in
            shard, saved = self.shards.get(partition), self._saved.get(partition)
            if shard is None or saved == shard.watermark:
                return
            minutes = self._unsaved.pop(partition, set())
            if saved is None:
                minutes = set(map(minute_of, shard.buckets))
            watermark = shard.watermark
            parts = {
                minute: _encode_slice(part) if part else b""
                for minute, part in slices(shard.buckets, minutes).items()
            }
        self._saved.pop(partition, None)  # unless it succeeds, the next one is whole
        saved_now = await self._checkpoints.save(partition, saved, watermark, parts)
        if saved_now and self.shards.get(partition) is shard:
            self._saved[partition] = watermark


def fold(shard: Shard, run: Iterable[RawRecord]) -> list[DeadLetter]:
    """Counts what the records tell; those that cannot be taken in are returned, and count as processed."""
    dead: list[DeadLetter] = []
    for record in run:
        shard.advance(record.offset + 1, record.timestamp)
        if may_be_an_outcome(record):
            try:
                observation = observe(readable(record, PAYMENTS_TOPIC))
            except Exception as error:  # whatever a record does to us, it must not stop those behind it
                dead.append(dead_letter(record, error))
            else:
                if observation is not None:
                    shard.count(observation)
    return dead


def _expecting(mark: Watermark | None) -> int | None:
    return None if mark is None else mark.next_offset


def may_be_an_outcome(record: RawRecord) -> bool:
    """Most records are none, and need not be decoded to see that. One that does not say what it is may be anything."""
    for name, content in record.headers:
        if name == "ce_type":
            return content in _OUTCOMES
    return True


def _unbroken(records: Sequence[RawRecord]) -> Sequence[RawRecord]:
    """Those up to the first hole."""
    first = records[0].offset
    for place, record in enumerate(records):
        if record.offset != first + place:
            return records[:place]
    return records


async def _all(duties: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Side by side, each to its end; then the first failure is raised."""
    for result in await asyncio.gather(*duties, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result
