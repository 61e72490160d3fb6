"""Effectively once, whatever a store forgets, whoever else writes, and wherever a shard has to begin again."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.memory.metrics import MemoryMetricsCheckpoints, MemoryShards
from infra.memory.projections import MemoryDeadLetters, MemoryRecords, RawRecord
from projections.hot_metrics import GAP_CHUNK, NEEDED_MS, HotMetrics, fold
from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.errors import LogUnavailable, StoreUnavailable
from schemas.metrics import Buckets, Changes, Found, StoredShard
from schemas.views import Watermark
from tests.projections.outcomes import DOUBT, NOW, SUCCESS, UPI, an_empty_shard, decline, records, told
from tests.projections.story import BEGIN, BEGIN_MS, junk

PARTITIONS = 2


class Store(MemoryShards):
    away = False
    answers_are_lost = False
    cannot_be_read = False

    async def load(self, partition: int) -> StoredShard | None:
        return None if self.cannot_be_read else await super().load(partition)

    @staticmethod
    def on_store() -> None:
        """Something else that happens meanwhile."""

    async def store(self, partition: int, expected: int, watermark: Watermark, changes: Changes) -> Found:
        self.on_store()
        if self.away:
            raise StoreUnavailable("away")
        found = await super().store(partition, expected, watermark, changes)
        if self.answers_are_lost:
            self.answers_are_lost = False
            raise StoreUnavailable("no answer")
        return found


class Checkpoints(MemoryMetricsCheckpoints):
    away = False

    async def load(self, partition: int) -> tuple[Watermark, Sequence[bytes]] | None:
        if self.away:
            raise StoreUnavailable("away")
        return await super().load(partition)


class Log(MemoryRecords):
    reads_left = 1_000

    async def read(self, topic: str, partition: int, start: int, stop: int) -> list[RawRecord]:
        if self.reads_left == 0:
            raise LogUnavailable("away")
        self.reads_left -= 1
        return await super().read(topic, partition, start, stop)


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.store = Store()
        self.checkpoints = Checkpoints()
        self.letters = MemoryDeadLetters()
        self.now_ms = float(BEGIN_MS)
        self.warnings: list[str] = []
        self.metrics = self.another_worker()

    def another_worker(self) -> HotMetrics:
        return HotMetrics(
            PAYMENTS_TOPIC,
            self.store,
            self.checkpoints,
            self.log,
            self.letters,
            lambda: self.now_ms,
            self.warnings.append,
        )

    def append(
        self, events: Sequence[Event], partition: int = 0, stamp_ms: int = BEGIN_MS
    ) -> list[RawRecord]:
        return [
            self.log.append(PAYMENTS_TOPIC, partition, stamp_ms, record.key, record.value, record.headers)
            for record in records(events)
        ]

    async def folded(self, partition: int = 0) -> Buckets:
        shard = an_empty_shard(partition)
        end = await self.log.end_offset(PAYMENTS_TOPIC, partition)
        fold(shard, await self.log.read(PAYMENTS_TOPIC, partition, 0, end))
        return shard.buckets

    async def is_a_fold_of_the_log(self) -> None:
        for partition in range(PARTITIONS):
            end = await self.log.end_offset(PAYMENTS_TOPIC, partition)
            stored = await self.store.load(partition)
            if end:
                assert stored is not None
                assert stored.watermark.next_offset == end
                assert stored.buckets == await self.folded(partition)


@pytest.fixture
def world() -> World:
    return World()


SOME = [told(SUCCESS), told(DOUBT), told(decline("gateway"), issuer="okbank")]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), max_size=12))
def test_batches_that_come_again_overlap_or_leave_gaps_count_everything_once(
    batches: list[tuple[int, int]],
) -> None:
    async def scenario() -> None:
        world = World()
        run = world.append([told(SUCCESS, issuer=f"bank{number % 3}") for number in range(10)])
        for first, size in [*batches, (9, 1)]:
            await world.metrics.absorb(run[first : first + size])
        await world.is_a_fold_of_the_log()

    asyncio.run(scenario())


async def test_a_store_that_forgot_everything_has_it_again_with_the_next_batch(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.store.flush()
    await world.metrics.absorb(world.append(SOME))
    await world.is_a_fold_of_the_log()


async def test_a_store_that_forgot_everything_has_it_again_though_nothing_is_appended(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.store.flush()
    await world.metrics.tend(0)
    await world.is_a_fold_of_the_log()


async def test_a_store_that_was_put_back_to_an_earlier_state_is_brought_forward(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    earlier = await world.store.load(0)
    assert earlier is not None
    await world.metrics.absorb(world.append(SOME))
    await world.store.replace(0, 6, earlier)
    await world.metrics.tend(0)
    await world.is_a_fold_of_the_log()


async def test_a_new_worker_begins_with_what_the_store_has(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    another = world.another_worker()
    await another.absorb(world.append(SOME))
    await world.is_a_fold_of_the_log()
    assert another.counts.fetched_from_gaps == 0


async def test_two_workers_in_the_middle_of_a_rebalance_count_everything_once(world: World) -> None:
    another = world.another_worker()
    for number in range(6):
        batch = world.append(SOME)
        await (another if number % 2 else world.metrics).absorb(batch)
        await asyncio.gather(world.metrics.absorb(batch), another.absorb(batch))
    await world.is_a_fold_of_the_log()


async def test_with_the_store_and_the_worker_lost_the_checkpoint_is_where_it_begins(world: World) -> None:
    await world.metrics.absorb(world.append(SOME * 10))
    await world.metrics.checkpoint()
    await world.metrics.absorb(world.append(SOME))
    await world.metrics.checkpoint()
    tail = world.append(SOME)
    world.store.flush()
    another = world.another_worker()
    await another.tend(0)
    await world.is_a_fold_of_the_log()
    assert another.counts.fetched_from_gaps == len(tail)


async def test_a_checkpoint_holds_what_left_and_what_was_corrected_since_the_one_before(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    await world.metrics.checkpoint()
    correction = told(SUCCESS, instead_of=DOUBT, verified=True)
    later = told(SUCCESS, at=BEGIN + timedelta(minutes=50))
    await world.metrics.absorb(world.append([correction, later], stamp_ms=BEGIN_MS + 3_000_000))
    await world.metrics.checkpoint()
    world.store.flush()
    await world.another_worker().tend(0)
    await world.is_a_fold_of_the_log()

    much_later = told(SUCCESS, at=BEGIN + timedelta(minutes=90))
    await world.metrics.absorb(world.append([much_later], stamp_ms=BEGIN_MS + 5_400_000))
    await world.metrics.checkpoint()
    world.store.flush()
    await world.another_worker().tend(0)
    await world.is_a_fold_of_the_log()


async def test_another_workers_checkpoint_is_never_built_upon(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    await world.metrics.checkpoint()
    another = world.another_worker()
    await another.absorb(world.append([told(SUCCESS, at=BEGIN - timedelta(minutes=10))]))
    await another.checkpoint()
    for _ in range(3):  # the first is refused, the second is whole, the third is on top of it
        await world.metrics.absorb(world.append(SOME))
        await world.metrics.checkpoint()
    world.store.flush()
    await world.another_worker().tend(0)
    await world.is_a_fold_of_the_log()


async def test_without_store_and_checkpoint_no_more_than_the_last_hour_is_read(world: World) -> None:
    world.append([told(SUCCESS)] * 50)
    world.now_ms = BEGIN_MS + NEEDED_MS + 60_000.0
    newer = told(SUCCESS, at=BEGIN + timedelta(minutes=62))
    world.append([newer], stamp_ms=BEGIN_MS + 3_720_000)
    await world.metrics.tend(0)
    assert world.metrics.counts.fetched_from_gaps == 1
    assert world.metrics.shards[0].buckets == await world.folded()


async def test_what_was_read_anew_in_part_is_read_to_the_end_though_no_record_comes(world: World) -> None:
    world.append([told(SUCCESS)] * (2 * GAP_CHUNK))
    world.log.reads_left = 1
    with pytest.raises(LogUnavailable):
        await world.metrics.tend(0)
    world.log.reads_left = 10
    await world.metrics.tend(0)
    await world.is_a_fold_of_the_log()


async def test_a_checkpoint_from_before_the_hour_is_not_used(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    await world.metrics.checkpoint()
    world.store.flush()
    world.append([told(SUCCESS)] * 50)
    world.now_ms = BEGIN_MS + NEEDED_MS + 60_000.0
    another = world.another_worker()
    await another.tend(0)
    assert another.counts.fetched_from_gaps == 0


async def test_a_shard_that_cannot_be_read_is_replaced_by_what_the_log_says(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.store.cannot_be_read = True
    await world.another_worker().absorb(world.append(SOME))
    world.store.cannot_be_read = False
    await world.is_a_fold_of_the_log()


async def test_a_checkpoint_that_cannot_be_read_is_told_and_the_log_folded_instead(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    for junk_of_another in (b"\xc1", b"\x81\x01\x93\x01\x02\x03"):
        world.store.flush()
        world.warnings.clear()
        await world.checkpoints.save(0, None, Watermark(next_offset=2, last_stamp_ms=0), {1: junk_of_another})
        await world.another_worker().tend(0)
        await world.is_a_fold_of_the_log()
        assert "the checkpoint of partition 0 cannot be read" in world.warnings[0]


async def test_a_shard_in_the_store_from_before_the_hour_is_not_gone_on_with(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.append([told(SUCCESS)] * 50)
    world.now_ms = BEGIN_MS + NEEDED_MS + 60_000.0
    late = told(SUCCESS, at=BEGIN + timedelta(minutes=62))
    world.append([late], stamp_ms=BEGIN_MS + 3_720_000)
    another = world.another_worker()
    await another.tend(0)
    assert another.counts.fetched_from_gaps == 1
    stored = await world.store.load(0)
    assert stored is not None
    assert stored.buckets == await world.folded()


async def test_a_shard_to_which_nothing_was_added_for_hours_is_gone_on_with(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.now_ms = BEGIN_MS + 2.0 * NEEDED_MS
    another = world.another_worker()
    await another.tend(0)
    assert another.shards[0].watermark == world.metrics.shards[0].watermark


async def test_checkpoints_that_are_away_are_not_waited_for(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    await world.metrics.checkpoint()
    world.store.flush()
    world.checkpoints.away = True
    await world.another_worker().tend(0)
    await world.is_a_fold_of_the_log()
    assert world.warnings == ["the checkpoint of partition 0 cannot be had: away"]


async def test_a_store_that_is_away_makes_it_wait_and_skip_nothing(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.store.away = True
    batch = world.append(SOME)
    with pytest.raises(StoreUnavailable):
        await world.metrics.absorb(batch)
    world.store.away = False
    await world.metrics.absorb(batch)
    await world.is_a_fold_of_the_log()


async def test_an_answer_that_is_lost_counts_nothing_twice(world: World) -> None:
    await world.metrics.absorb(world.append(SOME))
    world.store.answers_are_lost = True
    batch = world.append(SOME)
    with pytest.raises(StoreUnavailable):
        await world.metrics.absorb(batch)
    await world.metrics.absorb(batch)
    await world.is_a_fold_of_the_log()


async def test_a_store_that_does_not_answer_costs_no_shard_that_is_held(world: World) -> None:
    """An hour of it would be loaded, and summed, anew."""
    await world.metrics.absorb(world.append([told(SUCCESS), told(DOUBT)]))
    held = world.metrics.shards[0]
    batch = world.append([told(SUCCESS)])
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.metrics.absorb(batch)
    world.store.away = False
    world.store.flush()
    await world.metrics.absorb(batch)
    assert world.metrics.shards[0] is held
    await world.is_a_fold_of_the_log()


async def test_a_partition_that_is_given_up_while_its_store_hangs_can_be_taken_again(world: World) -> None:
    await world.metrics.absorb(world.append([told(SUCCESS)]))
    batch = world.append([told(SUCCESS)])
    world.store.on_store = lambda: world.metrics.keep([])  # type: ignore[method-assign]
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.metrics.absorb(batch)
    world.store.away = False
    await world.metrics.absorb(batch)
    await world.is_a_fold_of_the_log()


async def test_a_shard_that_another_has_taken_meanwhile_is_not_gone_on_with(world: World) -> None:
    await world.metrics.absorb(world.append([told(SUCCESS)]))
    batch = world.append([told(SUCCESS), told(DOUBT)])
    world.store.away = True
    with pytest.raises(StoreUnavailable):
        await world.metrics.absorb(batch[:1])
    world.store.away = False
    await world.another_worker().absorb(batch)
    await world.metrics.absorb(world.append([told(SUCCESS)]))
    await world.is_a_fold_of_the_log()


async def test_a_poisonous_record_becomes_a_dead_letter_and_those_behind_it_count(world: World) -> None:
    bad = junk(0, 0)
    world.log.append(PAYMENTS_TOPIC, 0, BEGIN_MS, bad.key, bad.value, bad.headers)
    await world.metrics.absorb(world.append(SOME))
    assert [letter.position.offset for letter in world.letters.published] == [0]
    assert world.metrics.shards[0].buckets[NOW][UPI]["succeeded"] == 1


async def test_partitions_of_others_are_let_go_of(world: World) -> None:
    await world.metrics.absorb(world.append(SOME) + world.append(SOME, partition=1))
    world.metrics.keep([1])
    assert list(world.metrics.shards) == [1]


async def test_news_are_the_tallies_that_changed_since_they_were_last_taken(world: World) -> None:
    await world.metrics.absorb(world.append([told(SUCCESS)]))
    assert UPI in world.metrics.take_news(0)[NOW]
    assert world.metrics.take_news(0) == {}
